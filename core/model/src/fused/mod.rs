//! The parts of a model on the fused kernels of `vitral-kernels`, with backward passes of their own.
//!
//! Each function here takes tensors on any device and gives what its Burn modules would: where the
//! tensors are `f32` on the CPU it runs a kernel as one operation of automatic differentiation,
//! elsewhere it composes Burn's operations, which Burn fuses and tunes for GPUs. Tensors of `bf16` and
//! `f16` are summed and normalised as `f32` (see `compute.rs`). Models call these functions without asking
//! where they run, but for branches, blocks and patch embeddings that one kernel runs as a whole, and whose
//! other form is theirs: whether one does is what `covers` tells.

mod activation;
mod attention;
mod attention_branch;
mod checkpointed_block;
mod cross_entropy;
mod layer_norm;
mod linear;
mod memory;
mod mlp_branch;
mod operation;
mod patch_embedding;
mod residual;

pub(crate) use activation::activate;
pub(crate) use attention::softmax_attention;
pub(crate) use attention_branch::{AttentionParts, attention_branch};
pub(crate) use checkpointed_block::checkpointed_block;
pub use cross_entropy::cross_entropy;
pub(crate) use layer_norm::layer_norm;
pub(crate) use linear::linear;
pub use memory::Buffer;
pub(crate) use memory::release as release_memory;
pub(crate) use mlp_branch::{MlpParts, mlp_branch};
pub(crate) use patch_embedding::{EmbeddingParts, patch_embedding};
pub(crate) use residual::ResidualParts;

use burn::tensor::{DType, Tensor};

use crate::device::is_cpu;

/// Whether kernels exist for this tensor: it is `f32`, and on the CPU.
pub fn covers<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && is_cpu(&tensor.device())
}
