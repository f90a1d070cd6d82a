//! What a model is made of: every field that a user can set, with its default.

mod check;
mod layers;
mod of_variant;
mod options;
mod rope;
pub(crate) mod stem;
mod token_merging;
mod token_reorganization;
mod tokens;

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_config::{OnPluginError, PluginSettings, PluginUse};

pub use self::check::ConfigProblem;
pub use self::layers::LayerSize;
pub use self::of_variant::model_of_variant;
pub use self::options::{Mlp, Normalization, Pool, Position, TokenMixing};
pub use self::stem::{GROUPS, Stem};
pub(crate) use self::token_merging::possible;
pub use self::token_merging::{MergeSchedule, TokenMerging};
pub(crate) use self::token_reorganization::Kept;
pub use self::token_reorganization::TokenReorganization;
use crate::{Variant, init::Init};

/// A Vision Transformer, a hybrid of one with a ResNet, or an MLP-Mixer. The variant gives patch size,
/// width, depth and heads, and which of the three it is; each can be set on its own instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ViTConfig {
    /// The published model whose sizes are taken unless they are set below: `Ti/16`, `S/16`, `B/32`,
    /// `L/16`, `H/14`, ..., `Mixer-B/16` (Tolstikhin et al. 2021), ..., `R50+ViT-B/16` and other
    /// hybrids.
    #[schemars(extend("otherNames" = ["arch", "architecture"]))]
    pub variant: Variant,
    /// Side of the square input image in pixels.
    #[schemars(range(min = 1, max = 8192))]
    #[schemars(extend("otherNames" = ["img_size", "resolution"]))]
    pub image_size: usize,
    /// Colour channels of the input image: 1 (grey) or 3 (RGB).
    #[schemars(range(min = 1, max = 64))]
    #[schemars(extend("otherNames" = ["in_chans", "in_channels"]))]
    pub channels: usize,
    /// Number of classes; 0 takes it from the training data.
    #[schemars(range(max = 1_000_000))]
    #[schemars(extend("otherNames" = ["num_classes", "num_labels"]))]
    pub classes: usize,
    /// What the image goes through before it is cut into patches: `None`, or `ResNet(layers: [3, 4,
    /// 9])`.
    pub stem: Stem,
    /// Side of a square patch in pixels of the image, or of the stem's output; must divide their
    /// side.
    #[schemars(range(min = 1, max = 1024))]
    pub patch_size: Option<usize>,
    /// Width of a token (timm `embed_dim`, vit_jax `hidden_size`); a multiple of `heads`.
    #[schemars(range(min = 1, max = 65536))]
    #[schemars(extend("otherNames" = ["embed_dim", "hidden_size", "dim"]))]
    pub width: Option<usize>,
    /// Number of transformer blocks.
    #[schemars(range(min = 1, max = 1024))]
    #[schemars(extend("otherNames" = ["num_layers", "num_hidden_layers", "blocks"]))]
    pub depth: Option<usize>,
    /// Attention heads of each block.
    #[schemars(range(min = 1, max = 1024))]
    pub heads: Option<usize>,
    /// What each layer has left of heads and of the MLP's hidden neurons, in a pruned model:
    /// `[(heads: 5, hidden: 384), ...]`. A branch with none of them is left out, and heads stay as
    /// wide as `heads` makes them. Without it, all layers are whole.
    #[schemars(length(max = 1024))]
    pub layers: Vec<LayerSize>,
    /// How the tokens of a block are mixed: `Attention`, or `Mlp()` of an MLP-Mixer, which has no
    /// class token, no positions and no attention.
    pub token_mixing: TokenMixing,
    /// Hidden width of the MLP as a multiple of `width`.
    #[schemars(range(min = 0.01, max = 64.0))]
    pub mlp_ratio: f64,
    /// The MLP's activation: `Gelu` (exact), `GeluTanh` (vit_jax's) or `SwiGlu`.
    pub mlp: Mlp,
    /// Whether a learned class token is put before the patches.
    pub class_token: bool,
    /// Whether a learned distillation token comes after the class token, with a head of its own; logits
    /// are the mean of both heads' (DeiT, Touvron et al. 2021).
    pub distillation_token: bool,
    /// Learned register tokens after the class token (Darcet et al. 2024).
    #[schemars(range(max = 1024))]
    #[schemars(extend("otherNames" = ["reg_tokens"]))]
    pub register_tokens: usize,
    /// How tokens become one vector: `ClassToken`, `Mean` of the patches, `ClassTokenAndMean` (both side
    /// by side), or `Map` (attention pooling, Zhai et al. 2022).
    #[schemars(extend("otherNames" = ["global_pool"]))]
    pub pool: Pool,
    /// Whether the final LayerNorm comes after pooling (timm `fc_norm`) instead of before.
    pub fc_norm: bool,
    /// Position embedding added to the tokens: `Learned`, `SinCos2d` (fixed) or `None`.
    pub position: Position,
    /// Whether the class token has a learned position, too; if not, as in DeiT III, only the
    /// patches have positions (timm's `no_embed_class`).
    pub class_position: bool,
    /// Whether the registers have learned positions, too (timm's `reg_tokens` without
    /// `no_embed_class`).
    pub register_position: bool,
    /// Rotates queries and keys by their 2-D position (axial RoPE); the value is the base of its
    /// wavelengths, e.g. 100 (RoPE-ViT) or 10000 (EVA-02).
    #[schemars(range(min = 1.0, max = 1e9))]
    pub rope: Option<f64>,
    /// With `rope`, rotates the registers as well, by their places on a grid of their own; the
    /// value is the base of its wavelengths (ViT-5, Wang et al. 2026, has 100). `None` does not
    /// rotate them.
    #[schemars(range(min = 1.0, max = 1e9))]
    pub rope_registers: Option<f64>,
    /// Adds a learned bias per head and relative position to the scores of softmax attention (Swin,
    /// BEiT).
    pub relative_position_bias: bool,
    /// Attention by layer; a layer that no entry names has softmax attention with the model's heads.
    pub attention: Vec<LayerAttention>,
    /// Whether the query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// Norms on queries and keys (Dehghani et al. 2023).
    pub qk_norm: bool,
    /// Initial value of LayerScale on both branches of each block (Touvron et al. 2021); none
    /// leaves LayerScale out.
    #[schemars(range(min = 0.0, max = 10.0))]
    #[schemars(extend("otherNames" = ["init_values"]))]
    pub layer_scale: Option<f64>,
    /// Stochastic depth: the last block's probability of dropping a branch for a sample; earlier
    /// blocks have linearly less, unless it is uniform.
    #[schemars(range(min = 0.0, max = 0.99))]
    #[schemars(extend("otherNames" = ["drop_path_rate", "stochastic_depth"]))]
    pub drop_path: f64,
    /// Whether all blocks have the rate of `drop_path` (DeiT III, DINOv2).
    pub drop_path_uniform: bool,
    /// Dropout after the position embedding, the attention's projection and in the MLP.
    #[schemars(range(min = 0.0, max = 0.99))]
    #[schemars(extend("otherNames" = ["drop_rate"]))]
    pub dropout: f64,
    /// Dropout on the attention weights.
    #[schemars(range(min = 0.0, max = 0.99))]
    #[schemars(extend("otherNames" = ["attn_drop"]))]
    pub attention_dropout: f64,
    /// Share of the patches left out of each training image (Liu et al. 2023).
    #[schemars(range(min = 0.0, max = 0.99))]
    #[schemars(extend("otherNames" = ["patch_drop_rate"]))]
    pub patch_dropout: f64,
    /// Merges similar tokens after each layer's attention (ToMe, Bolya et al. 2023), in training and
    /// inference; none keeps all.
    pub token_merging: Option<TokenMerging>,
    /// Keeps the patches that the class token attends to most, and fuses the others into one token
    /// (EViT, Liang et al. 2022), after the attention of some layers, in training and inference;
    /// none keeps all.
    pub token_reorganization: Option<TokenReorganization>,
    /// Width of vit_jax's pre-logits layer (linear and tanh) before the head; none leaves it out.
    #[schemars(range(min = 1, max = 65536))]
    #[schemars(extend("otherNames" = ["pre_logits"]))]
    pub representation_size: Option<usize>,
    /// How tokens, and queries and keys with `qk_norm`, are normalised: `LayerNorm` or `RmsNorm` (Zhang and
    /// Sennrich 2019).
    #[schemars(extend("otherNames" = ["norm_layer"]))]
    pub norm: Normalization,
    /// Epsilon of every norm.
    #[schemars(range(min = 1e-12, max = 0.1))]
    #[schemars(extend("otherNames" = ["layer_norm_eps"]))]
    pub norm_eps: f64,
    /// How weights start: `Jax` (vit_jax: Xavier, zero head) or `Timm` (normal 0.02).
    pub init: Init,
    /// Initial value of the head's bias; -ln(classes) or lower suits sigmoid losses.
    pub head_bias_init: f64,
}

