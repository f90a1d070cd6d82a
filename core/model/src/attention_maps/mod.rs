//! Where a model looks: what each token takes from each other one, and what of the image that leaves.
//!
//! The weights are those of the model's own attention, on a path that has them in one piece
//! (`Eager::keeping_attention`). Of a plugin's attention nobody knows the weights, but
//! attention is linear in its values: run on values that are one for a single token, it gives what it takes
//! from that token. Whether it is such attention is seen by what these weights make of the true values.

use burn::tensor::Tensor;
use vitral_program::{DType, Dim};

use crate::{
    Mode, ViT, ViTConfig,
    config::{AttentionKind, Pool},
    eager::{Eager, EagerTensor, KeptAttention},
    ops::Ops,
    program_attention::ProgramAttention,
};

/// How far a row of weights may be from 1 in sum, and below 0.
const ROUNDING: f32 = 1e-3;

/// What an image's classes are told by, over its patches, row by row from the top.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMaps {
    /// Patches along one side.
    pub grid: usize,
    /// Attention rollout (Abnar and Zuidema 2020): what is read at the end takes of each patch through all
    /// layers, of which each is the mean of its heads, and half the token itself, as the residual has it.
    pub rollout: Vec<f32>,
    /// For each layer and each of its heads, of which pruning may have left none, what the tokens that are read at the end (the class token, or the
    /// mean of the patches) take from each patch.
    pub heads: Vec<Vec<Vec<f32>>>,
}

/// Why there are no maps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAttention {
    /// Tokens are mixed by an MLP.
    #[error("an MLP-Mixer has no attention: an MLP mixes its tokens, whatever is in them")]
    Mixer,
    /// Tokens become fewer on their way.
    #[error(
        "the model merges tokens (ToMe), so the tokens of its last layers are no longer patches; \
         `--token-merging 0` merges none"
    )]
    Merging,
    /// Tokens are left out on their way.
    #[error(
        "the model leaves out tokens (EViT), so its last layers lack some patches; `--keep-tokens \
         1` keeps all"
    )]
    Reorganization,
    /// A plugin's attention is something else.
    #[error(
        "the attention of layer {layer} (plugin `{plugin}`) has no map: what it gives is not a mean of the values, \
         each with a weight of its own"
    )]
    Plugin {
        /// The layer, from 0.
        layer: usize,
        /// The plugin.
        plugin: String,
    },
    /// What was computed are no numbers.
    #[error("the attention of layer {layer} is not a number")]
    NoNumber {
        /// The layer, from 0.
        layer: usize,
    },
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
}

/// Logits, features and attention of a batch of images.
#[derive(Clone, Debug)]
pub struct Attended {
    /// As of [`ViT::forward_with_features`].
    pub logits: Tensor<2>,
    /// As of [`ViT::forward_with_features`].
    pub features: Tensor<2>,
    /// Those of each image.
    pub maps: Vec<AttentionMaps>,
}

impl ViTConfig {
    /// Whether the layers have attention of which there can be maps.
    ///
    /// # Errors
    /// They have none, or tokens are merged or left out between them.
    pub fn check_attention_maps(&self) -> Result<(), NoAttention> {
        if self.is_mixer() {
            return Err(NoAttention::Mixer);
        }
        let any =
            |is_so: fn(&Self, usize) -> bool| (0..self.depth()).any(|layer| is_so(self, layer));
        if any(|config, layer| config.merged_of(layer) > 0) {
            return Err(NoAttention::Merging);
        }
        match any(|config, layer| config.kept_of(layer).is_some()) {
            true => Err(NoAttention::Reorganization),
            false => Ok(()),
        }
    }

    /// Values of the attention of one image, in all layers.
    pub fn attention_elements(&self) -> usize {
        let tokens = self.prefix_tokens() + self.grid() * self.grid();
        (0..self.depth()).map(|layer| self.heads_of(layer) * tokens * tokens).sum()
    }
}

