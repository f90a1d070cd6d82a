//! Kernels for GPUs in [CubeCL](https://github.com/tracel-ai/cubecl), which compiles them for CUDA, Vulkan,
//! Metal and DirectX 12.
//!
//! [`GpuKernels`] has all of them as functions of a backend's tensors: of [`CubeBackend`], and of Burn's fusion,
//! which runs them in their order among what it fuses. None of them knows of automatic differentiation: forward
//! and backward are functions of their own, which `vitral-burn` puts together. Tensors are `f32`, `bf16` or `f16`;
//! sums, statistics and the gradients of what is `f32` are `f32`.

#![cfg(feature = "gpu")]
#![recursion_limit = "256"]
// A kernel's arguments are its buffers and sizes, which no type can hold together.
#![allow(clippy::too_many_arguments)]
// What a kernel asks while it is compiled is no part of what it asks while it runs.
#![allow(clippy::collapsible_if)]
// `erf` of kernels is CubeCL's, whatever the standard library may have one day.
#![allow(unstable_name_collisions)]

mod attention;
mod bias;
pub mod block;
mod column_sums;
mod cross_entropy;
mod graph;
mod layer_norm;
mod many;
mod memory;
mod optimizer;
mod parts;
mod pixels;
mod reduce;
mod top_k;

