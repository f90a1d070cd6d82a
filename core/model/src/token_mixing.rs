//! What lets tokens see each other: attention, or an MLP over the tokens of each channel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Mode, mlp::MlpBlock, ops::Ops};

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

/// `[B, tokens, width]` to the same: an MLP over the tokens of each channel.
pub(crate) fn mix_tokens<O: Ops>(
    ops: &mut O,
    mlp: &MlpBlock,
    tokens: O::Tensor,
    mode: Mode,
) -> O::Tensor {
    let channels = ops.transpose(tokens, &[0, 2, 1]);
    let mixed = mlp.forward(ops, channels, mode);
    ops.transpose(mixed, &[0, 2, 1])
}
