//! The parts of a model on the kernels of `vitral-gpu-kernels`, with their backward passes. Each function says
//! whether it takes the tensors that it gets: on a GPU, of a type and of sizes that the kernels are for.

mod attention;
mod bias;
mod block;
mod cross_entropy;
mod layer_norm;
mod operation;
mod optimizer;
mod pixels;
#[cfg(all(test, feature = "wgpu"))]
mod tests;
mod top_k;

pub(super) use attention::{attention, packed_attention, takes_heads};
pub(super) use bias::biased;
pub(super) use block::{block, half};
pub(super) use cross_entropy::cross_entropy;
pub(super) use layer_norm::layer_norm;
pub(crate) use optimizer::float;
#[cfg(feature = "cuda")]
pub(crate) use optimizer::values;
pub(super) use optimizer::{combined, squared_norm, stepped, steps_at_once};
pub(super) use pixels::looked_up;
pub(super) use top_k::top_k;

use burn::tensor::{DType, Device, Tensor};

use crate::{
    composite::{AttentionBranch, Composite, MlpBranch},
    cpu::is_cpu,
    program::RANK,
};

/// Whether a kernel runs a composite for its input, in a model that computes in some type.
pub(super) fn takes(composite: &Composite, input: &Tensor<RANK>, compute: DType) -> bool {
    let takes_attention = |branch: &AttentionBranch| {
        let inner = branch.heads * branch.head_width;
        block::takes(input, compute, 3 * inner) && attention::fits(input, branch.head_width)
    };
    let takes_mlp = |branch: &MlpBranch| block::takes(input, compute, branch.hidden);
    match composite {
        Composite::PackedAttention(attention) => attention::takes_packed(input, attention.heads),
        Composite::AttentionBranch(branch) => takes_attention(branch),
        Composite::MlpBranch(branch) => takes_mlp(branch),
        Composite::Block(attention, mlp) => takes_attention(attention) && takes_mlp(mlp),
        Composite::CheckpointedBlock(..)
        | Composite::ClassAttention(_)
        | Composite::TokenReorganization(_)
        | Composite::PatchEmbedding { .. }
        | Composite::MaxPool => false,
    }
}

/// Whether a device is a GPU: whatever is not the CPU.
pub(super) fn is_gpu(device: &Device) -> bool {
    !is_cpu(device)
}

/// Whether kernels take this type, which they store; they sum in `f32`.
fn is_stored(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::BF16 | DType::F16)
}

/// Whether kernels take a tensor: one on a GPU, of a type that they store, and no larger than what they count in.
pub(super) fn on_gpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    let counted = u32::try_from(tensor.shape().num_elements()).is_ok();
    is_gpu(&tensor.device()) && is_stored(tensor.dtype()) && counted
}
