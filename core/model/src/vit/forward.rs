//! What the whole model computes.

use burn::tensor::Tensor;
use vitral_program::{Dim, ops as op};

use super::{PATCH_DROPOUT, ViT};
use crate::{
    Mode,
    block::Blocks,
    config::{Pool, Position},
    eager::{Eager, KeptAttention},
    grid::Grid,
    ops::Ops,
    position::RotaryTable,
    resized_positions::resized,
    token_merging::TokenSizes,
};

/// What the heads make of an image's tokens.
struct Heads<T> {
    /// `[batch, classes]`, `f32`.
    logits: T,
    /// Those of the distillation token, where there is one.
    distilled: Option<T>,
    /// What the logits are made of, `[batch, pooled width or representation size]`, of the compute type.
    features: T,
}

impl ViT {
    /// Normalised images `[batch, height, width, channels]` to logits `[batch, classes]`, both `f32`.
    ///
    /// Images of another size than the configured one get positions resized to their grid.
    ///
    /// # Panics
    /// If the images do not have the configured channels, are not square or not filled by patches,
    /// or have another size than the configured one where relative position bias, a plugin's attention
    /// or an MLP over tokens depends on it.
    pub fn forward(&self, images: Tensor<4>, mode: Mode) -> Tensor<2> {
        let (mut ops, images) = self.eager(images);
        let logits = self.logits(&mut ops, images, mode);
        Eager::values(logits)
    }

    /// The same, and the logits of the distillation token where there is one, before both become one by
    /// their mean.
    ///
    /// # Panics
    /// As [`ViT::forward`].
    pub fn forward_heads(&self, images: Tensor<4>, mode: Mode) -> (Tensor<2>, Option<Tensor<2>>) {
        let (mut ops, images) = self.eager(images);
        let (tokens, sizes) = self.read_tokens(&mut ops, images, mode);
        let heads = self.heads(&mut ops, tokens, &sizes, mode);
        (Eager::values(heads.logits), heads.distilled.map(Eager::values))
    }

