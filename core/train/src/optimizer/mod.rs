//! Optimizers. Each is one function from a parameter, its gradient and its slots (the averages that
//! it keeps) to the next value; all work on flat vectors, on whatever device these are. Muon alone
//! looks at the shape that a parameter has.

mod adamw;
mod at_once;
mod fused;
mod lamb;
mod lion;
mod muon;
mod sgd;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_burn::kernels::{covers, lasting};
use vitral_kernels::optimizer::Rule;
use vitral_model::parameters::ParameterInfo;

pub use self::muon::UpdateScale;
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
        /// Share of the last update that is carried over.
        #[serde(default = "default_momentum")]
        #[schemars(range(min = 0.0, max = 0.999_999))]
        momentum: f64,
        /// Looks ahead along the momentum (Nesterov).
        #[serde(default)]
        nesterov: bool,
    },
    /// Sign of an interpolated momentum (Chen et al. 2023); needs a learning rate 3 to 10 times
    /// lower than AdamW's, and a weight decay higher by the same factor.
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
    /// Momentum that Newton–Schulz iterations make about orthogonal (Jordan 2024) for the weight
    /// matrices of the blocks, each as it is stored, so that queries, keys and values are one, as in
    /// timm; AdamW for all else: patches, positions, tokens, norms, biases and the head.
    Muon {
        /// Share of the momentum that is carried over.
        #[serde(default = "default_muon_momentum")]
        #[schemars(range(min = 0.0, max = 0.999_999))]
        momentum: f64,
        /// Looks ahead along the momentum (Nesterov).
        #[serde(default = "default_nesterov")]
        nesterov: bool,
        /// Newton–Schulz iterations of an update.
        #[serde(default = "default_iterations")]
        #[schemars(range(min = 1, max = 20))]
        #[schemars(extend("otherNames" = ["ns_steps", "newton_schulz_steps"]))]
        iterations: u32,
        /// How large an update is, by the matrix's sides.
        #[serde(default)]
        #[schemars(extend("otherNames" = ["adjust_lr_fn"]))]
        update_scale: UpdateScale,
        /// Factor on the learning rate of what AdamW trains.
        #[serde(default = "default_adamw_scale")]
        #[schemars(range(min = 0.0, max = 1000.0))]
        #[schemars(extend("otherNames" = ["fallback_lr_scale"]))]
        adamw_scale: f64,
        /// AdamW's decay of the gradient's average.
        #[serde(default = "default_beta1")]
        #[schemars(range(min = 0.0, max = 0.999_999))]
        #[schemars(extend("otherNames" = ["betas"]))]
        beta1: f64,
        /// AdamW's decay of the squared gradient's average.
        #[serde(default = "default_muon_beta2")]
        #[schemars(range(min = 0.0, max = 0.999_999))]
        #[schemars(extend("otherNames" = ["betas"]))]
        beta2: f64,
        /// Added by AdamW to the root of the squared gradient's average.
        #[serde(default = "default_eps")]
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

fn default_muon_momentum() -> f64 {
    0.95
}

fn default_nesterov() -> bool {
    true
}

fn default_iterations() -> u32 {
    5
}

fn default_adamw_scale() -> f64 {
    1.0
}

fn default_muon_beta2() -> f64 {
    0.95
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
    /// Names of the averages kept of a parameter, as in checkpoints (PyTorch's names).
    pub(crate) fn slots(&self, name: &str, shape: &[usize]) -> &'static [&'static str] {
        match self {
            Self::Muon { .. } if muon::matrix(name, shape).is_some() => &["momentum_buffer"],
            Self::AdamW { .. } | Self::Lamb { .. } | Self::Muon { .. } => {
                &["exp_avg", "exp_avg_sq"]
            }
            Self::Sgd { momentum, .. } if *momentum == 0.0 => &[],
            Self::Sgd { .. } => &["momentum_buffer"],
            Self::Lion { .. } => &["exp_avg"],
        }
    }

    /// Whether each value moves for itself, whatever else is in its parameter.
    pub(crate) fn is_elementwise(&self) -> bool {
        matches!(self, Self::AdamW { .. } | Self::Sgd { .. } | Self::Lion { .. })
    }

    /// The rule of kernels that move all values; of Muon that of what is no matrix.
    fn rule(&self) -> Option<Rule> {
        match *self {
            Self::AdamW { beta1, beta2, eps } | Self::Muon { beta1, beta2, eps, .. } => {
                Some(Rule::AdamW { beta1, beta2, eps })
            }
            Self::Sgd { momentum, nesterov } => Some(Rule::Sgd { momentum, nesterov }),
            Self::Lion { beta1, beta2 } => Some(Rule::Lion { beta1, beta2 }),
            // It needs norms of a parameter's whole update.
            Self::Lamb { .. } => None,
        }
    }

    /// How many averages are kept of every parameter; of some it may be more.
    pub(crate) fn fewest_slots(&self) -> usize {
        match self {
            Self::AdamW { .. } | Self::Lamb { .. } => 2,
            Self::Sgd { momentum, .. } if *momentum == 0.0 => 0,
            Self::Sgd { .. } | Self::Lion { .. } | Self::Muon { .. } => 1,
        }
    }

    fn update(
        &self,
        value: Tensor<1>,
        gradient: Tensor<1>,
        slots: &mut [Tensor<1>],
        matrix: Option<[usize; 2]>,
        hyper: Hyper,
    ) -> Tensor<1> {
        match (*self, slots) {
            (Self::Muon { beta1, beta2, eps, adamw_scale, .. }, [average, square]) => {
                let learning_rate = hyper.learning_rate * adamw_scale;
                let hyper = Hyper { learning_rate, ..hyper };
                adamw::update(value, gradient, average, square, [beta1, beta2, eps], hyper)
            }
            (Self::Muon { momentum, nesterov, iterations, update_scale, .. }, [buffer]) => {
                // Of no other is there one average alone.
                let sides = matrix.unwrap_or_else(|| unreachable!("a matrix"));
                let rule = muon::Rule { momentum, nesterov, iterations, update_scale };
                muon::update(value, gradient, buffer, sides, rule, hyper)
            }
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
    /// Rows and columns of the parameters that Muon moves as matrices.
    matrices: Vec<Option<[usize; 2]>>,
    /// One list per parameter, in the order of [`Optimizer::slots`].
    pub(crate) slots: Vec<Vec<Tensor<1>>>,
}

impl OptimizerState {
    /// All averages zero, beside the parameters' values.
    pub(crate) fn new(optimizer: Optimizer, infos: &[ParameterInfo], values: &[Tensor<1>]) -> Self {
        let averages = |(info, value): (&ParameterInfo, &Tensor<1>)| {
            let slots = optimizer.slots(&info.name, &info.shape);
            slots.iter().map(|_| zeros(value)).collect()
        };
        let is_muon = matches!(optimizer, Optimizer::Muon { .. });
        let matrix = |info: &ParameterInfo| muon::matrix(&info.name, &info.shape);
        let matrices = infos.iter().map(|info| matrix(info).filter(|_| is_muon));
        Self {
            optimizer,
            matrices: matrices.collect(),
            slots: infos.iter().zip(values).map(averages).collect(),
        }
    }

    /// Whether an update of these values is one pass over memory, which makes nothing but the new
    /// values.
    pub(crate) fn is_one_pass(&self, values: &[Tensor<1>]) -> bool {
        fused::rule(&self.optimizer, values).is_some()
            || at_once::rule(&self.optimizer, values).is_some()
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
            return fused::step(self, rule, values, gradients, clip, groups, hyper, ema);
        }
        if let Some(rule) = at_once::rule(&self.optimizer, &values) {
            return at_once::step(self, rule, values, gradients, clip, groups, hyper, ema);
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
            .zip(self.slots.iter_mut().zip(&self.matrices))
            .map(|(((value, gradient), group), (slots, matrix))| {
                let hyper = Hyper {
                    learning_rate: hyper.learning_rate * group.learning_rate_scale,
                    weight_decay: group.weight_decay.unwrap_or(hyper.weight_decay),
                    ..hyper
                };
                self.optimizer.update(value, gradient, slots, *matrix, hyper)
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
