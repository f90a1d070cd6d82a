//! Stochastic gradient descent with momentum, as PyTorch defines it.

use burn::tensor::Tensor;

use super::Hyper;

pub(super) fn update(
    value: Tensor<1>,
    gradient: Tensor<1>,
    momentum: Option<(&mut Tensor<1>, f64)>,
    nesterov: bool,
    hyper: Hyper,
) -> Tensor<1> {
    let gradient = match hyper.weight_decay {
        0.0 => gradient,
        decay => gradient + value.clone() * decay,
    };
    let direction = match momentum {
        None => gradient,
        Some((buffer, momentum)) => {
            // The first buffer is zero, so that it becomes the first gradient.
            buffer.inplace(|buffer| buffer * momentum + gradient.clone());
            if nesterov { gradient + buffer.clone() * momentum } else { buffer.clone() }
        }
    };
    value - direction * hyper.learning_rate
}