use burn::backend::{
    Backend, ExtensionType, backend_extension,
    fusion::custom::TensorSpec,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::DType;
use burn_cubecl::CubeBackend;

pub use attention::attention_fits;
pub use bias::Activation;
pub use graph::Recorded;
pub use many::{Parameter, Stepped, combined, squared_norm, stepped};
pub use optimizer::{Pace, Rule, Step};

/// A tensor that may not be there.
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub enum Optional<B: Backend> {
    /// None.
    Absent,
    /// This one.
    Present {
        /// It.
        tensor: FloatTensor<B>,
    },
}

/// What there are kernels for.
#[backend_extension(Cube: cfg(feature = "gpu"), Fusion)]
pub trait GpuKernels: Backend {
    /// What `table`, `[256 * channels]`, has for each of `shape`'s bytes, of which four lie in each number,
    /// the first in the lowest bits. The last dimension of `shape` is the channels.
    #[fusion(meta = |_, table, shape| TensorSpec::new((*shape).into(), table.dtype))]
    fn looked_up(
        bytes: IntTensor<Self>,
        table: FloatTensor<Self>,
        shape: [usize; 4],
    ) -> FloatTensor<Self>;

    /// `softmax(scale * q kᵀ + bias) v` of the packed projection `[batch, tokens, 3 * heads * width]`, which
    /// has queries, keys and values, each with its heads side by side: `[batch, tokens, heads * width]`, and the
    /// logarithm of the sum of each row, `[batch, heads, tokens]`. The bias is `[heads, tokens, tokens]` in `f32`.
    #[fusion(meta = attended)]
    fn attention(
        qkv: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        heads: usize,
        scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradient of the packed projection, from [`attention`](Self::attention)'s results and the gradient of
    /// the first of them, in the type of the projection.
    #[fusion(meta = |qkv, _, _, _, _, _| qkv.clone())]
    fn attention_backward(
        qkv: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        out: FloatTensor<Self>,
        logsumexp: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;

    /// The gradient of the bias, summed over the batch.
    #[fusion(meta = |_, bias, _, _, _, _| bias.clone())]
    fn attention_bias_backward(
        qkv: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        out: FloatTensor<Self>,
        logsumexp: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;

    /// LayerNorm over the last dimension of `[rows, width]`, in the type of `x`, and mean and inverse deviation
    /// of each row, `[rows, 2]`. Factors and summands are `f32`.
    #[fusion(meta = |x, _, _, _| (x.clone(), TensorSpec::new([x.shape[0], 2].into(), DType::F32)))]
    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of LayerNorm's input, factors and summands.
    #[fusion(meta = |x, weight, _, _| (x.clone(), weight.clone(), weight.clone()))]
    fn layer_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// The sum of each column of `[rows, width]`, in `f32`: `[width]`.
    #[fusion(meta = |values| TensorSpec::new([values.shape[1]].into(), DType::F32))]
    fn column_sums(values: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `-sum(target * log_softmax(logits))` of each row of `[rows, classes]`, `[rows, 1]`, and the logarithm of
    /// the sum of each row, `[rows, 1]`. All are `f32`.
    #[fusion(meta = of_rows)]
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradient of the logits, from that of each row's loss.
    #[fusion(dtype = logits, shape = logits)]
    fn cross_entropy_backward(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
        logsumexp: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// The places of the `k` largest values of each lane of `[outer, size, inner]` in `f32`, the largest first and of
    /// equal ones the first, in the order of [`f32::total_cmp`]: `[outer, k, inner]`.
    #[fusion(meta = |values, k| {
        TensorSpec::new([values.shape[0], *k, values.shape[2]].into(), DType::I32)
    })]
    fn top_k(values: FloatTensor<Self>, k: usize) -> IntTensor<Self>;
}

fn attended(
    qkv: &TensorSpec,
    _: &OptionalMetadata,
    heads: &usize,
    _: &f32,
) -> (TensorSpec, TensorSpec) {
    let [batch, tokens, packed] = qkv.shape.dims();
    let out = TensorSpec::new([batch, tokens, packed / 3].into(), qkv.dtype);
    (out, TensorSpec::new([batch, *heads, tokens].into(), DType::F32))
}

fn of_rows(logits: &TensorSpec, _: &TensorSpec) -> (TensorSpec, TensorSpec) {
    let row = TensorSpec::new([logits.shape[0], 1].into(), logits.dtype);
    (row.clone(), row)
}

impl GpuKernels for CubeBackend {
    fn looked_up(
        bytes: IntTensor<Self>,
        table: FloatTensor<Self>,
        shape: [usize; 4],
    ) -> FloatTensor<Self> {
        pixels::looked_up(bytes, table, shape)
    }

    fn attention(
        qkv: FloatTensor<Self>,
        bias: Optional<Self>,
        heads: usize,
        scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        attention::forward(qkv, bias.into_option(), heads, scale)
    }

    fn attention_backward(
        qkv: FloatTensor<Self>,
        bias: Optional<Self>,
        out: FloatTensor<Self>,
        logsumexp: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        attention::backward(
            qkv,
            bias.into_option(),
            attention::Results { out, logsumexp, gradient },
            scale,
        )
    }

    fn attention_bias_backward(
        qkv: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        out: FloatTensor<Self>,
        logsumexp: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        attention::bias_backward(qkv, bias, attention::Results { out, logsumexp, gradient }, scale)
    }

    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let norm = layer_norm::Norm { parameters: [weight, bias], eps };
        layer_norm::forward(x, norm).into()
    }

    fn layer_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let besides = layer_norm::Besides::default();
        let found = layer_norm::backward(x, weight, statistics, gradient, besides);
        let mut sums = column_sums::sums_of_parts(&found.norm).into_iter();
        let mut next = || sums.next().unwrap_or_else(|| unreachable!("one for each"));
        (found.x, next(), next())
    }

    fn column_sums(values: FloatTensor<Self>) -> FloatTensor<Self> {
        column_sums::column_sums(values)
    }

    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        cross_entropy::forward(logits, targets)
    }

    fn cross_entropy_backward(
        logits: FloatTensor<Self>,
        targets: FloatTensor<Self>,
        logsumexp: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        cross_entropy::backward(logits, targets, logsumexp, gradient)
    }

    fn top_k(values: FloatTensor<Self>, k: usize) -> IntTensor<Self> {
        top_k::top_k(values, k)
    }
}

impl<B: Backend> Optional<B> {
    fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::Absent => None,
            Self::Present { tensor } => Some(tensor),
        }
    }
}
