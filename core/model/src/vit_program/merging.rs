//! Token merging, as [`token_merging`](crate::token_merging) does it, in ops.

use vitral_program::{DType, Dim, Tensor, ops};

use super::trace::Trace;
use crate::{
    ViTConfig,
    token_merging::{halves, possible},
};

/// How many patches each token stands for.
pub(super) struct Sizes {
    prefix: usize,
    proportional: bool,
    /// `[B, tokens]`; none as long as every token stands for one patch.
    sizes: Option<Tensor>,
}

impl Sizes {
    pub(super) fn new(config: &ViTConfig) -> Self {
        let merging = config.token_merging.as_ref();
        Self {
            prefix: config.prefix_tokens(),
            proportional: merging.is_some_and(|merging| merging.proportional_attention),
            sizes: None,
        }
    }

    /// What is added to the scores `[B, heads, queries, tokens]`, if sizes count: `[B, 1, 1, tokens]`.
    pub(super) fn bias(&self, trace: &mut Trace) -> Option<Tensor> {
        let sizes = self.sizes.filter(|_| self.proportional)?;
        let logarithms = trace.apply(ops::Log {}, &[sizes]);
        let tokens = trace.size(sizes, 1);
        Some(trace.reshape(logarithms, [Dim::BATCH, 1.into(), 1.into(), tokens.into()]))
    }

    /// The mean of the patches in tokens `[B, tokens, width]`, each token counting as the patches
    /// that it stands for: `[B, 1, width]`.
    pub(super) fn mean(&self, trace: &mut Trace, tokens: Tensor) -> Tensor {
        let count = trace.size(tokens, 1) - self.prefix;
        let patches = trace.slice(tokens, 1, self.prefix, count);
        let Some(sizes) = self.sizes else {
            let op = ops::ReduceMean { axes: vec![1], keep_dimensions: true };
            return trace.apply(op, &[patches]);
        };
        let sizes = trace.slice(sizes, 1, self.prefix, count);
        let op = ops::ReduceSum { axes: vec![1], keep_dimensions: true };
        let all = trace.apply(op, &[sizes]);
        let weights = trace.apply(ops::Div {}, &[sizes, all]);
        let weights = trace.reshape(weights, [Dim::BATCH, 1.into(), count.into()]);
        trace.apply(ops::Matmul {}, &[weights, patches])
    }

