//! The class token's attention, backward.

use pulp::{Simd, WithSimd};

use super::{ClassAttention, ClassAttentionGradients, Rows, Saved, multiply};
use crate::{
    layer_norm::normalize,
    matmul::View,
    rows::{self, Shared},
    scratch,
    simd::dispatch,
};

impl ClassAttention<'_> {
    /// From the gradient of the result, `[batch, tokens]`, to those of `x` and of the parameters.
    pub fn backward(
        &self,
        x: &[f32],
        saved: &mut [f32],
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: ClassAttentionGradients<'_>,
    ) {
        let (tokens, width, heads) = (self.tokens, self.width(), self.heads);
        assert_eq!((x.len(), gradient.len()), (x_gradient.len(), self.batch * tokens));
        let Saved { queries, directions, weights } = self.saved(saved);

        // Through softmax and scores, to normalised tokens and to directions.
        let mut normalized_gradient = scratch::take(x.len());
        let mut statistics = scratch::take(2 * self.batch * tokens);
        let mut direction_gradient = scratch::take(directions.len());
        let [shared_tokens, shared_statistics, shared_directions] =
            [&mut normalized_gradient[..], &mut statistics, &mut direction_gradient]
                .map(Shared::new);
        rows::for_each(self.batch, |sample| {
            let part = |values: usize| (sample * values, values);
            let slice = |shared: Shared, (at, len)| {
                // SAFETY: each sample has values of its own in all three.
                unsafe { shared.slice(at, len) }
            };
            dispatch(Sample {
                of: self,
                x: &x[sample * tokens * width..][..tokens * width],
                directions: &directions[sample * heads * width..][..heads * width],
                weights: &weights[sample * tokens * heads..][..tokens * heads],
                gradient: &gradient[sample * tokens..][..tokens],
                statistics: slice(shared_statistics, part(2 * tokens)),
                normalized_gradient: slice(shared_tokens, part(tokens * width)),
                direction_gradient: slice(shared_directions, part(heads * width)),
            });
        });

        // Through `scale * Wk q` to the queries, and through these to the class tokens.
        let inner = self.inner();
        let mut query_gradient = scratch::take(self.batch * inner);
        if self.batch > 0 {
            for head in 0..heads {
                let from = View::strided(
                    &direction_gradient[head * width..],
                    self.batch,
                    width,
                    heads * width,
                );
                let to = &mut query_gradient[head * self.head_width()..];
                let out = Rows { to, stride: inner, factor: self.scale(), add: false };
                multiply(from, self.key_weights(head), out);
            }
        }
        let stride = tokens * width;
        let class_gradient = Rows { to: &mut normalized_gradient, stride, factor: 1.0, add: true };
        let from = View::new(&query_gradient, self.batch, inner);
        multiply(from, self.query_weights().transposed(), class_gradient);

        let weight = Shared::new(gradients.qkv.weight);
        let (class, blocks) = (self.class_tokens(x), rows::blocks::<f32>(width));
        rows::for_each(blocks.len(), |task| {
            let rows = &blocks[task];
            let [first, len] = [rows.start, rows.len()].map(|row| row * 3 * inner);
            dispatch(Weights {
                of: self,
                first: rows.start,
                class: &class,
                queries,
                query_gradient: &query_gradient,
                direction_gradient: &direction_gradient,
                // SAFETY: each block has rows of its own.
                out: unsafe { weight.slice(first, len) },
            });
        });
        if let Some(bias) = gradients.qkv.bias {
            bias.fill(0.0);
            for row in query_gradient.chunks_exact(inner) {
                bias.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
        }
        self.norm.backward_as::<f32, f32>(
            x,
            &statistics,
            &normalized_gradient,
            x_gradient,
            gradients.norm,
        );
    }
}

/// `to += factor * from`
#[inline(always)]
fn add_scaled(to: &mut [f32], factor: f32, from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

/// From the gradient of one sample's attention to those of its normalised tokens and of its directions.
struct Sample<'a> {
    of: &'a ClassAttention<'a>,
    x: &'a [f32],
    directions: &'a [f32],
    weights: &'a [f32],
    gradient: &'a [f32],
    statistics: &'a mut [f32],
    normalized_gradient: &'a mut [f32],
    direction_gradient: &'a mut [f32],
}

impl WithSimd for Sample<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, x, directions, weights, gradient, .. } = self;
        let (tokens, width, heads) = (of.tokens, of.width(), of.heads);
        let mut normalized = scratch::take(tokens * width);
        normalize::<S, f32, f32>(simd, of.norm, x, &mut normalized, self.statistics, None);
        // Of each head, the mean of the gradient by its weights.
        let mut means = scratch::take(heads);
        means.fill(0.0);
        for (&gradient, weights) in gradient.iter().zip(weights.chunks_exact(heads)) {
            add_scaled(&mut means, gradient, weights);
        }
        let share = 1.0 / heads as f32;
        self.direction_gradient.fill(0.0);
        for (token, &gradient) in gradient.iter().enumerate() {
            let normalized = &normalized[token * width..][..width];
            let to = &mut self.normalized_gradient[token * width..][..width];
            to.fill(0.0);
            for head in 0..heads {
                let score = share * weights[token * heads + head] * (gradient - means[head]);
                let of_head = head * width..(head + 1) * width;
                add_scaled(to, score, &directions[of_head.clone()]);
                add_scaled(&mut self.direction_gradient[of_head], score, normalized);
            }
        }
    }
}

/// Some rows of the packed projection's gradient.
struct Weights<'a> {
    of: &'a ClassAttention<'a>,
    first: usize,
    class: &'a [f32],
    queries: &'a [f32],
    query_gradient: &'a [f32],
    direction_gradient: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let of = self.of;
        let (width, inner, heads) = (of.width(), of.inner(), of.heads);
        let (head_width, scale) = (of.head_width(), of.scale());
        for (row, out) in self.out.chunks_exact_mut(3 * inner).enumerate() {
            let channel = self.first + row;
            out.fill(0.0);
            let (to_queries, rest) = out.split_at_mut(inner);
            let to_keys = &mut rest[..inner];
            for sample in 0..of.batch {
                let of_sample = sample * inner..(sample + 1) * inner;
                let query_gradient = &self.query_gradient[of_sample.clone()];
                add_scaled(to_queries, self.class[sample * width + channel], query_gradient);
                let queries = self.queries[of_sample].chunks_exact(head_width);
                let keys = to_keys.chunks_exact_mut(head_width);
                for (head, (to, query)) in keys.zip(queries).enumerate() {
                    let at = (sample * heads + head) * width + channel;
                    add_scaled(to, scale * self.direction_gradient[at], query);
                }
            }
        }
    }
}
