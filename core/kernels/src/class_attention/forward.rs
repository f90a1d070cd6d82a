//! The class token's attention, forward.

use pulp::{Simd, WithSimd};

use super::{ClassAttention, Rows, Saved, multiply};
use crate::{
    layer_norm::normalize,
    matmul::{Left, Packed, Store, View, product},
    rows::{self, Shared},
    scratch,
    simd::{dispatch, each_vector, exp, load, store},
};

impl ClassAttention<'_> {
    /// `x`, `[batch, tokens, width]`, to `out`, `[batch, tokens]`. `saved`, of [`ClassAttention::saved_len`]
    /// values, gets what backward wants.
    pub fn forward(&self, x: &[f32], out: &mut [f32], saved: &mut [f32]) {
        let (tokens, width, heads) = (self.tokens, self.width(), self.heads);
        assert_eq!((x.len(), out.len()), (out.len() * width, self.batch * tokens));
        let Saved { queries, directions, weights } = self.saved(saved);
        self.queries(x, queries);
        self.directions(queries, directions);
        let (shared_weights, shared_out) = (Shared::new(weights), Shared::new(out));
        rows::for_each(self.batch, |sample| {
            // SAFETY: each sample has weights, and results, of its own.
            let (weights, out) = unsafe {
                (
                    shared_weights.slice(sample * tokens * heads, tokens * heads),
                    shared_out.slice(sample * tokens, tokens),
                )
            };
            dispatch(Sample {
                of: self,
                x: &x[sample * tokens * width..][..tokens * width],
                directions: &directions[sample * heads * width..][..heads * width],
                weights,
                out,
            });
        });
    }

    /// The class tokens' queries.
    fn queries(&self, x: &[f32], queries: &mut [f32]) {
        let inner = self.inner();
        let class = self.class_tokens(x);
        match self.qkv.bias {
            Some(bias) => {
                queries.chunks_exact_mut(inner).for_each(|row| row.copy_from_slice(&bias[..inner]));
            }
            None => queries.fill(0.0),
        }
        let class = View::new(&class, self.batch, self.width());
        let out = Rows { to: queries, stride: inner, factor: 1.0, add: true };
        multiply(class, self.query_weights(), out);
    }

    /// `scale * Wk q` of each head.
    fn directions(&self, queries: &[f32], directions: &mut [f32]) {
        let (width, inner, head_width) = (self.width(), self.inner(), self.head_width());
        if self.batch == 0 {
            return;
        }
        for head in 0..self.heads {
            let query = &queries[head * head_width..];
            let query = View::strided(query, self.batch, head_width, inner);
            let (to, stride) = (&mut directions[head * width..], self.heads * width);
            let out = Rows { to, stride, factor: self.scale(), add: false };
            multiply(query, self.key_weights(head).transposed(), out);
        }
    }
}

/// One sample's attention.
struct Sample<'a> {
    of: &'a ClassAttention<'a>,
    x: &'a [f32],
    directions: &'a [f32],
    weights: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for Sample<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, x, directions, weights, out } = self;
        let (tokens, width, heads) = (of.tokens, of.width(), of.heads);
        let mut normalized = scratch::take(tokens * width);
        let mut statistics = scratch::take(tokens * 2);
        normalize::<S, f32, f32>(simd, of.norm, x, &mut normalized, &mut statistics, None);
        let mut memory = scratch::take(Packed::<f32>::len::<S>(width, heads));
        let directions = View::new(directions, heads, width).transposed();
        let directions = Packed::<f32>::new(simd, directions, &mut memory);
        let to = weights.as_mut_ptr();
        let scores = Store { to, row_stride: heads, factor: 1.0, add: false };
        // SAFETY: there are as many weights as tokens and heads.
        unsafe { product(simd, Left::rows(&normalized, width), &directions, &scores) };
        softmax(simd, weights, heads);
        let share = 1.0 / heads as f32;
        for (out, weights) in out.iter_mut().zip(weights.chunks_exact(heads)) {
            *out = weights.iter().sum::<f32>() * share;
        }
    }
}

/// Softmax of each column of `[rows, columns]`.
#[inline(always)]
fn softmax<S: Simd>(simd: S, values: &mut [f32], columns: usize) {
    let mut memory = scratch::take(2 * columns);
    let (largest, sums) = memory.split_at_mut(columns);
    largest.fill(f32::MIN);
    sums.fill(0.0);
    for row in values.chunks_exact(columns) {
        largest.iter_mut().zip(row).for_each(|(most, value)| *most = most.max(*value));
    }
    for row in values.chunks_exact_mut(columns) {
        row.iter_mut().zip(&*largest).for_each(|(value, most)| *value -= most);
    }
    let (at_first, len) = (values.as_mut_ptr(), values.len());
    each_vector!(S, len, |at, count| {
        // SAFETY: `count` values lie there.
        unsafe {
            let value = exp(simd, load(simd, at_first.add(at), count));
            store(simd, at_first.add(at), count, value);
        }
    });
    for row in values.chunks_exact(columns) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    for row in values.chunks_exact_mut(columns) {
        row.iter_mut().zip(&*sums).for_each(|(value, sum)| *value /= sum);
    }
}