impl Default for ViTConfig {
    fn default() -> Self {
        Self {
            variant: Variant::default(),
            image_size: 224,
            channels: 3,
            classes: 0,
            stem: Stem::None,
            patch_size: None,
            width: None,
            depth: None,
            heads: None,
            layers: Vec::new(),
            token_mixing: TokenMixing::Attention,
            mlp_ratio: 4.0,
            mlp: Mlp::GeluTanh,
            class_token: true,
            distillation_token: false,
            register_tokens: 0,
            pool: Pool::ClassToken,
            fc_norm: false,
            position: Position::Learned,
            class_position: true,
            register_position: false,
            rope: None,
            rope_registers: None,
            relative_position_bias: false,
            attention: Vec::new(),
            qkv_bias: true,
            qk_norm: false,
            layer_scale: None,
            drop_path: 0.0,
            drop_path_uniform: false,
            dropout: 0.0,
            attention_dropout: 0.0,
            patch_dropout: 0.0,
            token_merging: None,
            token_reorganization: None,
            representation_size: None,
            norm: Normalization::LayerNorm,
            norm_eps: 1e-6,
            init: Init::Jax,
            head_bias_init: 0.0,
        }
    }
}

/// The attention of a range of layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerAttention {
    /// First and last layer, counted from 0: `(0, 5)` is the first six.
    pub layers: (usize, usize),
    /// The attention of these layers.
    pub attention: AttentionKind,
}

