//! Some of a sample's tokens: those before the patches, and some patches, as patch dropout keeps them (Liu et al. 2023,
//! "PatchDropout").

use crate::rows::{self, Shared};

/// What is kept of each sample's tokens.
#[derive(Clone, Copy, Debug)]
pub struct KeptTokens {
    /// Tokens of each sample.
    pub tokens: usize,
    /// Values of a token.
    pub width: usize,
    /// Tokens before the patches, which stay.
    pub prefix: usize,
    /// How many of the patches stay.
    pub kept: usize,
}

impl KeptTokens {
    /// Tokens of each sample that are left.
    pub fn left(&self) -> usize {
        self.prefix + self.kept
    }

    /// `tokens`, `[batch, tokens, width]`, to `out`, `[batch, left, width]`: of the patches those at `places`,
    /// `[batch, kept]`, which are counted behind the prefix.
    ///
    /// # Panics
    /// If lengths do not fit, or a place is none.
    pub fn forward(&self, tokens: &[f32], places: &[u32], out: &mut [f32]) {
        let batch = self.check(tokens.len(), places.len(), out.len());
        let (all, left) = (self.tokens * self.width, self.left() * self.width);
        let out = Shared::new(out);
        rows::for_each(batch, |sample| {
            // SAFETY: each sample has results of its own.
            let out = unsafe { out.slice(sample * left, left) };
            let tokens = &tokens[sample * all..][..all];
            for (to, from) in out.chunks_exact_mut(self.width).zip(self.rows(places, sample)) {
                to.copy_from_slice(&tokens[from * self.width..][..self.width]);
            }
        });
    }

    /// From the gradient of the result to that of the tokens, which is zero for those that went.
    ///
    /// # Panics
    /// As forward.
    pub fn backward(&self, places: &[u32], gradient: &[f32], token_gradient: &mut [f32]) {
        let batch = self.check(token_gradient.len(), places.len(), gradient.len());
        let (all, left) = (self.tokens * self.width, self.left() * self.width);
        let of_tokens = Shared::new(token_gradient);
        rows::for_each(batch, |sample| {
            // SAFETY: each sample has gradients of its own.
            let of_tokens = unsafe { of_tokens.slice(sample * all, all) };
            of_tokens.fill(0.0);
            let gradient = &gradient[sample * left..][..left];
            for (from, to) in gradient.chunks_exact(self.width).zip(self.rows(places, sample)) {
                let sums = &mut of_tokens[to * self.width..][..self.width];
                sums.iter_mut().zip(from).for_each(|(sum, value)| *sum += value);
            }
        });
    }

    /// Where the tokens that are left of a sample come from, in their order.
    fn rows<'p>(&self, places: &'p [u32], sample: usize) -> impl Iterator<Item = usize> + 'p {
        let prefix = self.prefix;
        let places = &places[sample * self.kept..][..self.kept];
        (0..prefix).chain(places.iter().map(move |&place| prefix + place as usize))
    }

    /// How many samples there are.
    fn check(&self, tokens: usize, places: usize, left: usize) -> usize {
        assert!(self.width > 0 && self.left() <= self.tokens, "{self:?}");
        let batch = tokens / (self.tokens * self.width).max(1);
        assert_eq!(
            (tokens, places, left),
            (batch * self.tokens * self.width, batch * self.kept, batch * self.left() * self.width)
        );
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_and_their_gradients_return() {
        let kept = KeptTokens { tokens: 5, width: 2, prefix: 1, kept: 2 };
        let tokens: Vec<f32> = (0..20).map(|value| value as f32).collect();
        let places = [3, 0, 1, 2];
        let mut out = [0.0; 12];
        kept.forward(&tokens, &places, &mut out);
        assert_eq!(out, [0., 1., 8., 9., 2., 3., 10., 11., 14., 15., 16., 17.]);
        let mut gradient = [9.0; 20];
        kept.backward(&places, &out, &mut gradient);
        let gone = [4, 5, 6, 7, 12, 13, 18, 19];
        for (at, (&found, &token)) in gradient.iter().zip(&tokens).enumerate() {
            assert_eq!(found, if gone.contains(&at) { 0.0 } else { token }, "{at}");
        }
    }

    #[test]
    fn gradients_of_a_token_that_is_there_twice_add_up() {
        let kept = KeptTokens { tokens: 3, width: 1, prefix: 1, kept: 2 };
        let mut gradient = [9.0; 3];
        kept.backward(&[1, 1], &[1.0, 2.0, 4.0], &mut gradient);
        assert_eq!(gradient, [1.0, 0.0, 6.0]);
    }
}
