//! AdamW (Loshchilov and Hutter 2019), in PyTorch's order of operations.

use burn::tensor::Tensor;

use super::{Hyper, blend};

pub(super) fn update(
    value: Tensor<1>,
    gradient: Tensor<1>,
    average: &mut Tensor<1>,
    square: &mut Tensor<1>,
    [beta1, beta2, eps]: [f64; 3],
    hyper: Hyper,
) -> Tensor<1> {
    let direction = direction(gradient, average, square, [beta1, beta2, eps], hyper.update);
    value * (1.0 - hyper.learning_rate * hyper.weight_decay) - direction * hyper.learning_rate
}

/// Adam's step before the learning rate: both averages corrected for their start at zero.
pub(super) fn direction(
    gradient: Tensor<1>,
    average: &mut Tensor<1>,
    square: &mut Tensor<1>,
    [beta1, beta2, eps]: [f64; 3],
    update: u64,
) -> Tensor<1> {
    blend(square, gradient.clone().square(), beta2);
    blend(average, gradient, beta1);
    let correction = |beta: f64| 1.0 - beta.powf(update as f64);
    let root = square.clone().div_scalar(correction(beta2)).sqrt().add_scalar(eps);
    average.clone().div_scalar(correction(beta1)) / root
}
