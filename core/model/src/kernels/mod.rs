//! The parts of a model on the kernels of `vitral-kernels`, with backward passes of their own, and the one
//! place that says which kernels exist for which device and type.
//!
//! Each function here takes tensors on any device and gives what Burn's own operations would: where
//! [`covers`] is true of the tensors it runs a kernel as one operation of automatic differentiation,
//! elsewhere it composes Burn's operations, which Burn fuses and tunes for GPUs. Tensors of `bf16` and
//! `f16` are summed and normalised as `f32` (see `compute.rs`). What is larger than an op is a
//! [`Composite`]: [`has`] tells whether a kernel runs it, and [`run`] has it do so.

mod activation;
mod attention;
mod attention_branch;
mod checkpointed_block;
mod cross_entropy;
mod layer_norm;
mod linear;
mod max_pool;
mod memory;
mod mlp_branch;
mod operation;
mod patch_embedding;
mod residual;

pub(crate) use activation::activate;
pub(crate) use attention::softmax_attention;
pub use cross_entropy::cross_entropy;
pub(crate) use layer_norm::layer_norm;
pub(crate) use linear::linear;
pub use memory::Buffer;
pub(crate) use memory::release as release_memory;

use burn::{
    backend::DispatchTensor,
    tensor::{DType, Device, Tensor},
};

use crate::{
    composite::Composite,
    device::is_cpu,
    program::{RANK, Value},
};
use operation::Input;

/// Whether kernels exist for this tensor.
pub fn covers<const D: usize>(tensor: &Tensor<D>) -> bool {
    exist_for(tensor.dtype(), &tensor.device())
}

/// Whether kernels exist for a type of values on a device: for `f32` on the CPU.
pub(crate) fn exist_for(dtype: DType, device: &Device) -> bool {
    dtype == DType::F32 && is_cpu(device)
}

/// Whether there is a kernel of a composite for its input.
pub(crate) fn has(composite: &Composite, input: &Tensor<RANK>) -> bool {
    match composite {
        Composite::AttentionBranch(_)
        | Composite::MlpBranch(_)
        | Composite::CheckpointedBlock(..)
        | Composite::PatchEmbedding { .. } => covers(input),
        // Burn's, everywhere.
        Composite::MaxPool => true,
    }
}

/// The result of a composite that [`has`] a kernel, and how many dimensions it has.
pub(crate) fn run(
    composite: Composite,
    input: Tensor<RANK>,
    others: Vec<Option<DispatchTensor>>,
) -> (Value, usize) {
    match composite {
        Composite::AttentionBranch(branch) => {
            let out = attention_branch::attention_branch(branch, inputs(input, others));
            (Value::Float(out), 3)
        }
        Composite::MlpBranch(branch) => {
            (Value::Float(mlp_branch::mlp_branch(branch, inputs(input, others))), 3)
        }
        Composite::CheckpointedBlock(attention, mlp) => {
            let operands = inputs(input, others);
            let out = checkpointed_block::checkpointed_block(attention, mlp, operands);
            (Value::Float(out), 3)
        }
        Composite::PatchEmbedding { patch } => {
            let out = patch_embedding::patch_embedding(patch, inputs(input, others));
            (Value::from(out), 3)
        }
        Composite::MaxPool => (Value::from(max_pool::max_pool(input)), 4),
    }
}

/// The operands of an operation, in their order.
///
/// # Panics
/// If there are others than `N`.
fn inputs<const N: usize>(input: Tensor<RANK>, others: Vec<Option<DispatchTensor>>) -> [Input; N] {
    let all: Vec<Input> = [Input::new(input)]
        .into_iter()
        .chain(others.into_iter().map(|other| other.map_or_else(Input::none, Input::of)))
        .collect();
    let count = all.len();
    all.try_into().unwrap_or_else(|_| panic!("{count} operands in the place of {N}"))
}
