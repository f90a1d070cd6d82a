//! The parts of a model on the kernels of `vitral-kernels`, with backward passes of their own, and the one
//! place that says which kernels exist for which device and type.
//!
//! Each function here takes tensors on any device and gives what Burn's own operations would: where
//! [`covers`] is true of the tensors it runs a kernel as one operation of automatic differentiation,
//! on a GPU one of `vitral-gpu-kernels` (`gpu`), where there is one for it, and elsewhere it composes Burn's
//! operations, which Burn fuses and tunes for GPUs. Tensors of `bf16` and
//! `f16` are summed and normalised as `f32` (see `compute.rs`). What is larger than an op is a
//! `Composite`: `find` tells what kernel runs it, and `run` has it do so.

mod activation;
mod attention;
mod attention_branch;
mod branch;
mod checkpointed_block;
mod class_attention;
mod cross_entropy;
#[cfg(feature = "gpu")]
mod gpu;
mod kept_tokens;
mod layer_norm;
mod linear;
mod max_pool;
mod memory;
mod mlp_branch;
mod multiplied;
mod operation;
mod optimizer;
mod patch_embedding;
mod pixels;
mod residual;
mod taken;
mod token_reorganization;
mod top_k;

pub(crate) use activation::activate;
pub use attention::{keep_scores, softmax_attention};
pub use cross_entropy::cross_entropy;
#[cfg(feature = "gpu")]
pub(crate) use gpu::float as on_gpu;
#[cfg(feature = "cuda")]
pub(crate) use gpu::values as values_on_gpu;
pub use kept_tokens::kept_tokens;
pub(crate) use layer_norm::layer_norm;
pub(crate) use linear::linear;
pub(crate) use memory::release as release_memory;
pub use memory::{Buffer, lasting};
pub use multiplied::{Multiplied, covers, of_type};
pub use optimizer::{
    Parameter, Stepped, Update, added, scaled, squared_norm, stepped, steps_at_once,
};
pub use pixels::looked_up;
pub use taken::{Taker, taken};
pub(crate) use top_k::top_k;

use burn::{
    backend::DispatchTensor,
    tensor::{DType, Device, Tensor},
};

use crate::{
    composite::Composite,
    program::{RANK, Value},
};
use attention_branch::Attention;
use mlp_branch::Mlp;
use operation::Input;

/// What runs a composite.
#[derive(Clone, Copy, Debug)]
pub enum Kernel {
    /// A kernel of `vitral-kernels`.
    Ours(Multiplied),
    /// A kernel of `vitral-gpu-kernels`.
    #[cfg(feature = "gpu")]
    Gpu,
    /// Burn's own.
    Burns,
}

/// The kernel of a composite for its input, in a model that computes in some type, if there is one.
/// On the CPU, branches take and give `f32`, whatever they multiply in; on a GPU the type that they multiply in.
pub fn find(composite: &Composite, input: &Tensor<RANK>, compute: DType) -> Option<Kernel> {
    #[cfg(feature = "gpu")]
    if gpu::takes(composite, input, compute) {
        return Some(Kernel::Gpu);
    }
    let ours = of_type(compute, &input.device()).map(Kernel::Ours);
    match composite {
        Composite::AttentionBranch(_)
        | Composite::MlpBranch(_)
        | Composite::CheckpointedBlock(..)
        | Composite::ClassAttention(_)
        | Composite::TokenReorganization(_) => ours.filter(|_| input.dtype() == DType::F32),
        Composite::Block(..) | Composite::PackedAttention(_) => None,
        Composite::PatchEmbedding { .. } => ours.filter(|_| input.dtype() == compute),
        Composite::MaxPool => Some(Kernel::Burns),
    }
}

/// Where kernels run the branches of blocks as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branches {
    /// On the CPU.
    OnCpu,
    /// On a GPU.
    OnGpu,
}

/// Where the branches of blocks run as a whole, in a model that computes in some type, if they do.
pub fn branches(compute: DType, device: &Device) -> Option<Branches> {
    #[cfg(feature = "gpu")]
    if gpu::is_gpu(device) {
        return Some(Branches::OnGpu);
    }
    of_type(compute, device).map(|_| Branches::OnCpu)
}

/// The result of a composite by a kernel that [`find`] has found, and how many dimensions it has.
///
/// # Panics
/// If the composite has others than these operands.
pub fn run(
    composite: Composite,
    kernel: Kernel,
    input: Tensor<RANK>,
    others: Vec<Option<DispatchTensor>>,
) -> (Value, usize) {
    match kernel {
        Kernel::Ours(multiplied) => run_ours(composite, multiplied, input, others),
        #[cfg(feature = "gpu")]
        Kernel::Gpu => (run_on_gpu(composite, input, others), 3),
        Kernel::Burns => {
            let Composite::MaxPool = composite else { not_its(&composite) };
            (max_pool::max_pool(input).into(), 4)
        }
    }
}

/// The result of a composite for which `vitral-gpu-kernels` has a kernel.
#[cfg(feature = "gpu")]
fn run_on_gpu(
    composite: Composite,
    input: Tensor<RANK>,
    others: Vec<Option<DispatchTensor>>,
) -> Value {
    match composite {
        Composite::PackedAttention(attention) => {
            let bias = others.into_iter().next().flatten();
            gpu::packed_attention(input, bias, attention.heads, attention.scale).into()
        }
        Composite::AttentionBranch(branch) => gpu::half(branch.into(), input, others).into(),
        Composite::MlpBranch(branch) => gpu::half(branch.into(), input, others).into(),
        Composite::Block(attention, mlp) => {
            gpu::block([attention.into(), mlp.into()], input, others).into()
        }
        _ => not_its(&composite),
    }
}

/// The result of a composite for which `vitral-kernels` has a kernel.
fn run_ours(
    composite: Composite,
    multiplied: Multiplied,
    input: Tensor<RANK>,
    others: Vec<Option<DispatchTensor>>,
) -> (Value, usize) {
    match composite {
        Composite::AttentionBranch(composite) => {
            let operands = inputs(input, others);
            (branch::branch(Attention::new(composite), multiplied, operands).into(), 3)
        }
        Composite::MlpBranch(composite) => {
            let operands = inputs(input, others);
            (branch::branch(Mlp::new(composite), multiplied, operands).into(), 3)
        }
        Composite::CheckpointedBlock(attention, mlp) => {
            let operands = inputs(input, others);
            let out = checkpointed_block::checkpointed_block(attention, mlp, multiplied, operands);
            (out.into(), 3)
        }
        Composite::PatchEmbedding { patch } => {
            let operands = inputs(input, others);
            (patch_embedding::patch_embedding(patch, multiplied, operands).into(), 3)
        }
        Composite::ClassAttention(attention) => {
            let operands = inputs(input, others);
            (class_attention::class_attention(attention, operands).into(), 2)
        }
        Composite::TokenReorganization(reorganization) => {
            let operands = inputs(input, others);
            (token_reorganization::token_reorganization(reorganization, operands).into(), 3)
        }
        Composite::Block(..) | Composite::PackedAttention(_) | Composite::MaxPool => {
            not_its(&composite)
        }
    }
}

fn not_its(composite: &Composite) -> ! {
    unreachable!("`find` gave another kernel for {composite:?}")
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