    /// Merges up to `r` of the tokens `[B, tokens, width]` away, by the keys
    /// `[B, heads, tokens, head width]` that attention had of them.
    pub(super) fn merge(
        &mut self,
        trace: &mut Trace,
        tokens: Tensor,
        keys: Tensor,
        r: usize,
    ) -> Tensor {
        let (count, width) = (trace.size(tokens, 1), trace.size(tokens, 2));
        let r = possible(r, count.saturating_sub(self.prefix));
        if r == 0 {
            return tokens;
        }
        let (a, b) = halves(self.prefix, count);
        let sizes = self.sizes.unwrap_or_else(|| ones(trace, count));
        let [a_index, b_index] = [&a, &b].map(|half| trace.indices(&[half.len()], half));
        let pick = |trace: &mut Trace, from: Tensor, index: Tensor| {
            trace.apply(ops::Gather { axis: 1 }, &[from, index])
        };

        // The best partner in B of each token of A, and which of A are merged.
        let keys = directions(trace, keys);
        let (a_keys, b_keys) = (pick(trace, keys, a_index), pick(trace, keys, b_index));
        let b_keys = trace.transpose(b_keys, &[0, 2, 1]);
        let similarities = trace.apply(ops::Matmul {}, &[a_keys, b_keys]);
        let best = trace.apply_all(ops::TopK { k: 1.into(), axis: 2 }, &[similarities]);
        let score = trace.reshape(best[0], [Dim::BATCH, a.len().into()]);
        let merged = trace.apply_all(ops::TopK { k: r.into(), axis: 1 }, &[score])[1];
        let merged = membership(trace, merged, a.len());

        // Which of A goes to which of B: `[B, b, a]` of zeros and ones.
        let places = trace.indices(&[b.len()], &(0..b.len()).collect::<Vec<_>>());
        let goes = trace.apply(ops::Equal {}, &[best[1], places]);
        let goes = trace.apply(ops::Cast { to: DType::F32 }, &[goes]);
        let merged_rows = trace.reshape(merged, [Dim::BATCH, a.len().into(), 1.into()]);
        let goes = trace.apply(ops::Mul {}, &[goes, merged_rows]);
        let goes = trace.transpose(goes, &[0, 2, 1]);

        // Averages of B and what is merged into it, weighted by sizes.
        let column = |trace: &mut Trace, sizes: Tensor, index: Tensor, count: usize| {
            let sizes = pick(trace, sizes, index);
            trace.reshape(sizes, [Dim::BATCH, count.into(), 1.into()])
        };
        let a_sizes = column(trace, sizes, a_index, a.len());
        let b_sizes = column(trace, sizes, b_index, b.len());
        let (a_tokens, b_tokens) = (pick(trace, tokens, a_index), pick(trace, tokens, b_index));
        let a_sums = trace.apply(ops::Mul {}, &[a_tokens, a_sizes]);
        let b_sums = trace.apply(ops::Mul {}, &[b_tokens, b_sizes]);
        let added = trace.apply(ops::Matmul {}, &[goes, a_sums]);
        let added_sizes = trace.apply(ops::Matmul {}, &[goes, a_sizes]);
        let sums = trace.apply(ops::Add {}, &[b_sums, added]);
        let b_sizes = trace.apply(ops::Add {}, &[b_sizes, added_sizes]);
        let b_tokens = trace.apply(ops::Div {}, &[sums, b_sizes]);

        // The prefix, what is left of A in its order, B.
        let mut parts = Vec::with_capacity(3);
        let mut part_sizes = Vec::with_capacity(3);
        if self.prefix > 0 {
            parts.push(trace.slice(tokens, 1, 0, self.prefix));
            part_sizes.push(trace.slice(sizes, 1, 0, self.prefix));
        }
        let left = a.len() - r;
        if left > 0 {
            let index = unmerged(trace, merged, a.len(), left);
            let a_sizes = trace.reshape(a_sizes, [Dim::BATCH, a.len().into()]);
            part_sizes.push(trace.apply(ops::GatherElements { axis: 1 }, &[a_sizes, index]));
            let index = trace.reshape(index, [Dim::BATCH, left.into(), 1.into()]);
            let index = trace.expand(index, [Dim::BATCH, left.into(), width.into()]);
            parts.push(trace.apply(ops::GatherElements { axis: 1 }, &[a_tokens, index]));
        }
        parts.push(b_tokens);
        part_sizes.push(trace.reshape(b_sizes, [Dim::BATCH, b.len().into()]));
        self.sizes = Some(trace.concat(&part_sizes, 1));
        trace.concat(&parts, 1)
    }
}

/// `[B, count]` of ones.
fn ones(trace: &mut Trace, count: usize) -> Tensor {
    let one = trace.scalar(1.0);
    trace.expand(one, [Dim::BATCH, count.into()])
}

/// The mean of each token's keys over the heads, at length 1: `[B, tokens, head width]`.
fn directions(trace: &mut Trace, keys: Tensor) -> Tensor {
    let mean = ops::ReduceMean { axes: vec![1], keep_dimensions: false };
    let keys = trace.apply(mean, &[keys]);
    let length = trace.apply(ops::ReduceL2 { axes: vec![2], keep_dimensions: true }, &[keys]);
    let least = ops::Clamp { min_value: 1e-12, max_value: f64::INFINITY };
    let length = trace.apply(least, &[length]);
    trace.apply(ops::Div {}, &[keys, length])
}

/// Which of `count` places are among indices `[B, r]`: `[B, count]` of zeros and ones.
fn membership(trace: &mut Trace, indices: Tensor, count: usize) -> Tensor {
    let r = trace.size(indices, 1);
    let indices = trace.reshape(indices, [Dim::BATCH, r.into(), 1.into()]);
    let places = trace.indices(&[count], &(0..count).collect::<Vec<_>>());
    let same = trace.apply(ops::Equal {}, &[indices, places]);
    let same = trace.apply(ops::Cast { to: DType::F32 }, &[same]);
    trace.apply(ops::ReduceMax { axes: vec![1], keep_dimensions: false }, &[same])
}

/// The places that are not merged, ascending: `[B, left]`.
fn unmerged(trace: &mut Trace, merged: Tensor, count: usize, left: usize) -> Tensor {
    // Earlier places rank higher, merged ones last.
    let ranks: Vec<f32> = (0..count).map(|place| (count - place) as f32).collect();
    let ranks = trace.constant(&[count], &ranks);
    let one = trace.scalar(1.0);
    let open = trace.apply(ops::Sub {}, &[one, merged]);
    let ranks = trace.apply(ops::Mul {}, &[open, ranks]);
    trace.apply_all(ops::TopK { k: left.into(), axis: 1 }, &[ranks])[1]
}
