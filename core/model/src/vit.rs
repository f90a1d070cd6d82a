//! The whole model.

use burn::{
    module::{Module, Param},
    tensor::{Device, FloatDType, Int, Tensor, activation},
};
use vitral_seed::Seed;

use crate::{
    ConfigProblem, Mode, ViTConfig,
    activation_checkpointing::checkpointed,
    block::Block,
    compute::{Compute, in_f32},
    drop::{dropout, kept_patches},
    fused,
    init::{Fill, Initializer, Role},
    layers::{LayerNorm, Linear},
    patch_embed::PatchEmbed,
    pool::{AttentionPool, Pool},
    position::{Position, RotaryTable, sincos_2d},
    program_attention::{AttentionPrograms, program_attention},
    resized_positions::Grid,
    token_merging::TokenSizes,
};

/// A Vision Transformer, a hybrid or an MLP-Mixer. Fields, and so the names of parameters, are those of timm's
/// Vision Transformer.
#[derive(Module, Debug)]
pub struct ViT {
    /// Patches to tokens.
    pub patch_embed: PatchEmbed,
    /// `[1, 1, width]`
    pub cls_token: Option<Param<Tensor<3>>>,
    /// `[1, 1, width]`
    pub dist_token: Option<Param<Tensor<3>>>,
    /// `[1, register tokens, width]`
    pub reg_token: Option<Param<Tensor<3>>>,
    /// `[1, patches (after the tokens before them that have positions), width]`
    pub pos_embed: Option<Param<Tensor<3>>>,
    /// Fixed position embedding, `[1, patches, width]`.
    sincos: Option<Tensor<3>>,
    /// Rotations of each head width that the blocks use.
    rotary: Vec<RotaryTable>,
    /// The transformer blocks.
    pub blocks: Vec<Block>,
    /// The final LayerNorm, before pooling.
    pub norm: Option<LayerNorm>,
    /// Attention pooling.
    pub attn_pool: Option<AttentionPool>,
    /// The final LayerNorm, after pooling.
    pub fc_norm: Option<LayerNorm>,
    /// vit_jax's pre-logits layer.
    pub pre_logits: Option<Linear>,
    /// `[pooled width or representation size, classes]`
    pub head: Linear,
    /// The head of the distillation token, `[width, classes]`.
    pub head_dist: Option<Linear>,
    /// Which of `rotary` a block uses.
    #[module(skip)]
    rotary_of: Vec<usize>,
    /// Which blocks compute their activations again for backward.
    #[module(skip)]
    checkpointed: Vec<bool>,
    /// Share of the patches that training images lose now.
    #[module(skip)]
    patch_dropout: f64,
    #[module(skip)]
    config: ViTConfig,
    #[module(skip)]
    compute: Compute,
}

impl ViT {
    /// A model with fresh weights from the seed, the same on every device.
    ///
    /// # Errors
    /// What [`ViTConfig::check`] finds, a number of classes that is still 0, and a layer whose
    /// attention is a plugin's.
    pub fn new(config: &ViTConfig, seed: Seed, device: &Device) -> Result<Self, ConfigProblem> {
        Self::with_programs(config, &AttentionPrograms::new(), seed, device)
    }

