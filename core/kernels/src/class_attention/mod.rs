//! How much the class token takes from each token: `softmax(scale * q_0 kᵀ)` of `layer_norm(x) Wqkv + b`, on
//! average over the heads. Token reorganization (Liang et al. 2022, EViT) ranks patches by it.
//!
//! Of the queries only the class token's are needed, and the keys are never made: a head's scores are
//! `layer_norm(x) (Wk q_0)` but for `q_0 bk`, which is the same for each token, so that softmax does not see
//! it. That takes about a hundredth of what attention does. Everything is in `f32`.

mod backward;
mod forward;
#[cfg(test)]
mod tests;

use pulp::{Simd, WithSimd};

use crate::{
    layer_norm::{LayerNorm, LayerNormGradients},
    linear::{Linear, LinearGradients},
    matmul::{Left, Packed, Store, View, product},
    scratch::{self, Scratch},
    simd::dispatch,
};

/// The parameters of an attention branch that its class token's attention depends on.
#[derive(Clone, Copy, Debug)]
pub struct ClassAttention<'a> {
    /// Samples.
    pub batch: usize,
    /// Tokens of each sample, of which the first is the class token.
    pub tokens: usize,
    /// The LayerNorm before attention.
    pub norm: LayerNorm<'a>,
    /// `[width, 3 * inner]`: queries, keys and values, each with its heads side by side.
    pub qkv: Linear<'a>,
    /// Heads, which divide the inner width.
    pub heads: usize,
}

/// The gradients of the parameters.
#[derive(Debug)]
pub struct ClassAttentionGradients<'a> {
    /// Of the LayerNorm.
    pub norm: LayerNormGradients<'a>,
    /// Of the packed projection. That of the values, and of the keys' bias, is zero.
    pub qkv: LinearGradients<'a>,
}

/// What forward leaves for backward.
struct Saved<'a> {
    /// `[batch, inner]`: the class tokens' queries.
    queries: &'a mut [f32],
    /// `[batch, heads, width]`: what a normalised token is multiplied with for its score.
    directions: &'a mut [f32],
    /// `[batch, tokens, heads]`: what softmax gives.
    weights: &'a mut [f32],
}

impl<'a> ClassAttention<'a> {
    /// Values that forward leaves for backward.
    pub fn saved_len(&self) -> usize {
        self.saved_lens().iter().sum()
    }

    fn saved_lens(&self) -> [usize; 3] {
        let directions = self.heads * self.width();
        [self.inner(), directions, self.tokens * self.heads].map(|each| self.batch * each)
    }

    fn saved<'s>(&self, saved: &'s mut [f32]) -> Saved<'s> {
        let [queries, directions, weights] = self.saved_lens();
        assert_eq!(saved.len(), queries + directions + weights);
        let (queries, rest) = saved.split_at_mut(queries);
        let (directions, weights) = rest.split_at_mut(directions);
        Saved { queries, directions, weights }
    }

    fn width(&self) -> usize {
        self.norm.width()
    }

    /// Width of all heads together.
    fn inner(&self) -> usize {
        self.qkv.outputs / 3
    }

    fn head_width(&self) -> usize {
        self.inner() / self.heads
    }

    fn scale(&self) -> f32 {
        (self.head_width() as f32).sqrt().recip()
    }

    /// The weights of the queries, `[width, inner]`.
    fn query_weights(&self) -> View<'a> {
        View::strided(self.qkv.weight, self.width(), self.inner(), self.qkv.outputs)
    }

    /// The weights of a head's keys, `[width, head_width]`.
    fn key_weights(&self, head: usize) -> View<'a> {
        let first = self.inner() + head * self.head_width();
        let weight = &self.qkv.weight[first..];
        View::strided(weight, self.width(), self.head_width(), self.qkv.outputs)
    }

    /// The class tokens, normalised: `[batch, width]`.
    fn class_tokens(&self, x: &[f32]) -> Scratch {
        let (width, len) = (self.width(), self.batch * self.width());
        let mut rows = scratch::take(len);
        let samples = x.chunks_exact(self.tokens * width);
        for (to, sample) in rows.chunks_exact_mut(width).zip(samples) {
            to.copy_from_slice(&sample[..width]);
        }
        let (mut normalized, mut statistics) = (scratch::take(len), scratch::take(2 * self.batch));
        self.norm.forward_as::<f32, f32>(&rows, &mut normalized, &mut statistics);
        normalized
    }
}

/// Where a product goes.
struct Rows<'a> {
    to: &'a mut [f32],
    /// From one row to the next.
    stride: usize,
    /// Multiplies each value.
    factor: f32,
    /// Whether it is added to what is there.
    add: bool,
}

/// `left right`, of a left operand that lies row by row.
fn multiply(left: View<'_>, right: View<'_>, out: Rows<'_>) {
    let Rows { to, stride: row_stride, factor, add } = out;
    assert_eq!((left.column_stride, left.columns), (1, right.rows));
    let end = left.rows.saturating_sub(1) * row_stride + right.columns;
    assert!(left.rows == 0 || end <= to.len(), "a product within its memory");
    let out = Store { to: to.as_mut_ptr(), row_stride, factor, add };
    Packed::<f32>::lend(right, None, |right| {
        let left = Left {
            data: left.data.as_ptr(),
            rows: left.rows,
            row_stride: left.row_stride,
            padded: false,
        };
        dispatch(Multiply { left, right, out });
    });
}

struct Multiply<'a> {
    left: Left<f32>,
    right: Packed<'a>,
    out: Store<f32>,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: `multiply` has seen to it that the operands fit, and that the product lies in its memory.
        unsafe { product(simd, self.left, &self.right, &self.out) };
    }
}
