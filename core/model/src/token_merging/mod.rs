//! Token merging (Bolya et al. 2023, "Token Merging: Your ViT But Faster"): after the attention of
//! each layer the `r` most similar pairs of patches become one token each, so that later layers
//! have fewer to work on.
//!
//! Which patches are merged is decided by bipartite soft matching: tokens are split by turns into
//! sets A and B, each token of A finds the token of B whose key (mean over the heads) has the
//! highest cosine similarity, and the `r` best of these pairs are merged by an average weighted by
//! how many patches each token stands for. The decision has no gradient; the average has. Class
//! token and registers are never merged. Of equal similarities the pair with the lower indices
//! wins, so that a batch is merged the same way wherever it runs.

use vitral_program::{DType, Dim, ops as op};

use crate::config::possible;
pub use crate::config::{MergeSchedule, TokenMerging};
use crate::{ViTConfig, ops::Ops};

/// How many patches each token of a batch stands for.
#[derive(Clone, Debug)]
pub(crate) struct TokenSizes<T> {
    prefix: usize,
    proportional: bool,
    /// `[B, tokens]`; none as long as every token stands for one patch.
    sizes: Option<T>,
}

impl<T: Clone> TokenSizes<T> {
    /// Those of the first layer, with `prefix` tokens before the patches.
    pub(crate) fn new(config: &ViTConfig) -> Self {
        let merging = config.token_merging.as_ref();
        Self {
            prefix: config.prefix_tokens(),
            proportional: merging.is_some_and(|merging| merging.proportional_attention),
            sizes: None,
        }
    }

    /// Whether attention's scores depend on the sizes.
    pub(crate) fn weigh_scores(&self) -> bool {
        self.proportional && self.sizes.is_some()
    }

    /// Queries and keys `[B, heads, tokens, head_dim]` whose products times `scale` are those of the
    /// given ones plus the logarithm of the key's size, if sizes count: with `1 / scale` as a further
    /// value of each query, and the logarithm as one of each key.
    pub(crate) fn in_scores<O: Ops<Tensor = T>>(
        &self,
        ops: &mut O,
        query: T,
        key: T,
        scale: f64,
    ) -> (T, T) {
        let Some(sizes) = self.sizes.clone().filter(|_| self.proportional) else {
            return (query, key);
        };
        let (heads, keys, queries) = (ops.size(&key, 1), ops.size(&key, 2), ops.size(&query, 2));
        let logarithms = ops.apply(op::Log {}, [sizes]);
        let one = [Dim::BATCH, 1.into(), keys.into(), 1.into()];
        let logarithms = ops.reshape(logarithms, one);
        let all = [Dim::BATCH, heads.into(), keys.into(), 1.into()];
        let logarithms = ops.expand(logarithms, all);
        let inverse = ops.scalar(1.0 / scale);
        let inverse = ops.expand(inverse, [Dim::BATCH, heads.into(), queries.into(), 1.into()]);
        (ops.concat(vec![query, inverse], 3), ops.concat(vec![key, logarithms], 3))
    }

    /// The mean of the patches in tokens `[B, tokens, width]`, each token counting as the patches
    /// that it stands for: `[B, 1, width]`.
    pub(crate) fn mean<O: Ops<Tensor = T>>(&self, ops: &mut O, tokens: T) -> T {
        let count = ops.size(&tokens, 1) - self.prefix;
        let patches = ops.slice(tokens, 1, self.prefix, count);
        let Some(sizes) = self.sizes.clone() else { return ops.mean(patches, 1) };
        ops.in_f32([patches], |ops, [patches]| {
            let sizes = ops.slice(sizes, 1, self.prefix, count);
            let sum = op::ReduceSum { axes: vec![1], keep_dimensions: true };
            let all = ops.apply(sum, [sizes.clone()]);
            let weights = ops.apply(op::Div {}, [sizes, all]);
            let weights = ops.reshape(weights, [Dim::BATCH, 1.into(), count.into()]);
            ops.matmul(weights, patches)
        })
    }

    /// Merges up to `r` of the tokens `[B, tokens, width]` away, by the keys
    /// `[B, heads, tokens, head_dim]` that attention had of them.
    pub(crate) fn merge<O: Ops<Tensor = T>>(
        &mut self,
        ops: &mut O,
        tokens: T,
        keys: T,
        r: usize,
    ) -> T {
        let count = ops.size(&tokens, 1);
        let r = possible(r, count.saturating_sub(self.prefix));
        if r == 0 {
            return tokens;
        }
        let sizes = match self.sizes.take() {
            Some(sizes) => sizes,
            None => ones(ops, count),
        };
        let keys = ops.detached(keys);
        let matching = Matching::new(ops, self.prefix, count, keys, r);
        let merged_sizes = matching.merge_sizes(ops, sizes.clone());
        self.sizes = Some(merged_sizes.clone());
        ops.in_f32([tokens], |ops, [tokens]| matching.merge(ops, tokens, sizes, merged_sizes))
    }
}

/// Which tokens of a batch are merged into which.
struct Matching<T> {
    prefix: usize,
    /// The places of set A and of set B, as indices of their own.
    halves: [T; 2],
    /// Of which of A goes to which of B, `[B, b, a]`: ones, and zeros elsewhere.
    goes: T,
    /// Which of A are left, ascending, `[B, left]`, if any are.
    left: Option<T>,
}

