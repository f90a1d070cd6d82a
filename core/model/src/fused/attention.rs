//! Softmax attention of queries, keys and values that lie apart.

use burn::{
    backend::flex::FlexTensor,
    tensor::{Tensor, activation},
};
use vitral_kernels::attention::{
    Attention, AttentionGradients, AttentionResult, AttentionShape, HeadStrides, Heads, HeadsMut,
    QkvMemory,
};

use super::{
    covers,
    memory::Buffer,
    operation::{Input, Operation, count, from_last, optional_values, run, shape, values},
};

/// `softmax(scale * q kᵀ + bias) v`, with `q` `[batch, heads, queries, head_dim]`, `k` and `v`
/// `[batch, heads, keys, …]`, and `bias` `[1, heads, queries, keys]`.
pub(crate) fn softmax_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    bias: Option<Tensor<4>>,
    scale: f64,
) -> Tensor<4> {
    if !covers(&q) {
        let mut scores = (q * scale).matmul(k.swap_dims(2, 3));
        if let Some(bias) = bias {
            scores = scores + bias;
        }
        return activation::softmax(scores, 3).matmul(v);
    }
    let inputs = [Input::new(q), Input::new(k), Input::new(v), Input::optional(bias)];
    run(Softmax { scale: scale as f32 }, inputs)
}

#[derive(Clone, Debug)]
struct Softmax {
    scale: f32,
}

/// Strides of a tensor `[batch, heads, tokens, dim]`.
fn strides(tensor: &FlexTensor) -> HeadStrides {
    HeadStrides::heads_first(from_last(tensor, 2), from_last(tensor, 1), from_last(tensor, 0))
}

fn heads(tensor: &FlexTensor) -> Heads<'_> {
    Heads { data: values(tensor), strides: strides(tensor) }
}

impl Softmax {
    fn of<'a>(&self, [q, k, v, bias]: &'a [FlexTensor; 4]) -> Attention<'a> {
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

impl Operation<4> for Softmax {
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
        let (mut out, mut logsumexp) = (Buffer::new(rows * value_dim), Buffer::new(rows));
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
        let [mut dq, mut dk, mut dv] = [q, k, v].map(|tensor| Buffer::new(count(tensor)));
        let mut dbias = wanted[3].then(|| Buffer::new(count(bias)));
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
