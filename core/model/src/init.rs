//! How weights start. Values are drawn on the host, each parameter from a stream of its own name,
//! so that a seed gives the same model on every device.

use burn::{
    module::{Param, ParamId},
    tensor::{Device, Tensor},
};
use rand::Rng as _;
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_burn::kernels::lasting;
use vitral_seed::{Rng, Seed};

/// The two schools of initialisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Init {
    /// google-research/vision_transformer: Xavier-uniform projections, LeCun-normal patch
    /// embedding and MLPs of an MLP-Mixer, zero head.
    #[default]
    Jax,
    /// timm: every linear layer normal with deviation 0.02, zero biases.
    Timm,
}

/// What a weight matrix does, which decides how it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Patches to tokens.
    PatchEmbedding,
    /// A projection in attention, made of so many square parts (3 for packed QKV).
    Attention {
        /// Parts packed along the output.
        parts: usize,
    },
    /// A layer of an MLP.
    Mlp,
    /// A layer of an MLP-Mixer's MLPs.
    MixerMlp,
    /// The pre-logits layer.
    Representation,
    /// The classification head.
    Head,
}

/// A distribution to draw a parameter from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fill {
    Constant(f64),
    Normal {
        std: f64,
    },
    /// Normal cut at two deviations and rescaled to deviation `std`, as Flax draws it.
    TruncatedNormal {
        std: f64,
    },
    Uniform {
        limit: f64,
    },
}

/// The standard deviation of a standard normal cut at two deviations.
const TRUNCATED_STD: f64 = 0.879_625_661_034_239_8;

impl Fill {
    fn draw(self, count: usize, rng: &mut Rng) -> Vec<f32> {
        let mut normal = || -> f64 { StandardNormal.sample(rng) };
        let mut values = Vec::with_capacity(count);
        match self {
            Self::Constant(value) => values.resize(count, value as f32),
            Self::Normal { std } => values.extend((0..count).map(|_| (normal() * std) as f32)),
            Self::TruncatedNormal { std } => values.extend((0..count).map(|_| {
                let value = loop {
                    let value = normal();
                    if value.abs() <= 2.0 {
                        break value;
                    }
                };
                (value * std / TRUNCATED_STD) as f32
            })),
            Self::Uniform { limit } => {
                values.extend((0..count).map(|_| rng.random_range(-limit..=limit) as f32));
            }
        }
        values
    }
}

/// Makes a model's parameters, each named by its path.
#[derive(Clone, Debug)]
pub(crate) struct Initializer {
    seed: Seed,
    init: Init,
    path: String,
    device: Device,
}

impl Initializer {
    pub(crate) fn new(seed: Seed, init: Init, device: &Device) -> Self {
        Self { seed: seed.named("init"), init, path: String::new(), device: device.clone() }
    }

    /// The initializer of a part of the model, as in `blocks.3` or `attn`.
    pub(crate) fn of(&self, part: impl std::fmt::Display) -> Self {
        Self { path: format!("{}{part}.", self.path), ..self.clone() }
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// A parameter of this part, filled from its own stream when somebody asks for its values: until then
    /// there is no memory for it.
    pub(crate) fn parameter<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        fill: Fill,
    ) -> Param<Tensor<D>> {
        let seed = self.seed.named(&format!("{}{name}", self.path));
        let draw = move |device: &Device, trained: bool| {
            let values = fill.draw(shape.iter().product(), &mut seed.rng());
            let values = lasting(&values, shape, device);
            if trained { values.require_grad() } else { values }
        };
        Param::uninitialized(ParamId::new(), draw, self.device.clone(), true, shape.into())
    }

    /// How a `[rows, columns]` weight matrix starts.
    pub(crate) fn weight_fill(&self, role: Role, [rows, columns]: [usize; 2]) -> Fill {
        let xavier =
            |fan_out: usize| Fill::Uniform { limit: (6.0 / (rows + fan_out) as f64).sqrt() };
        let lecun = Fill::TruncatedNormal { std: (1.0 / rows as f64).sqrt() };
        match (self.init, role) {
            (Init::Jax, Role::PatchEmbedding | Role::Representation | Role::MixerMlp) => lecun,
            (Init::Jax, Role::Attention { parts }) => xavier(columns / parts),
            (Init::Jax, Role::Mlp) => xavier(columns),
            (Init::Jax, Role::Head) => Fill::Constant(0.0),
            // PyTorch's own initialisation of a convolution, which timm leaves as it is.
            (Init::Timm, Role::PatchEmbedding) => {
                Fill::Uniform { limit: (1.0 / rows as f64).sqrt() }
            }
            (Init::Timm, _) => Fill::Normal { std: 0.02 },
        }
    }

    /// How the bias beside such a matrix starts.
    pub(crate) fn bias_fill(&self, role: Role, rows: usize) -> Fill {
        match (self.init, role) {
            (Init::Jax, Role::Mlp) => Fill::Normal { std: 1e-6 },
            (Init::Timm, Role::PatchEmbedding) => {
                Fill::Uniform { limit: (1.0 / rows as f64).sqrt() }
            }
            _ => Fill::Constant(0.0),
        }
    }

    /// How the class token starts.
    pub(crate) fn class_token_fill(&self) -> Fill {
        match self.init {
            Init::Jax => Fill::Constant(0.0),
            Init::Timm => Fill::Normal { std: 1e-6 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(fill: Fill) -> (f64, f64, f64) {
        let values = fill.draw(40_000, &mut Seed::new(1).rng());
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let std = (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt();
        let largest = values.iter().fold(0.0_f64, |max, &v| max.max(f64::from(v).abs()));
        (mean, std, largest)
    }

    #[test]
    fn draws_have_the_moments_that_they_name() {
        for (fill, expected_std, bound) in [
            (Fill::Normal { std: 0.02 }, 0.02, 0.1),
            (Fill::TruncatedNormal { std: 0.5 }, 0.5, 2.0 * 0.5 / TRUNCATED_STD + 1e-6),
            (Fill::Uniform { limit: 0.3 }, 0.3 / 3f64.sqrt(), 0.3 + 1e-7),
        ] {
            let (mean, std, largest) = moments(fill);
            assert!(mean.abs() < 0.03 * expected_std, "{fill:?}: mean {mean}");
            assert!((std / expected_std - 1.0).abs() < 0.02, "{fill:?}: std {std}");
            assert!(largest <= bound, "{fill:?}: largest {largest}");
        }
    }
}