    /// A model whose layers with a plugin's attention run these programs.
    ///
    /// # Errors
    /// As [`ViT::new`], and a layer whose program is missing or does not fit.
    pub fn with_programs(
        config: &ViTConfig,
        programs: &AttentionPrograms,
        seed: Seed,
        device: &Device,
    ) -> Result<Self, ConfigProblem> {
        config.check()?;
        if config.classes == 0 {
            return Err(ConfigProblem {
                field: "classes".into(),
                message: "the number of classes is not known".into(),
                help: "set it, or build the model after opening the data".into(),
            });
        }
        let config = config.resolved();
        let init = Initializer::new(seed, config.init, device);
        let (width, grid, prefix) = (config.width(), config.grid(), config.prefix_tokens());
        let blocks = (0..config.depth())
            .map(|layer| {
                let init = init.of(format_args!("blocks.{layer}"));
                let program = program_attention(&init.of("attn"), &config, programs, layer)?;
                Ok(Block::new(&init, &config, layer, program))
            })
            .collect::<Result<Vec<Block>, ConfigProblem>>()?;
        let mut head_dims = Vec::new();
        let rotary_of = blocks
            .iter()
            .map(|block| {
                let Some(attn) = &block.attn else { return 0 };
                let head_dim = attn.head_dim();
                head_dims.iter().position(|&known| known == head_dim).unwrap_or_else(|| {
                    head_dims.push(head_dim);
                    head_dims.len() - 1
                })
            })
            .collect();
        let rotary = config.rope.map_or_else(Vec::new, |theta| {
            head_dims
                .iter()
                .map(|&head_dim| RotaryTable::new(Grid::own(grid), prefix, head_dim, theta, device))
                .collect()
        });
        let positions = grid * grid + config.prefix_positions();
        let norm = |name: &str| LayerNorm::new(&init.of(name), width, config.norm_eps);
        let pooled = config.pooled_width();
        let features = config.representation_size.unwrap_or(pooled);
        let head = |name: &str| {
            let init = init.of(name);
            let mut head = Linear::new(&init, Role::Head, features, config.classes, true);
            let bias = Fill::Constant(config.head_bias_init);
            head.bias = Some(init.parameter("bias", [config.classes], bias));
            head
        };
        Ok(Self {
            patch_embed: PatchEmbed::new(&init.of("patch_embed"), &config),
            cls_token: config
                .class_token
                .then(|| init.parameter("cls_token", [1, 1, width], init.class_token_fill())),
            dist_token: config
                .distillation_token
                .then(|| init.parameter("dist_token", [1, 1, width], init.class_token_fill())),
            reg_token: (config.register_tokens > 0).then(|| {
                init.parameter(
                    "reg_token",
                    [1, config.register_tokens, width],
                    Fill::Normal { std: 1e-6 },
                )
            }),
            pos_embed: (config.position == Position::Learned).then(|| {
                init.parameter("pos_embed", [1, positions, width], Fill::Normal { std: 0.02 })
            }),
            sincos: (config.position == Position::SinCos2d)
                .then(|| sincos_2d(Grid::own(grid), width, device)),
            rotary,
            blocks,
            norm: (!config.fc_norm).then(|| norm("norm")),
            attn_pool: (config.pool == Pool::Map)
                .then(|| AttentionPool::new(&init.of("attn_pool"), &config)),
            fc_norm: config.fc_norm.then(|| norm("fc_norm")),
            pre_logits: config.representation_size.map(|size| {
                Linear::new(&init.of("pre_logits"), Role::Representation, pooled, size, true)
            }),
            head_dist: config.distillation_token.then(|| head("head_dist")),
            head: head("head"),
            rotary_of,
            checkpointed: Vec::new(),
            patch_dropout: config.patch_dropout,
            config,
            compute: Compute::F32,
        })
    }

    /// The same model, computing in another type. Its weights stay `f32`.
    #[must_use]
    pub fn computing_in(self, compute: Compute) -> Self {
        Self { compute, ..self }
    }

    /// What this model is made of, with every size written out.
    pub fn config(&self) -> &ViTConfig {
        &self.config
    }

    /// Sets the share of the patches that training images lose from now on: the configuration's
    /// `patch_dropout`, or 0 for what is known as unmasked tuning (FLIP, Li et al. 2023).
    pub fn set_patch_dropout(&mut self, rate: f64) {
        self.patch_dropout = rate;
    }

    /// Says which blocks compute their activations again for backward, as
    /// [`ActivationCheckpointing::plan`](crate::ActivationCheckpointing::plan) gives it.
    pub fn set_activation_checkpointing(&mut self, blocks: Vec<bool>) {
        self.checkpointed = blocks;
    }

    /// Which blocks compute their activations again, from the first one on; of those that it says
    /// nothing about, none does.
    pub fn activation_checkpointing(&self) -> &[bool] {
        &self.checkpointed
    }

