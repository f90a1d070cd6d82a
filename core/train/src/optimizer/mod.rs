//! Optimizers. Each is one function from a parameter, its gradient and its slots (the averages that
//! it keeps) to the next value; all work on flat vectors, on whatever device these are.

mod adamw;
mod fused;
mod lamb;
mod lion;
mod sgd;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_model::kernels::{covers, lasting};

use crate::{ema::Ema, gradients::scale, groups::ParameterGroup};

/// The rule that turns gradients into updates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Optimizer {
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    AdamW {
        /// Decay of the gradient's average.
        #[serde(default = "default_beta1")]
        #[schemars(range(min = 0.0, max = 0.999_999))]
        #[schemars(extend("otherNames" = ["betas"]))]
        beta1: f64,
        /// Decay of the squared gradient's average.
        #[serde(default = "default_beta2")]
        #[schemars(range(min = 0.0, max = 0.999_999))]
        #[schemars(extend("otherNames" = ["betas"]))]
        beta2: f64,
        /// Added to the root of the squared gradient's average.
        #[serde(default = "default_eps")]
        #[schemars(range(min = 0.0, max = 1.0))]
        eps: f64,
    },
    /// Stochastic gradient descent with momentum, as PyTorch's: weight decay is added to the
    /// gradient.
    Sgd {
        /// Share of the last update that goes on.
        #[serde(default = "default_momentum")]
        #[schemars(range(min = 0.0, max = 0.999_999))]
        momentum: f64,
        /// Looks ahead along the momentum (Nesterov).
        #[serde(default)]
        nesterov: bool,
    },
    /// Sign of an interpolated momentum (Chen et al. 2023); wants a learning rate 3 to 10 times
    /// lower than AdamW's, and a weight decay as much higher.
    Lion {
        /// Weight of the momentum in the update.
        #[serde(default = "default_beta1")]
        #[schemars(range(min = 0.0, max = 0.999_999))]
        #[schemars(extend("otherNames" = ["betas"]))]
        beta1: f64,
        /// Decay of the momentum.
        #[serde(default = "default_lion_beta2")]
        #[schemars(range(min = 0.0, max = 0.999_999))]
        #[schemars(extend("otherNames" = ["betas"]))]
        beta2: f64,
    },
    /// Layer-wise adaptive rates for large batches (You et al. 2020).
    Lamb {
        /// Decay of the gradient's average.
        #[serde(default = "default_beta1")]
        #[schemars(range(min = 0.0, max = 0.999_999))]
        #[schemars(extend("otherNames" = ["betas"]))]
        beta1: f64,
        /// Decay of the squared gradient's average.
        #[serde(default = "default_beta2")]
        #[schemars(range(min = 0.0, max = 0.999_999))]
        #[schemars(extend("otherNames" = ["betas"]))]
        beta2: f64,
        /// Added to the root of the squared gradient's average.
        #[serde(default = "default_lamb_eps")]
        #[schemars(range(min = 0.0, max = 1.0))]
        eps: f64,
    },
}

fn default_beta1() -> f64 {
    0.9
}

fn default_beta2() -> f64 {
    0.999
}

fn default_eps() -> f64 {
    1e-8
}

fn default_momentum() -> f64 {
    0.9
}

fn default_lion_beta2() -> f64 {
    0.99
}

fn default_lamb_eps() -> f64 {
    1e-6
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::AdamW { beta1: default_beta1(), beta2: default_beta2(), eps: default_eps() }
    }
}

/// What one update of one parameter goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hyper {
    /// Learning rate of this parameter at this step.
    pub learning_rate: f64,
    /// Weight decay of this parameter at this step.
    pub weight_decay: f64,
    /// Updates made, this one included.
    pub update: u64,
}

