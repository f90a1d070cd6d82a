//! The feed-forward half of a block, and the MLP over tokens in the place of attention.

use burn::module::Module;
use vitral_kernels::activation::Activation;
use vitral_program::ops as op;

pub use crate::config::Mlp;
use crate::{
    Mode, ViTConfig,
    init::{Initializer, Role},
    layers::Linear,
    ops::Ops,
};

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
    /// The MLP over the channels of a token, of so many hidden neurons.
    pub(crate) fn new(init: &Initializer, config: &ViTConfig, hidden: usize) -> Self {
        let role = if config.is_mixer() { Role::MixerMlp } else { Role::Mlp };
        Self::of_size(init, config, role, config.width(), hidden)
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

    /// `[.., width]` to the same.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O, input: O::Tensor, mode: Mode) -> O::Tensor {
        let projected = self.fc1.forward(ops, input);
        let hidden = match self.activation {
            Mlp::Gelu => ops.apply(op::Gelu {}, [projected]),
            Mlp::GeluTanh => ops.apply(op::GeluTanh {}, [projected]),
            Mlp::SwiGlu => ops.in_f32([projected], |ops, [projected]| {
                let last = ops.dims(&projected).len().saturating_sub(1);
                let [gate, value] = ops.split(projected, last);
                let sigmoid = ops.apply(op::Sigmoid {}, [gate.clone()]);
                let silu = ops.mul(gate, sigmoid);
                ops.mul(silu, value)
            }),
        };
        let hidden = ops.dropout(hidden, self.dropout, mode.of("hidden"));
        let output = self.fc2.forward(ops, hidden);
        ops.dropout(output, self.dropout, mode.of("output"))
    }
}