impl<T: Clone> Matching<T> {
    /// The `r` best pairs by the keys `[B, heads, count, head_dim]`.
    fn new<O: Ops<Tensor = T>>(
        ops: &mut O,
        prefix: usize,
        count: usize,
        keys: T,
        r: usize,
    ) -> Self {
        // Tokens take turns.
        let (a, b): (Vec<_>, Vec<_>) = (prefix..count).partition(|token| token % 2 == 0);
        let halves = [&a, &b].map(|half| ops.indices(&[half.len()], half));
        let keys = ops.unrounded(keys);
        let keys = directions(ops, keys);
        let [a_keys, b_keys] =
            halves.clone().map(|index| ops.apply(op::Gather { axis: 1 }, [keys.clone(), index]));
        let b_keys = ops.transpose(b_keys, &[0, 2, 1]);
        let similarities = ops.matmul(a_keys, b_keys);

        // The best partner in B of each token of A, and which of A are merged.
        let best = ops.apply_all(op::TopK { k: 1.into(), axis: 2 }.into(), vec![similarities]);
        let score = ops.reshape(best[0].clone(), [Dim::BATCH, a.len().into()]);
        let merged = ops.apply_all(op::TopK { k: r.into(), axis: 1 }.into(), vec![score]);
        let merged = ops.membership(merged[1].clone(), a.len());
        let places = ops.indices(&[b.len()], &(0..b.len()).collect::<Vec<_>>());
        let goes = ops.apply(op::Equal {}, [best[1].clone(), places]);
        let goes = ops.apply(op::Cast { to: DType::F32 }, [goes]);
        let rows = ops.reshape(merged.clone(), [Dim::BATCH, a.len().into(), 1.into()]);
        let goes = ops.mul(goes, rows);
        let goes = ops.transpose(goes, &[0, 2, 1]);
        let left = a.len() - r;
        let left = (left > 0).then(|| unmerged(ops, merged, a.len(), left));
        Self { prefix, halves, goes, left }
    }

    /// Sums of values `[B, tokens, width]` over what is merged: the prefix, what is left of A in its
    /// order, and B.
    fn sums<O: Ops<Tensor = T>>(&self, ops: &mut O, values: T) -> T {
        let [of_a, of_b] = self
            .halves
            .clone()
            .map(|index| ops.apply(op::Gather { axis: 1 }, [values.clone(), index]));
        let mut parts = Vec::with_capacity(3);
        if self.prefix > 0 {
            parts.push(ops.slice(values, 1, 0, self.prefix));
        }
        if let Some(index) = self.left.clone() {
            parts.push(ops.tokens_at(of_a.clone(), index));
        }
        let added = ops.matmul(self.goes.clone(), of_a);
        parts.push(ops.add(of_b, added));
        ops.concat(parts, 1)
    }

    /// How many patches each merged token stands for, `[B, left]`, from what each token did.
    fn merge_sizes<O: Ops<Tensor = T>>(&self, ops: &mut O, sizes: T) -> T {
        let column = as_column(ops, sizes);
        let merged = self.sums(ops, column);
        let left = ops.size(&merged, 1);
        ops.reshape(merged, [Dim::BATCH, left.into()])
    }

    /// Averages of tokens `[B, tokens, width]`, weighted by sizes.
    fn merge<O: Ops<Tensor = T>>(&self, ops: &mut O, tokens: T, sizes: T, merged_sizes: T) -> T {
        let [sizes, merged_sizes] = [sizes, merged_sizes].map(|sizes| as_column(ops, sizes));
        let weighted = ops.mul(tokens, sizes);
        let sums = self.sums(ops, weighted);
        ops.apply(op::Div {}, [sums, merged_sizes])
    }
}

/// `[B, tokens]` to `[B, tokens, 1]`.
fn as_column<O: Ops>(ops: &mut O, sizes: O::Tensor) -> O::Tensor {
    let tokens = ops.size(&sizes, 1);
    ops.reshape(sizes, [Dim::BATCH, tokens.into(), 1.into()])
}

/// `[B, count]` of ones.
fn ones<O: Ops>(ops: &mut O, count: usize) -> O::Tensor {
    let one = ops.scalar(1.0);
    ops.expand(one, [Dim::BATCH, count.into()])
}

/// The mean of each token's keys over the heads, at length 1: `[B, tokens, head_dim]`.
fn directions<O: Ops>(ops: &mut O, keys: O::Tensor) -> O::Tensor {
    let mean = op::ReduceMean { axes: vec![1], keep_dimensions: false };
    let keys = ops.apply(mean, [keys]);
    let length = op::ReduceL2 { axes: vec![2], keep_dimensions: true };
    let length = ops.apply(length, [keys.clone()]);
    let least = op::Clamp { min_value: 1e-12, max_value: f64::INFINITY };
    let length = ops.apply(least, [length]);
    ops.apply(op::Div {}, [keys, length])
}

/// The places that are not merged, ascending: `[B, left]`.
fn unmerged<O: Ops>(ops: &mut O, merged: O::Tensor, count: usize, left: usize) -> O::Tensor {
    // Earlier places rank higher, merged ones last.
    let ranks: Vec<f32> = (0..count).map(|place| (count - place) as f32).collect();
    let ranks = ops.constant(&[count], &ranks);
    let one = ops.scalar(1.0);
    let open = ops.apply(op::Sub {}, [one, merged]);
    let ranks = ops.mul(open, ranks);
    ops.apply_all(op::TopK { k: left.into(), axis: 1 }.into(), vec![ranks])[1].clone()
}

#[cfg(test)]
mod tests;