impl Optimizer {
    /// Names of the averages kept per parameter, as in checkpoints (PyTorch's names).
    pub(crate) fn slots(&self) -> &'static [&'static str] {
        match self {
            Self::AdamW { .. } | Self::Lamb { .. } => &["exp_avg", "exp_avg_sq"],
            Self::Sgd { momentum, .. } if *momentum == 0.0 => &[],
            Self::Sgd { .. } => &["momentum_buffer"],
            Self::Lion { .. } => &["exp_avg"],
        }
    }

    fn update(
        &self,
        value: Tensor<1>,
        gradient: Tensor<1>,
        slots: &mut [Tensor<1>],
        hyper: Hyper,
    ) -> Tensor<1> {
        match (*self, slots) {
            (Self::AdamW { beta1, beta2, eps }, [average, square]) => {
                adamw::update(value, gradient, average, square, [beta1, beta2, eps], hyper)
            }
            (Self::Lamb { beta1, beta2, eps }, [average, square]) => {
                lamb::update(value, gradient, average, square, [beta1, beta2, eps], hyper)
            }
            (Self::Lion { beta1, beta2 }, [average]) => {
                lion::update(value, gradient, average, [beta1, beta2], hyper)
            }
            (Self::Sgd { momentum, nesterov }, slots) => {
                let buffer = slots.first_mut().map(|buffer| (buffer, momentum));
                sgd::update(value, gradient, buffer, nesterov, hyper)
            }
            (_, slots) => unreachable!("{} slots were made by `slots`", slots.len()),
        }
    }
}

/// The averages that an optimizer keeps of a model's parameters.
pub(crate) struct OptimizerState {
    optimizer: Optimizer,
    /// One list per parameter, in the order of [`Optimizer::slots`].
    pub(crate) slots: Vec<Vec<Tensor<1>>>,
}

impl OptimizerState {
    /// All averages zero, beside the parameters' values.
    pub(crate) fn new(optimizer: Optimizer, values: &[Tensor<1>]) -> Self {
        let slots = values
            .iter()
            .map(|value| optimizer.slots().iter().map(|_| zeros(value)).collect())
            .collect();
        Self { optimizer, slots }
    }

    /// Whether an update of these values is one pass over memory, which makes nothing but the new
    /// values.
    pub(crate) fn is_one_pass(&self, values: &[Tensor<1>]) -> bool {
        fused::rule(&self.optimizer, values).is_some()
    }

    /// Moves every parameter by one step, and the weights' moving average after it. Gradients count
    /// `clip` times, `[1]`, where it is given.
    pub(crate) fn step(
        &mut self,
        values: Vec<Tensor<1>>,
        gradients: Vec<Tensor<1>>,
        clip: Option<&Tensor<1>>,
        groups: &[ParameterGroup],
        hyper: Hyper,
        ema: Option<&mut Ema>,
    ) -> Vec<Tensor<1>> {
        if let Some(rule) = fused::rule(&self.optimizer, &values) {
            let slots = &mut self.slots;
            return fused::step(rule, values, gradients, clip, slots, groups, hyper, ema);
        }
        self.step_by_parameter(values, gradients, clip, groups, hyper, ema)
    }

    /// Moves one parameter after the other by Burn's operations, on any device.
    fn step_by_parameter(
        &mut self,
        values: Vec<Tensor<1>>,
        gradients: Vec<Tensor<1>>,
        clip: Option<&Tensor<1>>,
        groups: &[ParameterGroup],
        hyper: Hyper,
        ema: Option<&mut Ema>,
    ) -> Vec<Tensor<1>> {
        let gradients = match clip {
            Some(factor) => scale(gradients, factor),
            None => gradients,
        };
        let values: Vec<_> = values
            .into_iter()
            .zip(gradients)
            .zip(groups)
            .zip(&mut self.slots)
            .map(|(((value, gradient), group), slots)| {
                let hyper = Hyper {
                    learning_rate: hyper.learning_rate * group.learning_rate_scale,
                    weight_decay: group.weight_decay.unwrap_or(hyper.weight_decay),
                    ..hyper
                };
                self.optimizer.update(value, gradient, slots, hyper)
            })
            .collect();
        if let Some(ema) = ema {
            ema.update(&values, hyper.update);
        }
        values
    }
}

/// An average that has seen nothing of a parameter.
fn zeros(value: &Tensor<1>) -> Tensor<1> {
    match covers(value) {
        true => lasting(&vec![0.0; value.dims()[0]], value.dims(), &value.device()),
        false => value.zeros_like(),
    }
}

/// `average = beta * average + (1 - beta) * value`, in place.
fn blend(average: &mut Tensor<1>, value: Tensor<1>, beta: f64) {
    average.inplace(|average| average * beta + value * (1.0 - beta));
}
