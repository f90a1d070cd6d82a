//! The feed-forward half of a block, and the MLP over tokens in the place of attention.

use burn::{
    module::{Module, Param},
    tensor::{Tensor, activation::silu},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_kernels::activation::Activation;

use crate::{
    Mode, ViTConfig,
    compute::in_f32,
    drop::dropout,
    fused::{self, MlpParts, ResidualParts},
    init::{Initializer, Role},
    layers::Linear,
};

/// The MLP's activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mlp {
    /// Exact GELU, `x Phi(x)` (timm's default).
    Gelu,
    /// The tanh approximation of GELU (vit_jax's default, and the faster one).
    #[default]
    GeluTanh,
    /// `silu(gate) * value`, both from one projection of twice the hidden width (Shazeer 2020).
    SwiGlu,
}

/// Two linear layers with an activation between them.
#[derive(Module, Debug)]
pub struct MlpBlock {
    /// `[width, hidden]`, or `[width, 2 * hidden]` (gate, then value) for SwiGLU.
    pub fc1: Linear,
    /// `[hidden, width]`
    pub fc2: Linear,
    #[module(skip)]
    activation: Mlp,
    #[module(skip)]
    dropout: f64,
}

impl MlpBlock {
    pub(crate) fn new(init: &Initializer, config: &ViTConfig) -> Self {
        let role = if config.is_mixer() { Role::MixerMlp } else { Role::Mlp };
        Self::of_size(init, config, role, config.width(), config.mlp_dim())
    }

    /// The MLP over the tokens of a channel, where there is one: `tokens` stand for the width.
    pub(crate) fn over_tokens(init: &Initializer, config: &ViTConfig) -> Option<Self> {
        let (tokens, hidden) = (config.grid() * config.grid(), config.tokens_mlp_dim()?);
        Some(Self::of_size(init, config, Role::MixerMlp, tokens, hidden))
    }

    fn of_size(
        init: &Initializer,
        config: &ViTConfig,
        role: Role,
        width: usize,
        hidden: usize,
    ) -> Self {
        let projected = if config.mlp == Mlp::SwiGlu { 2 * hidden } else { hidden };
        Self {
            fc1: Linear::new(&init.of("fc1"), role, width, projected, true),
            fc2: Linear::new(&init.of("fc2"), role, hidden, width, true),
            activation: config.mlp,
            dropout: config.dropout,
        }
    }

    /// The activation.
    pub(crate) const fn activation(&self) -> Mlp {
        self.activation
    }

    /// The activation, if there is a kernel of the whole branch.
    pub(crate) fn plain(&self, mode: Mode) -> Option<Activation> {
        if mode.noise(self.dropout).is_some() {
            return None;
        }
        match self.activation {
            Mlp::Gelu => Some(Activation::Gelu),
            Mlp::GeluTanh => Some(Activation::GeluTanh),
            Mlp::SwiGlu => None,
        }
    }

    /// What a kernel of the whole branch takes, with the activation that [`MlpBlock::plain`] gave.
    pub(crate) fn parts(&self, residual: ResidualParts, activation: Activation) -> MlpParts {
        MlpParts {
            residual,
            fc1_weight: self.fc1.weight.val(),
            fc1_bias: self.fc1.bias.as_ref().map(Param::val),
            fc2_weight: self.fc2.weight.val(),
            fc2_bias: self.fc2.bias.as_ref().map(Param::val),
            activation,
        }
    }

    /// `[batch, tokens, width]` to the same.
    pub fn forward(&self, input: Tensor<3>, mode: Mode) -> Tensor<3> {
        let projected = self.fc1.forward(input);
        let hidden = match self.activation {
            Mlp::Gelu => fused::activate(projected, Activation::Gelu),
            Mlp::GeluTanh => fused::activate(projected, Activation::GeluTanh),
            Mlp::SwiGlu => in_f32(projected, |projected| {
                let [_, _, width] = projected.dims();
                let gate = projected.clone().narrow(2, 0, width / 2);
                silu(gate) * projected.narrow(2, width / 2, width / 2)
            }),
        };
        let hidden = dropout(hidden, self.dropout, mode.of("hidden"));
        dropout(self.fc2.forward(hidden), self.dropout, mode.of("output"))
    }
}
