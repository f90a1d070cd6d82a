//! Softmax attention of each head, `softmax(scale * q kᵀ + bias) v`, forward and backward.
//!
//! Scores exist only for as many rows as the core's cache takes; backward computes them again from
//! each row's logarithm of its sum (Dao et al. 2022, FlashAttention).

mod backward;
mod forward;
mod operands;

pub use operands::{
    Attention, AttentionGradients, AttentionResult, AttentionShape, HeadStrides, Heads, HeadsMut,
    QkvMemory,
};

use self::{backward::Backward, forward::Forward};
use crate::{
    element::Element,
    instances::instances,
    rows::{self, Shared},
    simd::dispatch,
};

instances! {
    fn attention_forward(
        attention: &Attention<'_, Self>,
        out: HeadsMut<'_, Self>,
        logsumexp: &mut [f32],
    ) => attention.forward_as(out, logsumexp);
    fn attention_backward(
        attention: &Attention<'_, Self>,
        result: AttentionResult<'_, Self>,
        gradient: Heads<'_, Self>,
        gradients: AttentionGradients<'_, Self>,
    ) => attention.backward_as(result, gradient, gradients);
}

impl<T: Instances> Attention<'_, T> {
    /// Computes `out`, and each row's logarithm of its sum, `[batch, heads, queries]`.
    pub fn forward(&self, out: HeadsMut<'_, T>, logsumexp: &mut [f32]) {
        T::attention_forward(self, out, logsumexp);
    }

    /// From the gradient of the result to those of what went in.
    pub fn backward(
        &self,
        result: AttentionResult<'_, T>,
        gradient: Heads<'_, T>,
        gradients: AttentionGradients<'_, T>,
    ) {
        T::attention_backward(self, result, gradient, gradients);
    }
}

impl<T: Element> Attention<'_, T> {
    pub(crate) fn forward_as(&self, out: HeadsMut<'_, T>, logsumexp: &mut [f32]) {
        let AttentionShape { batch, heads, queries, .. } = self.shape;
        assert_eq!(logsumexp.len(), batch * heads * queries);
        let strides = out.strides;
        let (out, logsumexp) = (Shared::new(out.data), Shared::new(logsumexp));
        rows::for_each(batch * heads, |task| {
            let (sample, head) = (task / heads, task % heads);
            // SAFETY: each head of each sample has vectors and sums of its own.
            let (out, logsumexp) = unsafe {
                (out.at(strides.at(sample, head)), logsumexp.slice(task * queries, queries))
            };
            dispatch(Forward {
                attention: self,
                sample,
                head,
                out,
                out_stride: strides.token,
                logsumexp,
            });
        });
    }

    pub(crate) fn backward_as(
        &self,
        result: AttentionResult<'_, T>,
        gradient: Heads<'_, T>,
        gradients: AttentionGradients<'_, T>,
    ) {
        let AttentionShape { batch, heads, queries, keys, .. } = self.shape;
        let memory = match gradients.memory {
            QkvMemory::Packed(memory) => [Shared::new(memory); 3],
            QkvMemory::Apart(memories) => memories.map(Shared::new),
        };
        let strides = gradients.strides;
        let run = |sample: usize, head: usize, bias: Option<&mut [f32]>| {
            dispatch(Backward {
                attention: self,
                result,
                gradient,
                sample,
                head,
                memory,
                strides,
                bias,
            });
        };
        match gradients.bias {
            // The bias's gradient sums over samples: a head's samples take turns.
            Some(bias) => {
                assert_eq!(bias.len(), heads * queries * keys);
                bias.fill(0.0);
                let bias = Shared::new(bias);
                rows::for_each(heads, |head| {
                    for sample in 0..batch {
                        // SAFETY: each head has a part of its own.
                        let bias = unsafe { bias.slice(head * queries * keys, queries * keys) };
                        run(sample, head, Some(bias));
                    }
                });
            }
            None => rows::for_each(batch * heads, |task| run(task / heads, task % heads, None)),
        }
    }
}

#[cfg(test)]
mod tests;
