//! Lion (Chen et al. 2023): the sign of an interpolated momentum, with decoupled weight decay.

use burn::tensor::Tensor;

use super::{Hyper, blend};

pub(super) fn update(
    value: Tensor<1>,
    gradient: Tensor<1>,
    average: &mut Tensor<1>,
    [beta1, beta2]: [f64; 2],
    hyper: Hyper,
) -> Tensor<1> {
    let direction = (average.clone() * beta1 + gradient.clone() * (1.0 - beta1)).sign();
    blend(average, gradient, beta2);
    value * (1.0 - hyper.learning_rate * hyper.weight_decay) - direction * hyper.learning_rate
}
