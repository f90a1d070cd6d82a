//! LAMB (You et al. 2020): Adam's step scaled by the ratio of the parameter's norm to the step's.
//! As in timm, parameters without weight decay (biases, norms) take Adam's step as it is.

use burn::tensor::Tensor;

use super::{Hyper, adamw};
use crate::gradients::squared_norm;

pub(super) fn update(
    value: Tensor<1>,
    gradient: Tensor<1>,
    average: &mut Tensor<1>,
    square: &mut Tensor<1>,
    betas: [f64; 3],
    hyper: Hyper,
) -> Tensor<1> {
    let direction = adamw::direction(gradient, average, square, betas, hyper.update);
    if hyper.weight_decay == 0.0 {
        return value - direction * hyper.learning_rate;
    }
    let direction = direction + value.clone() * hyper.weight_decay;
    let value_norm = squared_norm(&value).sqrt();
    let direction_norm = squared_norm(&direction).sqrt();
    let undefined =
        value_norm.clone().equal_elem(0.0).bool_or(direction_norm.clone().equal_elem(0.0));
    let ratio = (value_norm / direction_norm).mask_fill(undefined, 1.0);
    value - direction * ratio * hyper.learning_rate
}
