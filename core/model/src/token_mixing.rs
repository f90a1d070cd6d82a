//! What lets tokens see each other: attention, or an MLP over the tokens of each channel.

pub use crate::config::TokenMixing;
use crate::{Mode, mlp::MlpBlock, ops::Ops};

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
