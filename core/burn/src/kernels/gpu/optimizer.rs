//! Steps of optimizers, sums of gradients, and the norm that these are clipped by, for all parameters in a few launches.

use burn::{
    backend::{Cube, DispatchTensor},
    tensor::{DType, Tensor},
};
use vitral_gpu_kernels::{self as gpu, Pace, Step};
use vitral_kernels::optimizer::Rule;

use super::{
    on_gpu,
    operation::{self, Values},
};
use crate::kernels::{Parameter, Stepped, Update};

/// Whether kernels take these values: all on a GPU, all `f32`.
pub(in super::super) fn steps_at_once(values: &[Tensor<1>]) -> bool {
    let is_taken = |values: &Tensor<1>| on_gpu(values) && values.dtype() == DType::F32;
    !values.is_empty() && values.iter().all(is_taken)
}

/// The sum of the squares of all values of at least one tensor, `[1]`.
pub(in super::super) fn squared_norm(tensors: &[Tensor<1>]) -> Tensor<1> {
    tensor(gpu::squared_norm(tensors.iter().cloned().map(values).collect()))
}

/// Tensors times a factor, to which others are added, if there are any.
pub(in super::super) fn combined(
    tensors: Vec<Tensor<1>>,
    factor: f64,
    others: Vec<Tensor<1>>,
) -> Vec<Tensor<1>> {
    let [tensors, others] =
        [tensors, others].map(|tensors| tensors.into_iter().map(values).collect());
    gpu::combined(tensors, factor, others).into_iter().map(tensor).collect()
}

/// All parameters after their step.
pub(in super::super) fn stepped(
    parameters: Vec<Parameter>,
    clip: Option<&Tensor<1>>,
    update: Update,
) -> Vec<Stepped> {
    let parameter = |of: Parameter| gpu::Parameter {
        value: values(of.value),
        gradient: values(of.gradient),
        averages: of.averages.into_iter().map(values).collect(),
        ema: of.ema.map(values),
        pace: Pace { learning_rate: of.learning_rate, weight_decay: of.weight_decay },
    };
    let parameters = parameters.into_iter().map(parameter).collect();
    let stepped = gpu::stepped(parameters, clip.cloned().map(values), step(update));
    let found = stepped.into_iter().map(|of| Stepped {
        value: tensor(of.value),
        averages: of.averages.into_iter().map(tensor).collect(),
        ema: of.ema.map(tensor),
    });
    found.collect()
}

fn step(Update { rule, number, ema_decay }: Update) -> Step {
    let plain =
        Step { rule: gpu::Rule::Sgd, betas: [0.0; 2], corrections: [1.0; 2], eps: 0.0, ema_decay };
    match rule {
        Rule::AdamW { beta1, beta2, eps } => {
            let correction = |beta: f64| 1.0 / (1.0 - beta.powf(number as f64));
            let betas = [beta1, beta2];
            let corrections = betas.map(correction);
            Step { rule: gpu::Rule::AdamW, betas, corrections, eps, ..plain }
        }
        Rule::Sgd { momentum: 0.0, .. } => plain,
        Rule::Sgd { momentum, nesterov } => {
            Step { rule: gpu::Rule::Momentum { nesterov }, betas: [momentum, 0.0], ..plain }
        }
        Rule::Lion { beta1, beta2 } => {
            Step { rule: gpu::Rule::Lion, betas: [beta1, beta2], ..plain }
        }
    }
}

/// A tensor on a GPU as the backend has it.
pub(crate) fn values(tensor: Tensor<1>) -> Values {
    float(tensor.into_dispatch())
}

/// The same of a tensor of any rank.
pub(crate) fn float(tensor: DispatchTensor) -> Values {
    operation::on_gpu(tensor).float()
}

fn tensor(values: Values) -> Tensor<1> {
    Tensor::from_primitive::<Cube>(values)
}