impl LayerAttention {
    fn range(&self) -> RangeInclusive<usize> {
        self.layers.0..=self.layers.1
    }
}

/// A kind of attention and its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum AttentionKind {
    /// Scaled dot-product attention over all tokens (Vaswani et al. 2017).
    Softmax {
        /// Heads of these layers; the model's if none.
        #[serde(default)]
        #[schemars(range(min = 1, max = 1024))]
        heads: Option<usize>,
        /// LayerNorm on queries and keys of these layers; the model's choice if none.
        #[serde(default)]
        qk_norm: Option<bool>,
    },
    /// A plugin's attention, traced into a tensor program when the run starts. The program is kept
    /// in checkpoints, so that nothing but starting a run needs the plugin.
    Plugin {
        /// The plugin's name, as in the experiment's `plugins`, or of one that is installed or
        /// compiled in.
        name: String,
        /// Accepted versions, as in `^1.2`; any if left out.
        #[serde(default)]
        #[schemars(with = "String")]
        version: semver::VersionReq,
        /// The plugin's parameters by name; those left out keep their defaults.
        #[serde(default)]
        settings: PluginSettings,
        /// Heads of these layers; the model's if none.
        #[serde(default)]
        #[schemars(range(min = 1, max = 1024))]
        heads: Option<usize>,
        /// LayerNorm on queries and keys of these layers; the model's choice if none.
        #[serde(default)]
        qk_norm: Option<bool>,
    },
}

impl AttentionKind {
    /// Heads, where these layers have their own number.
    pub const fn heads(&self) -> Option<usize> {
        match self {
            Self::Softmax { heads, .. } | Self::Plugin { heads, .. } => *heads,
        }
    }

    /// Whether queries and keys are normalised, where these layers have their own choice.
    pub const fn qk_norm(&self) -> Option<bool> {
        match self {
            Self::Softmax { qk_norm, .. } | Self::Plugin { qk_norm, .. } => *qk_norm,
        }
    }

    /// The plugin, if the attention is one's.
    pub fn plugin(&self) -> Option<PluginUse> {
        match self {
            Self::Softmax { .. } => None,
            Self::Plugin { name, version, settings, .. } => Some(PluginUse {
                name: name.clone(),
                version: version.clone(),
                settings: settings.clone(),
                on_error: OnPluginError::Stop,
            }),
        }
    }
}

impl Default for AttentionKind {
    fn default() -> Self {
        Self::Softmax { heads: None, qk_norm: None }
    }
}

