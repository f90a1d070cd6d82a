//! The whole model.

mod forward;

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor},
};
use vitral_burn::{kernels::Taker, recording::Drawn};
use vitral_seed::Seed;

use crate::{
    Compute, ConfigProblem, Mode, ViTConfig,
    block::Block,
    config::{Pool, Position},
    drop::kept_patches,
    init::{Fill, Initializer, Role},
    layers::{Linear, Norm},
    patch_embed::PatchEmbed,
    pool::AttentionPool,
    program_attention::{AttentionPrograms, program_attention},
    tables::Tables,
};

/// What patch dropout draws from.
const PATCH_DROPOUT: &str = "patch_dropout";

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
    /// The transformer blocks.
    pub blocks: Vec<Block>,
    /// The final norm, before pooling.
    pub norm: Option<Norm>,
    /// Attention pooling.
    pub attn_pool: Option<AttentionPool>,
    /// The final norm, after pooling.
    pub fc_norm: Option<Norm>,
    /// vit_jax's pre-logits layer.
    pub pre_logits: Option<Linear>,
    /// `[pooled width or representation size, classes]`
    pub head: Linear,
    /// The head of the distillation token, `[width, classes]`.
    pub head_dist: Option<Linear>,
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
    #[module(skip)]
    tables: Tables,
    /// What takes the gradients of the blocks' parameters.
    #[module(skip)]
    taker: Option<Taker>,
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
            return Err(ConfigProblem::new(
                "classes",
                "the number of classes is not known",
                "set it, or build the model after opening the data",
            ));
        }
        Self::unchecked(config, programs, seed, device)
    }

    /// The same of a configuration that has been checked, or of which nothing but names and shapes is asked.
    pub(crate) fn unchecked(
        config: &ViTConfig,
        programs: &AttentionPrograms,
        seed: Seed,
        device: &Device,
    ) -> Result<Self, ConfigProblem> {
        let config = config.resolved();
        let init = Initializer::new(seed, config.init, device);
        let (width, grid) = (config.width(), config.grid());
        let blocks = (0..config.depth())
            .map(|layer| {
                let init = init.of(format_args!("blocks.{layer}"));
                let program = program_attention(&init.of("attn"), &config, programs, layer)?;
                Ok(Block::new(&init, &config, layer, program))
            })
            .collect::<Result<Vec<Block>, ConfigProblem>>()?;
        let positions = grid * grid + config.prefix_positions();
        let norm = |name: &str| Norm::new(&init.of(name), &config, width);
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
            checkpointed: Vec::new(),
            patch_dropout: config.patch_dropout,
            config,
            compute: Compute::F32,
            tables: Tables::default(),
            taker: None,
        })
    }

    /// The same model, computing in another type. Its weights stay `f32`.
    #[must_use]
    pub fn computing_in(self, compute: Compute) -> Self {
        Self { compute, ..self }
    }

    /// The same model, which hands the gradients of its blocks' parameters over as soon as backward has them. They
    /// are not found where gradients are otherwise. Those of other parameters are, and on a GPU all of them.
    #[must_use]
    pub fn handing_over(self, taker: Taker) -> Self {
        Self { taker: Some(taker), ..self }
    }

    /// The type that it computes in.
    pub(crate) const fn compute(&self) -> Compute {
        self.compute
    }

    /// What this model is made of, with every size written out.
    pub fn config(&self) -> &ViTConfig {
        &self.config
    }

    /// The share of the patches that training images lose.
    pub fn patch_dropout(&self) -> f64 {
        self.patch_dropout
    }

    /// All that a forward pass for so many images of this size takes from [`Drawn`]: which patches are kept, and what
    /// stochastic depth draws.
    pub fn drawn(&self, batch: usize, image_size: [usize; 2], mode: Mode) -> Vec<Drawn> {
        let blocks = self.blocks.iter().enumerate();
        let factors =
            blocks.flat_map(|(layer, block)| block.drop_path_factors(batch, mode.of_block(layer)));
        let patches =
            image_size.into_iter().map(|side| side / self.config.patch_pixels()).product();
        let kept = kept_patches(batch, patches, self.patch_dropout, mode.of(PATCH_DROPOUT));
        kept.into_iter().chain(factors).collect()
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
}
