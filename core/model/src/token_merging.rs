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

use std::cmp::Ordering;

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ConfigProblem, ViTConfig};

/// Token merging of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenMerging {
    /// Tokens that each layer merges away; a layer never merges more than half of its patches.
    pub r: MergeSchedule,
    /// Whether attention counts a merged token as the patches that it stands for, by adding the
    /// logarithm of their number to its scores.
    #[serde(default = "default_proportional_attention")]
    pub proportional_attention: bool,
}

fn default_proportional_attention() -> bool {
    true
}

/// How many tokens each layer merges away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum MergeSchedule {
    /// The same number in every layer.
    Constant(#[schemars(range(max = 1_000_000))] usize),
    /// From twice the number in the first layer linearly down to none in the last.
    Decreasing(#[schemars(range(max = 1_000_000))] usize),
    /// One number for each layer.
    Layers(Vec<usize>),
}

impl TokenMerging {
    /// The same number of tokens in every layer, with proportional attention.
    pub fn constant(r: usize) -> Self {
        Self { r: MergeSchedule::Constant(r), proportional_attention: true }
    }

    /// Tokens that a layer of `depth` is asked to merge away.
    fn asked_of(&self, layer: usize, depth: usize) -> usize {
        match &self.r {
            MergeSchedule::Constant(r) => *r,
            MergeSchedule::Decreasing(r) => {
                let last = depth.saturating_sub(1).max(1);
                2 * r * (last - layer.min(last)) / last
            }
            MergeSchedule::Layers(layers) => layers.get(layer).copied().unwrap_or(0),
        }
    }
}

/// Tokens that are merged away of so many patches, where `asked` are wanted.
pub(crate) fn possible(asked: usize, patches: usize) -> usize {
    asked.min(patches / 2)
}

impl ViTConfig {
    /// Tokens that a layer is asked to merge away; one with few patches merges fewer.
    pub fn merged_of(&self, layer: usize) -> usize {
        let merging = self.token_merging.as_ref();
        merging.map_or(0, |merging| merging.asked_of(layer, self.depth()))
    }

    /// Tokens of each layer's attention and, last, those after the last layer.
    pub fn tokens_by_layer(&self) -> Vec<usize> {
        let prefix = self.prefix_tokens();
        let mut patches = self.grid() * self.grid();
        let mut tokens = vec![prefix + patches];
        for layer in 0..self.depth() {
            patches -= possible(self.merged_of(layer), patches);
            tokens.push(prefix + patches);
        }
        tokens
    }

    /// What does not go together with token merging.
    pub(crate) fn check_token_merging(&self) -> Result<(), ConfigProblem> {
        let Some(merging) = &self.token_merging else { return Ok(()) };
        let problem = |field: &str, message: String, help: &str| {
            Err(ConfigProblem { field: field.into(), message, help: help.into() })
        };
        let no_position =
            "a merged token has no place in the grid; positions that are added to the tokens go on";
        if self.rope.is_some() {
            return problem(
                "token_merging",
                "token merging does not go with `rope`".into(),
                no_position,
            );
        }
        if self.relative_position_bias {
            return problem(
                "token_merging",
                "token merging does not go with a relative position bias".into(),
                no_position,
            );
        }
        let plugin = self.attention.iter().position(|entry| entry.attention.plugin().is_some());
        if let Some(index) = plugin {
            return problem(
                "token_merging",
                format!("token merging does not go with the plugin of attention[{index}]"),
                "a plugin's attention is traced for the whole grid of patches",
            );
        }
        if let MergeSchedule::Layers(layers) = &merging.r
            && layers.len() != self.depth()
        {
            let (found, depth) = (layers.len(), self.depth());
            return problem(
                "token_merging.r",
                format!("{found} numbers do not fit a model of {depth} layers"),
                "give one number for each layer, or `Constant` or `Decreasing` with one for all",
            );
        }
        Ok(())
    }
}

/// How many patches each token of a batch stands for.
#[derive(Clone, Debug)]
pub(crate) struct TokenSizes {
    prefix: usize,
    proportional: bool,
    /// `[batch, tokens]`, row by row; none as long as every token stands for one patch.
    sizes: Option<Vec<f32>>,
}

impl TokenSizes {
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

    /// Queries and keys `[batch, heads, tokens, head_dim]` whose products times `scale` are those of
    /// the given ones plus the logarithm of the key's size, if sizes count: with `1 / scale` as a
    /// further value of each query, and the logarithm as one of each key.
    pub(crate) fn in_scores(
        &self,
        q: Tensor<4>,
        k: Tensor<4>,
        scale: f64,
    ) -> (Tensor<4>, Tensor<4>) {
        let Some(sizes) = self.sizes.as_ref().filter(|_| self.proportional) else {
            return (q, k);
        };
        let device = k.device().without_autodiff();
        let ([batch, heads, keys, _], queries) = (k.dims(), q.dims()[2]);
        let logarithms: Vec<f32> = sizes.iter().map(|size| size.ln()).collect();
        let logarithms =
            Tensor::<4>::from_data(TensorData::new(logarithms, [batch, 1, keys, 1]), &device)
                .repeat_dim(1, heads);
        let ones = Tensor::<4>::full([batch, heads, queries, 1], 1.0 / scale, &device);
        (append(q, ones), append(k, logarithms))
    }

    /// Merges up to `r` of the tokens `[batch, tokens, width]` away, by the keys
    /// `[batch, heads, tokens, head_dim]` that attention had of them.
    pub(crate) fn merge(&mut self, tokens: Tensor<3>, keys: &Tensor<4>, r: usize) -> Tensor<3> {
        let [batch, count, width] = tokens.dims();
        let r = possible(r, count.saturating_sub(self.prefix));
        if r == 0 {
            return tokens;
        }
        let halves = Halves::new(self.prefix, count);
        let similarities = similarities(keys, &halves);
        let left = count - r;
        let sizes = self.sizes.take().unwrap_or_else(|| vec![1.0; batch * count]);
        let mut plan = Plan::default();
        for sample in 0..batch {
            let scores = halves.a.len() * halves.b.len();
            let scores = &similarities[sample * scores..][..scores];
            let pairs = best_pairs(scores, halves.b.len(), r);
            plan.add(&halves, &pairs, &sizes[sample * count..][..count], self.prefix);
        }
        let device = tokens.device().without_autodiff();
        let index = |rows: Vec<i32>| {
            let length = rows.len();
            Tensor::<1, Int>::from_data(TensorData::new(rows, [length]), &device)
        };
        let weights = TensorData::new(plan.weights, [batch * count, 1]);
        let weighted = tokens.reshape([batch * count, width]) * Tensor::from_data(weights, &device);
        let merged = weighted.clone().select(0, index(plan.kept)).select_assign(
            0,
            index(plan.targets),
            weighted.select(0, index(plan.sources)),
            IndexingUpdateOp::Add,
        );
        self.sizes = Some(plan.sizes);
        merged.reshape([batch, left, width])
    }

    /// The mean of the patches in tokens `[batch, tokens, width]`, each token counting as the
    /// patches that it stands for: `[batch, 1, width]`.
    pub(crate) fn mean(&self, tokens: Tensor<3>) -> Tensor<3> {
        let [batch, count, _] = tokens.dims();
        let patches = tokens.narrow(1, self.prefix, count - self.prefix);
        let Some(sizes) = &self.sizes else { return patches.mean_dim(1) };
        let mut weights = Vec::with_capacity(batch * (count - self.prefix));
        for sizes in sizes.chunks(count) {
            let sizes = &sizes[self.prefix..];
            let all: f32 = sizes.iter().sum();
            weights.extend(sizes.iter().map(|size| size / all));
        }
        let device = patches.device().without_autodiff();
        let weights = TensorData::new(weights, [batch, count - self.prefix, 1]);
        (patches * Tensor::from_data(weights, &device)).sum_dim(1)
    }
}

/// Puts further values at the end of each vector.
fn append(vectors: Tensor<4>, values: Tensor<4>) -> Tensor<4> {
    let values = if vectors.is_autodiff() { values.autodiff() } else { values };
    Tensor::cat(vec![vectors, values], 3)
}

/// The tokens of both sets, by their place; tokens take turns, the first one's is A.
struct Halves {
    a: Vec<usize>,
    b: Vec<usize>,
}

impl Halves {
    fn new(prefix: usize, count: usize) -> Self {
        let (a, b) = (prefix..count).partition(|token| token % 2 == 0);
        Self { a, b }
    }
}

/// The tokens of sets A and B.
pub(crate) fn halves(prefix: usize, count: usize) -> (Vec<usize>, Vec<usize>) {
    let Halves { a, b } = Halves::new(prefix, count);
    (a, b)
}

/// Cosine similarities of each sample's keys, `[batch, a, b]`.
fn similarities(keys: &Tensor<4>, halves: &Halves) -> Vec<f32> {
    let [batch, _, count, head_dim] = keys.dims();
    let keys = keys.clone().without_autodiff().mean_dim(1).reshape([batch, count, head_dim]);
    let length = keys.clone().powi_scalar(2).sum_dim(2).sqrt().clamp_min(1e-12);
    let keys = keys / length;
    let half = |tokens: &[usize]| {
        let tokens: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
        let index = TensorData::new(tokens.clone(), [tokens.len()]);
        keys.clone().select(1, Tensor::<1, Int>::from_data(index, &keys.device()))
    };
    let similarities = half(&halves.a).matmul(half(&halves.b).swap_dims(1, 2));
    // A device that cannot be read has failed, and Burn's own operations panic of that, too.
    similarities.try_into_vec_as().expect("a device that works")
}

/// The `r` best pairs of a sample, as indices into A and B, from `[a, b]` similarities; by
/// similarity, and where that is equal by the index in A. Not a number is never the best.
fn best_pairs(similarities: &[f32], b: usize, r: usize) -> Vec<(usize, usize)> {
    let mut best: Vec<(f32, usize, usize)> = similarities
        .chunks(b)
        .enumerate()
        .map(|(a, row)| {
            let first = (f32::NEG_INFINITY, a, 0);
            row.iter().enumerate().fold(first, |best, (b, &similarity)| {
                if similarity > best.0 { (similarity, a, b) } else { best }
            })
        })
        .collect();
    // Stable; none of them is not a number.
    best.sort_by(|one, other| other.0.partial_cmp(&one.0).unwrap_or(Ordering::Equal));
    best.into_iter().take(r).map(|(_, a, b)| (a, b)).collect()
}

/// Where the rows of a batch go, counted over all samples.
#[derive(Default)]
struct Plan {
    /// What each row is multiplied with: its share of the token that it becomes part of.
    weights: Vec<f32>,
    /// Rows that stay: in each sample the prefix, what is left of A, and B.
    kept: Vec<i32>,
    /// Rows that are added to others.
    sources: Vec<i32>,
    /// The rows of the result that they are added to.
    targets: Vec<i32>,
    /// Patches of each row of the result.
    sizes: Vec<f32>,
}

impl Plan {
    /// Adds a sample with its tokens' sizes.
    fn add(&mut self, halves: &Halves, pairs: &[(usize, usize)], sizes: &[f32], prefix: usize) {
        let (from, to) = (self.weights.len(), self.sizes.len());
        let mut merged = vec![false; halves.a.len()];
        for &(a, _) in pairs {
            merged[a] = true;
        }
        let unmerged = halves.a.iter().zip(&merged).filter(|(_, merged)| !**merged);
        let kept: Vec<usize> = (0..prefix)
            .chain(unmerged.map(|(&token, _)| token))
            .chain(halves.b.iter().copied())
            .collect();
        let first_b = kept.len() - halves.b.len();
        self.sizes.extend(kept.iter().map(|&token| sizes[token]));
        for &(a, b) in pairs {
            self.sizes[to + first_b + b] += sizes[halves.a[a]];
        }
        self.weights.resize(from + sizes.len(), 1.0);
        for (b, &token) in halves.b.iter().enumerate() {
            self.weights[from + token] = sizes[token] / self.sizes[to + first_b + b];
        }
        for &(a, b) in pairs {
            let token = halves.a[a];
            self.weights[from + token] = sizes[token] / self.sizes[to + first_b + b];
            self.sources.push((from + token) as i32);
            self.targets.push((to + first_b + b) as i32);
        }
        self.kept.extend(kept.into_iter().map(|token| (from + token) as i32));
    }
}

#[cfg(test)]
mod tests;
