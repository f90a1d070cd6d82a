//! The feed-forward half of a block.

use burn::{
    module::Module,
    tensor::{Tensor, activation},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Mode, ViTConfig,
    drop::dropout,
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
        let (width, hidden) = (config.width(), config.mlp_dim());
        let projected = if config.mlp == Mlp::SwiGlu { 2 * hidden } else { hidden };
        Self {
            fc1: Linear::new(&init.of("fc1"), Role::Mlp, width, projected, true),
            fc2: Linear::new(&init.of("fc2"), Role::Mlp, hidden, width, true),
            activation: config.mlp,
            dropout: config.dropout,
        }
    }

    /// `[batch, tokens, width]` to the same.
    pub fn forward(&self, input: Tensor<3>, mode: Mode) -> Tensor<3> {
        let projected = self.fc1.forward(input);
        let hidden = match self.activation {
            Mlp::Gelu => activation::gelu(projected),
            Mlp::GeluTanh => activation::gelu_approximate(projected),
            Mlp::SwiGlu => {
                let [_, _, width] = projected.dims();
                let gate = projected.clone().narrow(2, 0, width / 2);
                activation::silu(gate) * projected.narrow(2, width / 2, width / 2)
            }
        };
        let hidden = dropout(hidden, self.dropout, mode.of("hidden"));
        dropout(self.fc2.forward(hidden), self.dropout, mode.of("output"))
    }
}