impl ViT {
    /// [`ViT::forward_with_features`] in evaluation, with the attention that led there.
    ///
    /// # Errors
    /// As [`ViTConfig::check_attention_maps`], a plugin's attention that is no mean of its values, and what the
    /// device or the numbers have gone wrong with.
    ///
    /// # Panics
    /// As [`ViT::forward`].
    pub fn forward_with_attention(&self, images: Tensor<4>) -> Result<Attended, NoAttention> {
        let config = self.config();
        config.check_attention_maps()?;
        let batch = images.dims()[0];
        let (logits, features, kept) = self.forward_keeping_attention(images);
        let mut kept = kept.into_iter();
        let mut layers = Vec::with_capacity(config.depth());
        for layer in 0..config.depth() {
            // One that was pruned of all heads has no attention.
            let kept = if config.heads_of(layer) > 0 { kept.next() } else { None };
            layers.push(kept.map(|kept| Weights::read(config, layer, kept)).transpose()?);
        }
        let pool = kept.next().map(|kept| Weights::read(config, config.depth(), kept));
        let pool = pool.transpose()?;
        let maps = (0..batch).map(|image| maps_of(config, &layers, pool.as_ref(), image)).collect();
        Ok(Attended { logits, features, maps })
    }
}

/// A plugin's attention, and the weights that it gives the values.
pub(crate) fn with_weights<O: Ops>(
    ops: &mut O,
    program: &ProgramAttention,
    [query, key, value]: [O::Tensor; 3],
    layer: usize,
    mode: Mode,
) -> O::Tensor {
    let [query, key, value] = [query, key, value].map(|tensor| ops.unrounded(tensor));
    let [heads, tokens, head_dim] = [1, 2, 3].map(|axis| ops.size(&value, axis));
    let mut columns = Vec::with_capacity(tokens.div_ceil(head_dim));
    for first in (0..tokens).step_by(head_dim) {
        let count = head_dim.min(tokens - first);
        let mut ones = vec![0.0; tokens * head_dim];
        (0..count).for_each(|channel| ones[(first + channel) * head_dim + channel] = 1.0);
        let ones = ops.constant_of(DType::F32, &[1, 1, tokens, head_dim], ones);
        let all = [Dim::BATCH, heads.into(), tokens.into(), head_dim.into()];
        let ones = ops.expand(ones, all);
        let taken = ops.program(program, [query.clone(), key.clone(), ones], layer, mode);
        columns.push(ops.slice(taken, 3, 0, count));
    }
    let weights = ops.concat(columns, 3);
    let by_weights = ops.in_f32([weights.clone(), value.clone()], |ops, [weights, value]| {
        ops.matmul(weights, value)
    });
    let given = ops.program(program, [query, key, value], layer, mode);
    ops.keep_attention(weights, Some([given.clone(), by_weights]));
    ops.rounded(given)
}

/// The weights of a layer, or of pooling, for a batch.
struct Weights {
    heads: usize,
    queries: usize,
    keys: usize,
    values: Vec<f32>,
}

impl Weights {
    fn read(config: &ViTConfig, layer: usize, kept: KeptAttention) -> Result<Self, NoAttention> {
        let values = |tensor: EagerTensor| -> Result<Vec<f32>, NoAttention> {
            let values = Eager::values::<4>(tensor).try_into_vec_as::<f32>();
            let values = values.map_err(|error| NoAttention::Device(error.to_string()))?;
            match values.iter().all(|value| value.is_finite()) {
                true => Ok(values),
                false => Err(NoAttention::NoNumber { layer }),
            }
        };
        let [_, heads, queries, keys] = Eager::values::<4>(kept.weights.clone()).dims();
        let weights = Self { heads, queries, keys, values: values(kept.weights)? };
        if let Some([given, by_weights]) = kept.given
            && !(weights.are_means() && are_near(&values(given)?, &values(by_weights)?))
        {
            let plugin = match config.attention_of(layer) {
                AttentionKind::Plugin { name, .. } => name,
                AttentionKind::Softmax { .. } => String::new(),
            };
            return Err(NoAttention::Plugin { layer, plugin });
        }
        Ok(weights)
    }

