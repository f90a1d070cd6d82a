//! How many tokens each layer merges away.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    pub(super) fn asked_of(&self, layer: usize, depth: usize) -> usize {
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