    /// Normalised images `[batch, height, width, channels]` to logits `[batch, classes]`, both `f32`.
    ///
    /// Images of another size than the configured one get positions resized to their grid.
    ///
    /// # Panics
    /// If the images do not have the configured channels, are not square or not filled by patches,
    /// or have another size than the configured one where relative position bias, a plugin's attention
    /// or an MLP over tokens depends on it.
    pub fn forward(&self, images: Tensor<4>, mode: Mode) -> Tensor<2> {
        let (tokens, sizes) = self.last_tokens(images, mode);
        // Each token is normalised on its own, so the others need not be.
        let tokens = match (&self.attn_pool, self.config.pool) {
            (None, Pool::ClassToken) => tokens.narrow(1, 0, self.heads_read()),
            _ => tokens,
        };
        self.head_of(self.normed(tokens), &sizes, mode)
    }

    /// Images to tokens `[batch, prefix + patches, width]`, of the compute type, after the last block
    /// and, unless it comes after pooling, the final LayerNorm.
    pub fn forward_features(&self, images: Tensor<4>, mode: Mode) -> Tensor<3> {
        self.normed(self.last_tokens(images, mode).0)
    }

    /// Tokens after the last block, and how many patches each of them stands for.
    fn last_tokens(&self, images: Tensor<4>, mode: Mode) -> (Tensor<3>, TokenSizes) {
        let rotary = self.rotary_for(self.grid_of(&images), &images.device().without_autodiff());
        let (mut tokens, kept) = self.embed(images, mode);
        let rotary: Vec<RotaryTable> = match &kept {
            Some(kept) => rotary
                .iter()
                .map(|table| table.keeping(kept, self.config.prefix_tokens()))
                .collect(),
            None => rotary,
        };
        let mut sizes = TokenSizes::new(&self.config);
        for (layer, block) in self.blocks.iter().enumerate() {
            let rotary = rotary.get(self.rotary_of[layer]);
            let mode = mode.of("block").layer(layer);
            tokens = match self.checkpointed.get(layer) {
                Some(true) => checkpointed(block, tokens, rotary, &mut sizes, mode),
                _ => block.forward(tokens, rotary, &mut sizes, mode),
            };
        }
        (tokens, sizes)
    }

    /// Tokens behind the final LayerNorm, unless it comes after pooling.
    fn normed(&self, tokens: Tensor<3>) -> Tensor<3> {
        match &self.norm {
            Some(norm) => norm.forward(tokens),
            None => tokens,
        }
    }

    /// How many of the first tokens have a head.
    pub(crate) fn heads_read(&self) -> usize {
        1 + usize::from(self.head_dist.is_some())
    }

    /// Tokens that stand for some patches each to logits, which are `f32`.
    fn head_of(&self, tokens: Tensor<3>, sizes: &TokenSizes, mode: Mode) -> Tensor<2> {
        let [batch, _, width] = tokens.dims();
        let distilled = self.head_dist.as_ref().map(|head| {
            head.forward(tokens.clone().narrow(1, 1, 1).reshape([batch, width]))
                .cast(FloatDType::F32)
        });
        let pooled = match (&self.attn_pool, self.config.pool) {
            (Some(pool), _) => pool.forward(tokens, sizes, mode.of("pool")),
            (None, Pool::ClassToken) => tokens.narrow(1, 0, 1),
            (None, Pool::ClassTokenAndMean) => {
                let class = tokens.clone().narrow(1, 0, 1);
                Tensor::cat(vec![class, in_f32(tokens, |tokens| sizes.mean(tokens))], 2)
            }
            (None, _) => in_f32(tokens, |tokens| sizes.mean(tokens)),
        };
        let mut features = pooled.reshape([batch, self.config.pooled_width()]);
        if let Some(norm) = &self.fc_norm {
            features = norm.forward(features);
        }
        if let Some(pre_logits) = &self.pre_logits {
            features = in_f32(pre_logits.forward(features), activation::tanh);
        }
        let logits = self.head.forward(features).cast(FloatDType::F32);
        match distilled {
            Some(distilled) => (logits + distilled) / 2.0,
            None => logits,
        }
    }

