//! The ways that a part of a model can be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What lets the tokens of a block see each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum TokenMixing {
    /// Multi-head attention (Dosovitskiy et al. 2021).
    #[default]
    Attention,
    /// An MLP over the tokens of each channel, the same for all channels (MLP-Mixer, Tolstikhin et al.
    /// 2021). Its weights belong to the places of the grid, so that the image size is fixed.
    Mlp {
        /// Its hidden width (vit_jax `tokens_mlp_dim`); half the width of a token if none, as in the
        /// published models.
        #[serde(default)]
        #[schemars(range(min = 1, max = 65536))]
        hidden: Option<usize>,
    },
}

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

/// How tokens, queries and keys are normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Normalization {
    /// To mean 0 and variance 1, then scaled and shifted (Ba, Kiros and Hinton 2016).
    #[default]
    LayerNorm,
    /// To a mean square of 1, then scaled (Zhang and Sennrich 2019; ViT-5, Wang et al. 2026).
    RmsNorm,
}

/// How the tokens of an image become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Pool {
    /// The class token (vit_jax `token`).
    #[default]
    ClassToken,
    /// The mean of the patches (vit_jax `gap`, timm `avg`).
    Mean,
    /// The class token, followed by the mean of the patches: twice as wide (DINOv2's linear
    /// classifiers, Oquab et al. 2023).
    ClassTokenAndMean,
    /// Multi-head attention pooling with a learned query (big_vision `map`, Zhai et al. 2022).
    Map,
}

/// The position embedding that is added to the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Position {
    /// A learned vector per position, the class token's included (Dosovitskiy et al. 2021).
    #[default]
    Learned,
    /// Fixed sines and cosines of row and column (Beyer, Zhai and Kolesnikov 2022); the class
    /// token gets none.
    SinCos2d,
    /// Nothing is added; for use with `rope` or `relative_position_bias`.
    None,
}