impl ViTConfig {
    /// Side of a square patch in pixels of the image, or of what the stem gives.
    pub fn patch_size(&self) -> usize {
        self.patch_size.unwrap_or(self.variant.patch_size())
    }

    /// Side of the square of the image, in pixels, that becomes a token.
    pub fn patch_pixels(&self) -> usize {
        self.patch_size() * self.stem.downscaling()
    }

    /// Width of a token.
    pub fn width(&self) -> usize {
        self.width.unwrap_or(self.variant.dimensions().0)
    }

    /// Number of blocks.
    pub fn depth(&self) -> usize {
        self.depth.unwrap_or(self.variant.dimensions().1)
    }

    /// Whether it is an MLP-Mixer, of which no block has attention.
    pub fn is_mixer(&self) -> bool {
        self.token_mixing != TokenMixing::Attention
    }

    /// Hidden width of the MLP that mixes tokens; none where attention does.
    pub fn tokens_mlp_dim(&self) -> Option<usize> {
        match self.token_mixing {
            TokenMixing::Attention => None,
            TokenMixing::Mlp { hidden } => Some(hidden.unwrap_or((self.width() / 2).max(1))),
        }
    }

    /// Attention heads, where a layer does not say otherwise.
    pub fn heads(&self) -> usize {
        self.heads.unwrap_or(self.variant.size.dimensions().2)
    }

    /// Hidden width of the MLP, where a layer does not have less.
    pub fn mlp_dim(&self) -> usize {
        (self.width() as f64 * self.mlp_ratio).round() as usize
    }

    /// Patches along one side of the image.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_pixels()
    }

    /// Tokens before the patches: class token, distillation token and registers.
    pub fn prefix_tokens(&self) -> usize {
        self.class_tokens() + self.register_tokens
    }

    /// Learned positions before those of the patches: those of the first tokens.
    pub fn prefix_positions(&self) -> usize {
        let classes = if self.class_position { self.class_tokens() } else { 0 };
        classes + if self.register_position { self.register_tokens } else { 0 }
    }

    /// Tokens that a head reads: class token and distillation token.
    fn class_tokens(&self) -> usize {
        usize::from(self.class_token) + usize::from(self.distillation_token)
    }

    /// Width of what pooling gives.
    pub fn pooled_width(&self) -> usize {
        match self.pool {
            Pool::ClassTokenAndMean => 2 * self.width(),
            Pool::ClassToken | Pool::Mean | Pool::Map => self.width(),
        }
    }

    /// The attention of one layer.
    pub fn attention_of(&self, layer: usize) -> AttentionKind {
        self.attention_entry(layer)
            .map_or_else(AttentionKind::default, |index| self.attention[index].attention.clone())
    }

    /// The entry of `attention` that a layer has, by its index.
    pub fn attention_entry(&self, layer: usize) -> Option<usize> {
        self.attention.iter().position(|entry| entry.range().contains(&layer))
    }

    /// The stochastic-depth rate of one layer: 0 at the first and `drop_path` at the last, or the same
    /// in all.
    pub fn drop_path_of(&self, layer: usize) -> f64 {
        if self.drop_path_uniform {
            return self.drop_path;
        }
        let last = self.depth().saturating_sub(1).max(1);
        self.drop_path * layer as f64 / last as f64
    }

    /// The same configuration with what the variant gives written out.
    pub fn resolved(&self) -> Self {
        Self {
            patch_size: Some(self.patch_size()),
            width: Some(self.width()),
            depth: Some(self.depth()),
            heads: (!self.is_mixer()).then(|| self.heads()),
            token_mixing: match self.tokens_mlp_dim() {
                None => TokenMixing::Attention,
                hidden => TokenMixing::Mlp { hidden },
            },
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_vit_ti_16() {
        let config = ViTConfig::default();
        assert_eq!(
            (config.width(), config.depth(), config.heads(), config.patch_size()),
            (192, 12, 3, 16)
        );
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn drop_path_grows_linearly_with_depth() {
        let config = ViTConfig { drop_path: 0.1, depth: Some(3), ..ViTConfig::default() };
        assert_eq!([0, 1, 2].map(|layer| config.drop_path_of(layer)), [0.0, 0.05, 0.1]);
        let uniform = ViTConfig { drop_path_uniform: true, ..config };
        assert_eq!([0, 1, 2].map(|layer| uniform.drop_path_of(layer)), [0.1; 3]);
    }
}
