//! The tokens that token reorganization leaves (Liang et al. 2022, EViT): those before the patches, the patches
//! that the class token attends to most, and the sum of the others, each weighted by that attention.

use pulp::{Simd, WithSimd};

use crate::{
    rows::{self, Shared},
    simd::{dispatch, each_vector, load, store},
};

/// What is left of each sample's tokens.
#[derive(Clone, Copy, Debug)]
pub struct TokenReorganization {
    /// Tokens of each sample.
    pub tokens: usize,
    /// Values of a token.
    pub width: usize,
    /// Tokens before the patches, which stay.
    pub prefix: usize,
    /// How many of the patches stay, by falling attention; of equal attention the first.
    pub kept: usize,
    /// Whether there is a token for the others.
    pub fuse: bool,
}

impl TokenReorganization {
    /// Tokens of each sample that are left.
    pub fn left(&self) -> usize {
        self.prefix + self.kept + usize::from(self.fuse)
    }

    /// Patches of each sample.
    pub fn patches(&self) -> usize {
        self.tokens - self.prefix
    }

    /// `tokens`, `[batch, tokens, width]`, by `attention`, `[batch, tokens]`, to `out`, `[batch, left, width]`.
    /// `order`, `[batch, patches]`, gets the places of those that stay, and behind them those that go.
    pub fn forward(&self, tokens: &[f32], attention: &[f32], out: &mut [f32], order: &mut [u32]) {
        let (width, patches) = (self.width, self.patches());
        let batch = attention.len() / self.tokens.max(1);
        let left = self.left() * width;
        assert!(self.kept <= patches);
        assert_eq!(
            (tokens.len(), attention.len(), out.len(), order.len()),
            (attention.len() * width, batch * self.tokens, batch * left, batch * patches)
        );
        let (out, order) = (Shared::new(out), Shared::new(order));
        rows::for_each(batch, |sample| {
            // SAFETY: each sample has results, and an order, of its own.
            let (out, order) =
                unsafe { (out.slice(sample * left, left), order.slice(sample * patches, patches)) };
            let tokens = &tokens[sample * self.tokens * width..][..self.tokens * width];
            let attention = &attention[sample * self.tokens..][..self.tokens];
            self.rank(attention, order);
            let (prefix, rest) = out.split_at_mut(self.prefix * width);
            let (stay, fused) = rest.split_at_mut(self.kept * width);
            let (order, go) = order.split_at(self.kept);
            prefix.copy_from_slice(&tokens[..self.prefix * width]);
            for (to, &place) in stay.chunks_exact_mut(width).zip(order) {
                to.copy_from_slice(&tokens[place as usize * width..][..width]);
            }
            if self.fuse {
                dispatch(Fuse { tokens, attention, go, out: fused });
            }
        });
    }

    /// Places of patches in the order in which they stay, and behind these of those that go, as they lie.
    fn rank(&self, attention: &[f32], order: &mut [u32]) {
        order.iter_mut().zip(self.prefix as u32..).for_each(|(to, place)| *to = place);
        let of = |place: u32| attention[place as usize];
        order.sort_by(|&one, &other| of(other).total_cmp(&of(one)));
        order[self.kept..].sort_unstable();
    }

    /// From the gradient of the result to those of the tokens and of the attention. `order` is forward's.
    pub fn backward(
        &self,
        tokens: &[f32],
        attention: &[f32],
        order: &[u32],
        gradient: &[f32],
        token_gradient: &mut [f32],
        attention_gradient: &mut [f32],
    ) {
        let (width, patches) = (self.width, self.patches());
        let batch = attention.len() / self.tokens.max(1);
        let left = self.left() * width;
        assert_eq!(
            (gradient.len(), order.len(), token_gradient.len(), attention_gradient.len()),
            (batch * left, batch * patches, tokens.len(), attention.len())
        );
        let of_tokens = Shared::new(token_gradient);
        let of_attention = Shared::new(attention_gradient);
        rows::for_each(batch, |sample| {
            let [first, len] = [sample, 1].map(|samples| samples * self.tokens);
            // SAFETY: each sample has gradients of its own.
            let (token_gradient, attention_gradient) = unsafe {
                (of_tokens.slice(first * width, len * width), of_attention.slice(first, len))
            };
            let (prefix, rest) = gradient[sample * left..][..left].split_at(self.prefix * width);
            let (stay, fused) = rest.split_at(self.kept * width);
            let (order, go) = order[sample * patches..][..patches].split_at(self.kept);
            attention_gradient.fill(0.0);
            token_gradient[..self.prefix * width].copy_from_slice(prefix);
            for (from, &place) in stay.chunks_exact(width).zip(order) {
                token_gradient[place as usize * width..][..width].copy_from_slice(from);
            }
            if self.fuse {
                dispatch(FuseBackward {
                    tokens: &tokens[first * width..][..len * width],
                    attention: &attention[first..][..len],
                    go,
                    gradient: fused,
                    token_gradient,
                    attention_gradient,
                });
            } else {
                for &place in go {
                    token_gradient[place as usize * width..][..width].fill(0.0);
                }
            }
        });
    }
}

/// The sum of the tokens that go.
struct Fuse<'a> {
    tokens: &'a [f32],
    attention: &'a [f32],
    go: &'a [u32],
    out: &'a mut [f32],
}

impl WithSimd for Fuse<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.out.len();
        self.out.fill(0.0);
        let to = self.out.as_mut_ptr();
        for &place in self.go {
            let weight = simd.splat_f32s(self.attention[place as usize]);
            let token = self.tokens[place as usize * width..][..width].as_ptr();
            each_vector!(S, width, |at, count| {
                // SAFETY: both are `width` long.
                unsafe {
                    let sum = load(simd, to.add(at), count);
                    let sum = simd.mul_add_e_f32s(load(simd, token.add(at), count), weight, sum);
                    store(simd, to.add(at), count, sum);
                }
            });
        }
    }
}