    /// Whether each row has weights of a mean.
    fn are_means(&self) -> bool {
        self.values.chunks_exact(self.keys).all(|row| {
            let sum: f32 = row.iter().sum();
            (sum - 1.0).abs() < ROUNDING && row.iter().all(|&weight| weight > -ROUNDING)
        })
    }

    /// The rows of a head for an image.
    fn rows(&self, image: usize, head: usize) -> impl Iterator<Item = &[f32]> {
        let length = self.queries * self.keys;
        let first = (image * self.heads + head) * length;
        self.values[first..first + length].chunks_exact(self.keys)
    }

    /// What is taken from each token through a head, by what is taken from each after it.
    fn through(&self, image: usize, head: usize, read: &[f64]) -> Vec<f64> {
        let mut taken = vec![0.0; self.keys];
        for (row, share) in self.rows(image, head).zip(read) {
            for (taken, weight) in taken.iter_mut().zip(row) {
                *taken += share * f64::from(*weight);
            }
        }
        taken
    }

    /// The same through the mean of the heads.
    fn through_mean(&self, image: usize, read: &[f64]) -> Vec<f64> {
        let mut mean = vec![0.0; self.keys];
        for head in 0..self.heads {
            let taken = self.through(image, head, read);
            mean.iter_mut().zip(taken).for_each(|(mean, taken)| *mean += taken / self.heads as f64);
        }
        mean
    }
}

/// Whether values are the same but for rounding.
fn are_near(values: &[f32], others: &[f32]) -> bool {
    let largest = values.iter().fold(1e-6, |largest: f32, value| largest.max(value.abs()));
    values.iter().zip(others).all(|(value, other)| (value - other).abs() <= ROUNDING * largest)
}

/// How much of each token the classes are told by, behind the last layer.
fn read_at_the_end(config: &ViTConfig, pool: Option<&Weights>, image: usize) -> Vec<f64> {
    let (prefix, patches) = (config.prefix_tokens(), config.grid() * config.grid());
    let heads_read = 1 + usize::from(config.distillation_token);
    let mut read = vec![0.0; prefix + patches];
    match (config.pool, pool) {
        (Pool::Map, Some(pool)) => return pool.through_mean(image, &[1.0]),
        (Pool::ClassToken, _) => read[..heads_read].fill(1.0 / heads_read as f64),
        (Pool::ClassTokenAndMean, _) => {
            read[0] = 0.5;
            read[prefix..].fill(0.5 / patches as f64);
        }
        _ => read[prefix..].fill(1.0 / patches as f64),
    }
    read
}

fn maps_of(
    config: &ViTConfig,
    layers: &[Option<Weights>],
    pool: Option<&Weights>,
    image: usize,
) -> AttentionMaps {
    let read = read_at_the_end(config, pool, image);
    let prefix = config.prefix_tokens();
    let of_patches = |taken: &[f64]| taken[prefix..].iter().map(|&share| share as f32).collect();
    let of_heads = |layer: &Weights| -> Vec<Vec<f32>> {
        (0..layer.heads).map(|head| of_patches(&layer.through(image, head, &read))).collect()
    };
    let heads = layers.iter().map(|layer| layer.as_ref().map_or_else(Vec::new, of_heads)).collect();
    let mut rolled = read;
    // Where there is no attention, each token stays what it is.
    for layer in layers.iter().flatten().rev() {
        let taken = layer.through_mean(image, &rolled);
        rolled.iter_mut().zip(taken).for_each(|(rolled, taken)| *rolled = 0.5 * (*rolled + taken));
    }
    AttentionMaps { grid: config.grid(), rollout: of_patches(&rolled), heads }
}

#[cfg(test)]
mod tests;
