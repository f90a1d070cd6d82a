//! Softmax attention without a matrix of scores.

use burn::{
    backend::{Cube, DispatchDevice, DispatchTensor, TensorMetadata},
    tensor::{DType, Device, FloatDType, Tensor},
};
use vitral_gpu_kernels::{GpuKernels, Optional, attention_fits};

use super::{
    is_stored, on_gpu,
    operation::{self, Operation, Values, run},
};
use crate::program::RANK;

/// Whether [`packed_attention`] takes this projection, `[.., batch, tokens, 3 * heads * width]`.
pub(super) fn takes_packed(qkv: &Tensor<RANK>, heads: usize) -> bool {
    let [.., packed] = qkv.dims();
    on_gpu(qkv) && fits(qkv, packed / 3 / heads)
}

/// Whether there is a kernel for heads of a width, of any number of images that a device takes at once; none if the
/// device is no GPU.
pub(in super::super) fn takes_heads(dtype: DType, width: usize, device: &Device) -> Option<bool> {
    match device.clone().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device) => {
            Some(is_stored(dtype) && attention_fits(device, dtype, 1, width))
        }
        DispatchDevice::Flex(_) | DispatchDevice::Autodiff(_) => None,
    }
}

/// Whether there is a kernel for heads of a width in the type of tokens on a GPU, `[.., batch, tokens, _]`.
pub(super) fn fits(tokens: &Tensor<RANK>, width: usize) -> bool {
    let [.., batch, _, _] = tokens.dims();
    fits_batch(tokens, batch, width)
}

fn fits_batch<const D: usize>(tensor: &Tensor<D>, batch: usize, width: usize) -> bool {
    let device = operation::on_gpu(tensor.clone().into_dispatch()).device();
    attention_fits(&device, tensor.dtype(), batch, width)
}

/// Attention of queries, keys and values that lie side by side: `[batch, tokens, heads * width]`. The bias is
/// `f32`, `[heads, tokens, tokens]` behind dimensions of 1.
pub(in super::super) fn packed_attention(
    qkv: Tensor<RANK>,
    bias: Option<DispatchTensor>,
    heads: usize,
    scale: f64,
) -> Tensor<3> {
    let [.., batch, tokens, packed] = qkv.dims();
    let bias = bias.map(|bias| {
        let bias = Tensor::<RANK>::from_dispatch(bias);
        bias.reshape([heads, tokens, tokens]).cast(FloatDType::F32)
    });
    let operation = Attention { heads, scale: scale as f32 };
    operation.of(qkv.reshape([batch, tokens, packed]), bias)
}

/// The same of queries, keys and values that lie apart, `[batch, heads, tokens, width]`, with a bias
/// `[1, heads, tokens, tokens]`; none if they have other sizes than that.
pub(in super::super) fn attention(
    [q, k, v]: [&Tensor<4>; 3],
    bias: Option<&Tensor<4>>,
    scale: f64,
) -> Option<Tensor<4>> {
    let [batch, heads, tokens, width] = q.dims();
    let biased = bias
        .is_none_or(|bias| bias.dims() == [1, heads, tokens, tokens] && bias.dtype() == DType::F32);
    let alike =
        [k, v].into_iter().all(|other| other.dims() == q.dims() && other.dtype() == q.dtype());
    if !on_gpu(q) || !alike || !biased || !fits_batch(q, batch, width) {
        return None;
    }
    let side_by_side = |tensor: &Tensor<4>| {
        tensor.clone().swap_dims(1, 2).reshape::<3, _>([batch, tokens, heads * width])
    };
    let qkv = Tensor::cat([q, k, v].map(side_by_side).to_vec(), 2);
    let bias = bias.map(|bias| bias.clone().reshape([heads, tokens, tokens]));
    let out = Attention { heads, scale: scale as f32 }.of(qkv, bias);
    Some(out.reshape::<4, _>([batch, tokens, heads, width]).swap_dims(1, 2))
}

#[derive(Clone, Debug)]
struct Attention {
    heads: usize,
    scale: f32,
}

/// The packed projection, the result, and the logarithm of each row's sum.
type Kept = [Values; 3];

impl Attention {
    fn of(self, qkv: Tensor<3>, bias: Option<Tensor<3>>) -> Tensor<3> {
        let qkv = qkv.into_dispatch();
        match bias {
            Some(bias) => run(self, [qkv, bias.into_dispatch()]),
            None => run(self, [qkv]),
        }
    }

    fn compute(&self, qkv: Values, bias: Optional<Cube>) -> (Values, Kept) {
        let (out, sums) = Cube::attention(qkv.clone(), bias, self.heads, self.scale);
        (out.clone(), [qkv, out, sums])
    }
}

impl Operation<1> for Attention {
    type Saved = Kept;

    fn forward(&self, [qkv]: [Values; 1]) -> (Values, Kept) {
        self.compute(qkv, Optional::Absent)
    }

    fn backward(
        self,
        [qkv, out, sums]: Kept,
        gradient: Values,
        _: [bool; 1],
    ) -> [Option<Values>; 1] {
        let bias = Optional::Absent;
        [Some(Cube::attention_backward(qkv, bias, out, sums, gradient, self.scale))]
    }
}

impl Operation<2> for Attention {
    type Saved = (Kept, Values);

    fn forward(&self, [qkv, bias]: [Values; 2]) -> (Values, Self::Saved) {
        let (out, kept) = self.compute(qkv, Optional::Present { tensor: bias.clone() });
        (out, (kept, bias))
    }

    fn backward(
        self,
        ([qkv, out, sums], bias): Self::Saved,
        gradient: Values,
        [_, wants_bias]: [bool; 2],
    ) -> [Option<Values>; 2] {
        let dbias = wants_bias.then(|| {
            let [qkv, out, sums] = [&qkv, &out, &sums].map(Values::clone);
            let (bias, gradient) = (bias.clone(), gradient.clone());
            Cube::attention_bias_backward(qkv, bias, out, sums, gradient, self.scale)
        });
        let bias = Optional::Present { tensor: bias };
        [Some(Cube::attention_backward(qkv, bias, out, sums, gradient, self.scale)), dbias]
    }
}