    /// The grid of patches of images `[batch, height, width, channels]`.
    fn grid_of(&self, images: &Tensor<4>) -> Grid {
        Grid { side: images.dims()[1] / self.config.patch_pixels(), full: self.config.grid() }
    }

    /// The rotations of queries and keys in a grid, for each head width that the blocks use.
    fn rotary_for(&self, grid: Grid, device: &Device) -> Vec<RotaryTable> {
        let Some(theta) = self.config.rope.filter(|_| grid.side != grid.full) else {
            return self.rotary.clone();
        };
        let prefix = self.config.prefix_tokens();
        let table =
            |table: &RotaryTable| RotaryTable::new(grid, prefix, table.head_dim(), theta, device);
        self.rotary.iter().map(table).collect()
    }

    /// The learned positions for a grid, behind those of the tokens before the patches.
    fn positions_for(&self, grid: Grid) -> Option<Tensor<3>> {
        let positions = self.pos_embed.as_ref()?.val();
        if grid.side == grid.full {
            return Some(positions);
        }
        let before = self.config.prefix_positions();
        let patches = grid.resize(positions.clone().narrow(1, before, grid.full * grid.full));
        Some(match before {
            0 => patches,
            _ => Tensor::cat(vec![positions.narrow(1, 0, before), patches], 1),
        })
    }

    /// The tokens before the patches, with positions where they have some: `[1, prefix tokens, width]`.
    fn prefix(&self, positions: Option<Tensor<3>>) -> Option<Tensor<3>> {
        let tokens = [&self.cls_token, &self.dist_token, &self.reg_token];
        let parts: Vec<Tensor<3>> = tokens.into_iter().flatten().map(Param::val).collect();
        if parts.is_empty() {
            return None;
        }
        let (tokens, count) = (Tensor::cat(parts, 1), self.config.prefix_tokens());
        let Some(positions) = positions else { return Some(tokens) };
        let placed = self.config.prefix_positions();
        if placed == 0 {
            return Some(tokens);
        }
        let first = tokens.clone().narrow(1, 0, placed) + positions.narrow(1, 0, placed);
        Some(match count - placed {
            0 => first,
            others => Tensor::cat(vec![first, tokens.narrow(1, placed, others)], 1),
        })
    }

    /// Patches with their positions, behind class token and registers, of the compute type; and which
    /// patches were kept, if not all.
    fn embed(&self, images: Tensor<4>, mode: Mode) -> (Tensor<3>, Option<Tensor<2, Int>>) {
        let grid = self.grid_of(&images);
        let compute = self.compute.dtype();
        let [batch, ..] = images.dims();
        let (count, width) = (grid.side * grid.side, self.config.width());
        let device = images.device().without_autodiff();
        let before = self.config.prefix_positions();
        let learned = self.positions_for(grid);
        let positions = match (&learned, &self.sincos) {
            (Some(learned), _) => Some(learned.clone().narrow(1, before, count)),
            (None, Some(sincos)) if grid.side == grid.full => Some(sincos.clone()),
            (None, Some(_)) => Some(sincos_2d(grid, width, &device)),
            (None, None) => None,
        };
        let prefix = self.prefix(learned);
        let kept =
            kept_patches(batch, count, self.patch_dropout, mode.of("patch_dropout"), &device);
        let images = images.cast(compute);
        let tokens = if kept.is_none() && fused::covers(&images) {
            self.patch_embed.tokens(images, positions, prefix)
        } else {
            // Rounded again at the end: gradients of positions and tokens are sums over the batch.
            let mut patches = self.patch_embed.forward(images).cast(FloatDType::F32);
            if let Some(positions) = positions {
                patches = patches + positions;
            }
            if let Some(kept) = &kept {
                let index = kept.clone().unsqueeze_dim::<3>(2).repeat_dim(2, width);
                patches = patches.gather(1, index);
            }
            match prefix {
                Some(prefix) => Tensor::cat(vec![prefix.repeat_dim(0, batch), patches], 1),
                None => patches,
            }
        };
        let tokens = dropout(tokens, self.config.dropout, mode.of("embedding"));
        (tokens.cast(compute), kept)
    }
}