/// From the gradient of the sum to those of the tokens that go, and of their attention.
struct FuseBackward<'a> {
    tokens: &'a [f32],
    attention: &'a [f32],
    go: &'a [u32],
    gradient: &'a [f32],
    token_gradient: &'a mut [f32],
    attention_gradient: &'a mut [f32],
}

impl WithSimd for FuseBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.gradient.len();
        let gradient = self.gradient.as_ptr();
        for &place in self.go {
            let weight = simd.splat_f32s(self.attention[place as usize]);
            let token = self.tokens[place as usize * width..][..width].as_ptr();
            let to = self.token_gradient[place as usize * width..][..width].as_mut_ptr();
            let mut sum = simd.splat_f32s(0.0);
            each_vector!(S, width, |at, count| {
                // SAFETY: all are `width` long.
                unsafe {
                    let gradient = load(simd, gradient.add(at), count);
                    sum = simd.mul_add_e_f32s(load(simd, token.add(at), count), gradient, sum);
                    store(simd, to.add(at), count, simd.mul_f32s(gradient, weight));
                }
            });
            self.attention_gradient[place as usize] = simd.reduce_sum_f32s(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, all_differences, assert_close, on_each_instruction_set, values};

    fn exact(of: TokenReorganization, all: &[Vec<f64>], order: &[u32]) -> Vec<f64> {
        let (tokens, attention, width) = (&all[0], &all[1], of.width);
        let batch = attention.len() / of.tokens;
        let mut out = Vec::new();
        for sample in 0..batch {
            let at = |token: usize| &tokens[(sample * of.tokens + token) * width..][..width];
            let order = order[sample * of.patches()..][..of.patches()].iter();
            let order: Vec<usize> = order.map(|&place| place as usize).collect();
            let (stay, go) = order.split_at(of.kept);
            (0..of.prefix).chain(stay.iter().copied()).for_each(|token| out.extend(at(token)));
            if of.fuse {
                out.extend((0..width).map(|channel| {
                    let weighted =
                        |&token: &usize| attention[sample * of.tokens + token] * at(token)[channel];
                    go.iter().map(weighted).sum::<f64>()
                }));
            }
        }
        out
    }

    #[test]
    fn values_and_gradients_are_exact() {
        on_each_instruction_set(|set| {
            for (tokens, width, prefix, kept, fuse) in
                [(9, 5, 1, 4, true), (8, 37, 3, 2, false), (4, 1, 1, 3, true), (6, 16, 1, 0, true)]
            {
                let of = TokenReorganization { tokens, width, prefix, kept, fuse };
                let name = format!("{set:?} {of:?}");
                let x = values(3 * tokens * width, 1);
                let attention: Vec<f32> =
                    values(3 * tokens, 2).iter().map(|value| value.abs()).collect();
                let mut out = vec![f32::NAN; 3 * of.left() * width];
                let mut order = vec![0; 3 * of.patches()];
                of.forward(&x, &attention, &mut out, &mut order);
                for (order, attention) in order.chunks(of.patches()).zip(attention.chunks(tokens)) {
                    let (stay, go) = order.split_at(kept);
                    assert!(stay.is_sorted_by_key(|&at| -attention[at as usize]), "{name}");
                    let least = stay.last().map_or(f32::MAX, |&at| attention[at as usize]);
                    assert!(go.iter().all(|&at| attention[at as usize] <= least), "{name}");
                    let mut all = order.to_vec();
                    all.sort_unstable();
                    assert_eq!(all, (prefix as u32..tokens as u32).collect::<Vec<_>>(), "{name}");
                }
                let inputs = [&x[..], &attention];
                let exact = |all: &[Vec<f64>]| exact(of, all, &order);
                assert_close(&name, &out, &exact(&inputs.map(testing::wide)), 1e-6);
                let gradient = values(out.len(), 3);
                let mut got = inputs.map(|input| vec![f32::NAN; input.len()]);
                let [dx, dattention] = &mut got;
                of.backward(&x, &attention, &order, &gradient, dx, dattention);
                let expected = all_differences(&inputs, &gradient, exact);
                for (which, (got, exact)) in got.iter().zip(&expected).enumerate() {
                    assert_close(&format!("{name}, gradient {which}"), got, exact, 1e-6);
                }
            }
        });
    }

    #[test]
    fn of_equal_attention_the_first_stay() {
        let of = TokenReorganization { tokens: 5, width: 1, prefix: 1, kept: 2, fuse: true };
        let (mut out, mut order) = (vec![0.0; 4], vec![0; 4]);
        of.forward(&[9.0, 1.0, 2.0, 3.0, 4.0], &[0.0, 0.25, 0.25, 0.5, 0.25], &mut out, &mut order);
        assert_eq!((out, order), (vec![9.0, 3.0, 1.0, 1.5], vec![3, 1, 2, 4]));
    }

    /// They rank as they do in `f32::total_cmp`, and nothing panics.
    #[test]
    fn attention_that_is_not_a_number_has_some_order() {
        let of = TokenReorganization { tokens: 4, width: 1, prefix: 1, kept: 1, fuse: true };
        let (mut out, mut order) = (vec![0.0; 3], vec![0; 3]);
        of.forward(&[9.0, 1.0, 2.0, 3.0], &[f32::NAN; 4], &mut out, &mut order);
        assert_eq!((&out[..2], order), (&[9.0, 1.0][..], vec![1, 2, 3]));
        assert!(out[2].is_nan());
    }
}
