//! Softmax attention of queries, keys and values that lie apart.

use std::marker::PhantomData;

use burn::{
    backend::flex::FlexTensor,
    tensor::{DType, Device, Tensor, activation},
};
use half::bf16;
use vitral_kernels::attention::{
    Attention, AttentionGradients, AttentionResult, AttentionShape, HeadStrides, Heads, HeadsMut,
    QkvMemory,
};

use super::{
    memory::{Buffer, Stored},
    multiplied::{Multiplied, multiplied, of_type},
    operation::{
        Input, Operation, count, from_last, optional_values, run, shape, values, values_of,
    },
};
use crate::compute::in_f32;

/// `softmax(scale * q kᵀ + bias) v`, with `q` `[batch, heads, queries, head_dim]`, `k` and `v`
/// `[batch, heads, keys, …]`, and `bias` `[1, heads, queries, keys]`. Both products are of the type of
/// `q`; the bias is `f32`, and so is all between them.
pub fn softmax_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    bias: Option<Tensor<4>>,
    scale: f64,
) -> Tensor<4> {
    #[cfg(feature = "gpu")]
    if let Some(out) = super::gpu::attention([&q, &k, &v], bias.as_ref(), scale) {
        return out;
    }
    let Some(multiplied) = multiplied(&q) else {
        let weights = in_f32((q * scale).matmul(k.swap_dims(2, 3)), |scores| {
            let scores = match bias {
                Some(bias) => scores + bias,
                None => scores,
            };
            activation::softmax(scores, 3)
        });
        return weights.matmul(v);
    };
    let inputs = [Input::new(q), Input::new(k), Input::new(v), Input::optional(bias)];
    let scale = scale as f32;
    match multiplied {
        Multiplied::F32 => run(Softmax::<f32> { scale, multiplied: PhantomData }, inputs),
        Multiplied::Bf16 => run(Softmax::<bf16> { scale, multiplied: PhantomData }, inputs),
    }
}

/// Whether attention keeps the scores of all tokens for backward, with heads of some width in a model that computes
/// in some type.
pub fn keep_scores(dtype: DType, width: usize, device: &Device) -> bool {
    #[cfg(feature = "gpu")]
    if let Some(takes) = super::gpu::takes_heads(dtype, width, device) {
        return !takes;
    }
    #[cfg(not(feature = "gpu"))]
    let _ = width;
    of_type(dtype, device).is_none()
}

#[derive(Clone, Debug)]
struct Softmax<T> {
    scale: f32,
    multiplied: PhantomData<T>,
}

/// Strides of a tensor `[batch, heads, tokens, dim]`.
fn strides(tensor: &FlexTensor) -> HeadStrides {
    HeadStrides::heads_first(from_last(tensor, 2), from_last(tensor, 1), from_last(tensor, 0))
}

fn heads<T: Stored>(tensor: &FlexTensor) -> Heads<'_, T> {
    Heads { data: values_of(tensor), strides: strides(tensor) }
}

impl<T: Stored> Softmax<T> {
    fn of<'a>(&self, [q, k, v, bias]: &'a [FlexTensor; 4]) -> Attention<'a, T> {
        let shape = AttentionShape {
            batch: from_last(q, 3),
            heads: from_last(q, 2),
            queries: from_last(q, 1),
            keys: from_last(k, 1),
            head_dim: from_last(q, 0),
            value_dim: from_last(v, 0),
            scale: self.scale,
        };
        Attention { shape, q: heads(q), k: heads(k), v: heads(v), bias: optional_values(bias) }
    }
}

impl<T: Stored> Operation<4> for Softmax<T> {
    /// The result, and each row's logarithm of its sum.
    type Saved = [FlexTensor; 2];

    fn forward(
        &self,
        inputs: &[FlexTensor; 4],
        keep: bool,
    ) -> (FlexTensor, Option<[FlexTensor; 2]>) {
        let attention = self.of(inputs);
        let AttentionShape { batch, heads, queries, value_dim, .. } = attention.shape;
        let rows = batch * heads * queries;
        let mut out = Buffer::<T>::new(rows * value_dim);
        let mut logsumexp = Buffer::<f32>::new(rows);
        let strides = HeadStrides::heads_first(heads, queries, value_dim);
        attention.forward(HeadsMut { data: &mut out, strides }, &mut logsumexp);
        let out = out.into_tensor([batch, heads, queries, value_dim]);
        let saved = keep.then(|| [out.clone(), logsumexp.into_tensor([batch, heads, queries])]);
        (out, saved)
    }

    fn backward(
        self,
        inputs: [FlexTensor; 4],
        [out, logsumexp]: [FlexTensor; 2],
        gradient: FlexTensor,
        wanted: [bool; 4],
    ) -> [Option<FlexTensor>; 4] {
        let attention = self.of(&inputs);
        let [q, k, v, bias] = &inputs;
        let [mut dq, mut dk, mut dv] = [q, k, v].map(|tensor| Buffer::<T>::new(count(tensor)));
        let mut dbias = wanted[3].then(|| Buffer::<f32>::new(count(bias)));
        attention.backward(
            AttentionResult { out: heads(&out), logsumexp: values(&logsumexp) },
            heads(&gradient),
            AttentionGradients {
                memory: QkvMemory::Apart([&mut dq, &mut dk, &mut dv]),
                strides: [q, k, v].map(strides),
                bias: dbias.as_deref_mut(),
            },
        );
        [
            Some(dq.into_tensor(shape(q))),
            Some(dk.into_tensor(shape(k))),
            Some(dv.into_tensor(shape(v))),
            dbias.map(|buffer| buffer.into_tensor(shape(bias))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{FloatDType, TensorData};

    use super::*;

    /// One query with two keys that both score `score`; the result is the second one's weight.
    fn weight_of_second(score: f32, bias: [f32; 2], dtype: FloatDType) -> f32 {
        let device = Device::flex();
        let tensor = |values: [f32; 2], shape: [usize; 4]| {
            Tensor::<4>::from_data(TensorData::new(values.to_vec(), shape), &device)
        };
        let q = Tensor::<4>::full([1, 1, 1, 1], 16.0, &device).cast(dtype);
        let k = tensor([score / 16.0; 2], [1, 1, 2, 1]).cast(dtype);
        let v = tensor([0.0, 1.0], [1, 1, 2, 1]).cast(dtype);
        let bias = tensor(bias, [1, 1, 1, 2]);
        softmax_attention(q, k, v, Some(bias), 1.0).cast(FloatDType::F32).into_scalar()
    }

    /// Next to a score of 4096, `f16` has no numbers between 4096 and 4100, and `bf16` none between
    /// 4096 and 4128: a bias of 1 would be lost. A score of 60000 and a bias of 10000 would together
    /// be infinite in `f16`, and the softmax not a number.
    #[test]
    fn scores_are_summed_in_f32() {
        let exact = 1.0 / (1.0 + (-1f32).exp());
        for (dtype, rounding) in
            [(FloatDType::F16, 2f32.powi(-11)), (FloatDType::BF16, 2f32.powi(-8))]
        {
            let found = weight_of_second(4096.0, [0.0, 1.0], dtype);
            assert!((found / exact - 1.0).abs() <= rounding, "{dtype:?}: {found} is not {exact}");
            let found = weight_of_second(60_000.0, [10_000.0, 10_001.0], dtype);
            assert!((found / exact - 1.0).abs() <= rounding, "{dtype:?}: {found} is not {exact}");
        }
        let found = weight_of_second(4096.0, [0.0, 1.0], FloatDType::F32);
        assert!((found / exact - 1.0).abs() < 1e-5, "f32: {found} is not {exact}");
    }
}