    /// The same, and what the head makes the logits of: one vector for each image, `[batch, features]`,
    /// `f32`, pooled and behind the last norm and the pre-logits layer where there are such.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn forward_with_features(&self, images: Tensor<4>, mode: Mode) -> (Tensor<2>, Tensor<2>) {
        let (mut ops, images) = self.eager(images);
        let (logits, features) = self.logits_and_features(&mut ops, images, mode);
        let features = ops.unrounded(features);
        (Eager::values(logits), Eager::values(features))
    }

    /// The same, and the attention that led there.
    pub(crate) fn forward_keeping_attention(
        &self,
        images: Tensor<4>,
    ) -> (Tensor<2>, Tensor<2>, Vec<KeptAttention>) {
        let (ops, images) = self.eager(images);
        let mut ops = ops.keeping_attention();
        let (logits, features) = self.logits_and_features(&mut ops, images, Mode::Eval);
        let features = ops.unrounded(features);
        (Eager::values(logits), Eager::values(features), ops.kept_attention())
    }

    /// Images to tokens `[batch, prefix + patches, width]`, of the compute type, after the last block
    /// and, unless it comes after pooling, the final LayerNorm.
    pub fn forward_features(&self, images: Tensor<4>, mode: Mode) -> Tensor<3> {
        let (mut ops, images) = self.eager(images);
        let (tokens, _) = self.last_tokens(&mut ops, images, mode);
        Eager::values(self.normed(&mut ops, tokens))
    }

    /// What computes a forward pass where the images are, and the images for it.
    fn eager(&self, images: Tensor<4>) -> (Eager, <Eager as Ops>::Tensor) {
        let ops = Eager::new(images.dims()[0], &images.device(), self.compute)
            .with_tables(&self.tables)
            .handing_over(self.taker.as_ref());
        let images = ops.batched(images);
        (ops, images)
    }

    /// Normalised images `[B, height, width, channels]` to logits `[B, classes]`, both `f32`.
    pub(crate) fn logits<O: Blocks>(
        &self,
        ops: &mut O,
        images: O::Tensor,
        mode: Mode,
    ) -> O::Tensor {
        self.logits_and_features(ops, images, mode).0
    }

    fn logits_and_features<O: Blocks>(
        &self,
        ops: &mut O,
        images: O::Tensor,
        mode: Mode,
    ) -> (O::Tensor, O::Tensor) {
        let (tokens, sizes) = self.read_tokens(ops, images, mode);
        let Heads { logits, distilled, features } = self.heads(ops, tokens, &sizes, mode);
        let Some(distilled) = distilled else { return (logits, features) };
        let sum = ops.add(logits, distilled);
        let half = ops.scalar(0.5);
        (ops.mul(sum, half), features)
    }

    /// The tokens that heads and pooling read, behind the final norm, and how many patches each stands for.
    fn read_tokens<O: Blocks>(
        &self,
        ops: &mut O,
        images: O::Tensor,
        mode: Mode,
    ) -> (O::Tensor, TokenSizes<O::Tensor>) {
        let (tokens, sizes) = self.last_tokens(ops, images, mode);
        // Each token is normalised on its own, so the others need not be.
        let tokens = match (&self.attn_pool, self.config.pool) {
            (None, Pool::ClassToken) => ops.slice(tokens, 1, 0, self.heads_read()),
            _ => tokens,
        };
        (self.normed(ops, tokens), sizes)
    }

    /// Tokens after the last block, and how many patches each of them stands for.
    fn last_tokens<O: Blocks>(
        &self,
        ops: &mut O,
        images: O::Tensor,
        mode: Mode,
    ) -> (O::Tensor, TokenSizes<O::Tensor>) {
        let (mut tokens, grid, kept) = self.embed(ops, images, mode);
        let prefix = self.config.prefix_tokens();
        let mut rotary: Vec<(usize, RotaryTable<O::Tensor>)> = Vec::new();
        let mut sizes = TokenSizes::new(&self.config);
        for (layer, block) in self.blocks.iter().enumerate() {
            let head_dim = block.attn.as_ref().map_or(0, |attn| attn.head_dim());
            if let Some(rope) = self.config.rotary()
                && head_dim > 0
                && rotary.iter().all(|&(known, _)| known != head_dim)
            {
                let table = RotaryTable::new(ops, grid, head_dim, &rope);
                let table = match &kept {
                    Some(kept) => table.keeping(ops, kept, prefix),
                    None => table,
                };
                rotary.push((head_dim, table));
            }
            let table = rotary.iter().find(|(known, _)| *known == head_dim).map(|(_, table)| table);
            let mode = mode.of_block(layer);
            let again = self.checkpointed.get(layer).is_some_and(|&again| again);
            tokens = ops.within(format_args!("blocks.{layer}"), |ops| {
                ops.block(block, tokens, table, &mut sizes, again, mode)
            });
        }
        (tokens, sizes)
    }

    /// Tokens behind the final LayerNorm, unless it comes after pooling.
    fn normed<O: Ops>(&self, ops: &mut O, tokens: O::Tensor) -> O::Tensor {
        match &self.norm {
            Some(norm) => norm.forward(ops, tokens),
            None => tokens,
        }
    }

    /// How many of the first tokens have a head.
    fn heads_read(&self) -> usize {
        1 + usize::from(self.head_dist.is_some())
    }

    /// What the heads make of tokens that stand for some patches each.
    fn heads<O: Ops>(
        &self,
        ops: &mut O,
        tokens: O::Tensor,
        sizes: &TokenSizes<O::Tensor>,
        mode: Mode,
    ) -> Heads<O::Tensor> {
        let width = self.config.width();
        let distilled = self.head_dist.as_ref().map(|head| {
            let token = ops.slice(tokens.clone(), 1, 1, 1);
            let token = ops.reshape(token, [Dim::BATCH, width.into()]);
            let logits = head.forward(ops, token);
            ops.unrounded(logits)
        });
        let pooled = match (&self.attn_pool, self.config.pool) {
            (Some(pool), _) => {
                ops.within("attn_pool", |ops| pool.forward(ops, tokens, sizes, mode.of("pool")))
            }
            (None, Pool::ClassToken) => ops.slice(tokens, 1, 0, 1),
            (None, Pool::ClassTokenAndMean) => {
                let class = ops.slice(tokens.clone(), 1, 0, 1);
                let mean = sizes.mean(ops, tokens);
                ops.concat(vec![class, mean], 2)
            }
            (None, _) => sizes.mean(ops, tokens),
        };
        let pooled_width = self.config.pooled_width();
        let mut features = ops.reshape(pooled, [Dim::BATCH, pooled_width.into()]);
        if let Some(norm) = &self.fc_norm {
            features = norm.forward(ops, features);
        }
        if let Some(pre_logits) = &self.pre_logits {
            features = pre_logits.forward(ops, features);
            features = ops.apply(op::Tanh {}, [features]);
        }
        let logits = self.head.forward(ops, features.clone());
        Heads { logits: ops.unrounded(logits), distilled, features }
    }

    /// The learned positions of the tokens before the patches, if they have some, and those of the
    /// patches in a grid of rows and columns.
    fn learned_positions<O: Ops>(
        &self,
        ops: &mut O,
        grid: [usize; 2],
    ) -> Option<[Option<O::Tensor>; 2]> {
        let positions = ops.parameter(self.pos_embed.as_ref()?);
        let (before, full) = (self.config.prefix_positions(), self.config.grid());
        let patches = ops.slice(positions.clone(), 1, before, full * full);
        let patches = match grid == [full; 2] && !ops.any_size() {
            true => patches,
            false => resized(ops, patches, full, grid),
        };
        let first = (before > 0).then(|| ops.slice(positions, 1, 0, before));
        Some([first, Some(patches)])
    }

    /// The tokens before the patches, with positions where they have some: `[1, prefix tokens, width]`.
    fn prefix<O: Ops>(&self, ops: &mut O, positions: Option<O::Tensor>) -> Option<O::Tensor> {
        let tokens = [&self.cls_token, &self.dist_token, &self.reg_token];
        let parts: Vec<_> =
            tokens.into_iter().flatten().map(|token| ops.parameter(token)).collect();
        if parts.is_empty() {
            return None;
        }
        let tokens = ops.concat(parts, 1);
        let Some(positions) = positions else { return Some(tokens) };
        let (placed, count) = (self.config.prefix_positions(), self.config.prefix_tokens());
        let first = ops.slice(tokens.clone(), 1, 0, placed);
        let mut parts = vec![ops.add(first, positions)];
        if placed < count {
            parts.push(ops.slice(tokens, 1, placed, count - placed));
        }
        Some(ops.concat(parts, 1))
    }

    /// Patches with their positions, behind class token and registers, of the compute type; their
    /// grid; and which patches were kept, if not all.
    fn embed<O: Ops>(
        &self,
        ops: &mut O,
        images: O::Tensor,
        mode: Mode,
    ) -> (O::Tensor, Grid, Option<O::Tensor>) {
        let width = self.config.width();
        let images = ops.rounded(images);
        let (features, places) = ops.within("patch_embed", |ops| {
            let features = self.patch_embed.features(ops, images);
            let places = self.patch_embed.grid(ops, &features);
            (features, places)
        });
        let count = places[0] * places[1];
        let grid = Grid { side: places[0], full: self.config.grid() };
        let [first, positions] = match self.config.position {
            Position::SinCos2d => [None, Some(ops.sincos(grid, width))],
            _ => self.learned_positions(ops, places).unwrap_or_default(),
        };
        let prefix = self.prefix(ops, first);
        let kept = ops.kept_patches(count, self.patch_dropout, mode.of(PATCH_DROPOUT));
        let before = self.config.prefix_tokens();
        let by_kernel = self.patch_embed.by_kernel(ops, &features, &positions, &prefix);
        let by_kernel = by_kernel.and_then(|tokens| match &kept {
            Some(kept) => ops.kept_by_kernel(&tokens, before, kept),
            None => Some(tokens),
        });
        let tokens = by_kernel.unwrap_or_else(|| {
            let patches = ops.within("patch_embed", |ops| self.patch_embed.forward(ops, features));
            // Rounded again at the end: gradients of positions and tokens are sums over the batch.
            let mut patches = ops.unrounded(patches);
            if let Some(positions) = positions {
                patches = ops.add(patches, positions);
            }
            if let Some(kept) = kept.clone() {
                patches = ops.tokens_at(patches, kept);
            }
            let Some(prefix) = prefix else { return patches };
            let prefix = ops.expand(prefix, [Dim::BATCH, before.into(), width.into()]);
            ops.concat(vec![prefix, patches], 1)
        });
        let tokens = ops.dropout(tokens, self.config.dropout, mode.of("embedding"));
        (ops.streamed(tokens), grid, kept)
    }
}
