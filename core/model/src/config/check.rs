//! Whether the fields of a model go together.

use super::{
    ViTConfig,
    options::{Pool, Position},
    stem::{GROUPS, Stem},
};
use crate::variant::Family;

/// Two fields that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigProblem {
    /// The field to change, as in `attention[1].layers`.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl ConfigProblem {
    pub(crate) fn new(
        field: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), message: message.into(), help: help.into() }
    }
}

impl ViTConfig {
    /// Checks what no single field can say: that sizes divide, and that options go together.
    ///
    /// # Errors
    /// The first problem found, with the field to change.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        self.check_stem()?;
        let (image, patch) = (self.image_size, self.patch_pixels());
        if !image.is_multiple_of(patch) {
            let (below, above) = (image / patch * patch, image.div_ceil(patch) * patch);
            return Err(ConfigProblem::new(
                if self.patch_size.is_some() { "patch_size" } else { "image_size" },
                format!("patches of {patch} px do not fill an image of {image} px"),
                match self.stem.downscaling() {
                    1 => format!(
                        "the patch size must divide the image size: {below} or {above} px would"
                    ),
                    downscaling => format!(
                        "the stem makes an image {downscaling} times smaller, and a patch is {} of \
                         that: images of {below} or {above} px would fit",
                        self.patch_size()
                    ),
                },
            ));
        }
        self.check_mixer()?;
        let needs_class_token = matches!(self.pool, Pool::ClassToken | Pool::ClassTokenAndMean);
        let by_class_token = self.pool == Pool::ClassToken && !self.fc_norm;
        for (is_wrong, field, message, help) in [
            (
                needs_class_token && !self.class_token,
                "pool",
                "pooling by the class token needs a class token",
                "set `class_token: true`, or pool by `Mean` or `Map`",
            ),
            (
                self.pool == Pool::ClassTokenAndMean && self.fc_norm,
                "fc_norm",
                "class token and mean are normalised before they are put side by side",
                "set `fc_norm: false`",
            ),
            (
                self.distillation_token && (!by_class_token || self.representation_size.is_some()),
                "distillation_token",
                "a distillation token has a head beside that of the class token",
                "set `pool: ClassToken` and `fc_norm: false`, and leave `representation_size` out",
            ),
            (
                self.register_position && self.class_token && !self.class_position,
                "register_position",
                "registers have positions only where the class token has one",
                "set `class_position: true`, too",
            ),
            (
                self.relative_position_bias && self.patch_dropout > 0.0,
                "patch_dropout",
                "patch dropout cannot be combined with a relative position bias",
                "use `rope` or an added position embedding with patch dropout",
            ),
        ] {
            if is_wrong {
                return Err(ConfigProblem::new(field, message, help));
            }
        }
        if let Some(index) =
            self.attention.iter().position(|entry| entry.attention.plugin().is_some())
            && self.patch_dropout > 0.0
        {
            return Err(ConfigProblem::new(
                "patch_dropout",
                format!("patch dropout cannot be combined with the plugin of attention[{index}]"),
                "a plugin's attention is traced for the whole grid of patches",
            ));
        }
        self.check_token_merging()?;
        self.check_token_reorganization()?;
        self.check_rope_registers()?;
        if self.position == Position::SinCos2d && !self.width().is_multiple_of(4) {
            return Err(ConfigProblem::new(
                if self.width.is_some() { "width" } else { "position" },
                format!(
                    "SinCos2d positions need a width divisible by 4, and it is {}",
                    self.width()
                ),
                "a quarter of the width each holds sine and cosine of row and column",
            ));
        }
        for (index, entry) in self.attention.iter().enumerate() {
            let field = format!("attention[{index}].layers");
            let (first, last) = entry.layers;
            if first > last || last >= self.depth() {
                return Err(ConfigProblem::new(
                    field,
                    format!("layers {first} to {last} are not in this model"),
                    format!("it has layers 0 to {}", self.depth() - 1),
                ));
            }
            let overlap = self.attention[..index]
                .iter()
                .find(|other| first <= other.layers.1 && other.layers.0 <= last);
            if let Some(other) = overlap {
                return Err(ConfigProblem::new(
                    field,
                    format!(
                        "layers {first} to {last} overlap layers {} to {}",
                        other.layers.0, other.layers.1
                    ),
                    "each layer has one attention",
                ));
            }
        }
        if !self.is_mixer() {
            for layer in 0..self.depth() {
                self.check_heads(layer)?;
            }
            self.check_layers()?;
        }
        if self.pool == Pool::Map && !self.width().is_multiple_of(self.heads()) {
            return Err(self.heads_problem("heads".into(), self.heads()));
        }
        Ok(())
    }

    /// The stem's sizes.
    fn check_stem(&self) -> Result<(), ConfigProblem> {
        let Stem::ResNet { layers, width } = &self.stem else { return Ok(()) };
        if !width.is_multiple_of(GROUPS) {
            return Err(ConfigProblem::new(
                "stem.width",
                format!("{width} channels do not fall into the {GROUPS} groups of a GroupNorm"),
                "it must be a multiple of 32, as 64 is",
            ));
        }
        if layers.len() > 8 {
            return Err(ConfigProblem::new(
                "stem.layers",
                format!("a ResNet has up to 8 stages, not {}", layers.len()),
                "each stage halves the image; the published models have up to 4",
            ));
        }
        if let Some(stage) = layers.iter().position(|units| !(1..=64).contains(units)) {
            return Err(ConfigProblem::new(
                format!("stem.layers[{stage}]"),
                format!("a stage has 1 to 64 units, not {}", layers[stage]),
                "leave the stage out, or give it units",
            ));
        }
        Ok(())
    }

    /// What an MLP-Mixer has no place for.
    fn check_mixer(&self) -> Result<(), ConfigProblem> {
        if !self.is_mixer() {
            return match self.variant.family {
                Family::Mixer if self.heads.is_none() => Err(ConfigProblem::new(
                    "token_mixing",
                    format!("{} has no heads for attention", self.variant),
                    "set `heads`, or leave `token_mixing` to the variant",
                )),
                _ => Ok(()),
            };
        }
        const NO_ATTENTION: &str = "its tokens are mixed by MLPs (`token_mixing`): leave it out";
        const NO_PREFIX: &str = "every token of an MLP-Mixer is a patch: leave it out";
        const PLACES: &str =
            "each place of the grid has weights of its own in `mlp_tokens`: leave it out";
        for (is_there, field, help) in [
            (self.heads.is_some(), "heads", NO_ATTENTION),
            (!self.attention.is_empty(), "attention", NO_ATTENTION),
            (!self.layers.is_empty(), "layers", "its layers are all alike: leave it out"),
            (self.qk_norm, "qk_norm", NO_ATTENTION),
            (!self.qkv_bias, "qkv_bias", NO_ATTENTION),
            (self.attention_dropout > 0.0, "attention_dropout", NO_ATTENTION),
            (self.rope.is_some(), "rope", NO_ATTENTION),
            (self.rope_registers.is_some(), "rope_registers", NO_ATTENTION),
            (self.relative_position_bias, "relative_position_bias", NO_ATTENTION),
            (self.class_token, "class_token", NO_PREFIX),
            (self.register_tokens > 0, "register_tokens", NO_PREFIX),
            (self.position != Position::None, "position", PLACES),
            (self.patch_dropout > 0.0, "patch_dropout", PLACES),
            (self.token_merging.is_some(), "token_merging", PLACES),
            (self.token_reorganization.is_some(), "token_reorganization", NO_ATTENTION),
        ] {
            if is_there {
                return Err(ConfigProblem::new(
                    field,
                    format!("an MLP-Mixer has no `{field}`"),
                    help,
                ));
            }
        }
        if self.pool != Pool::Mean {
            return Err(ConfigProblem::new(
                "pool",
                format!("an MLP-Mixer does not pool by `{:?}`", self.pool),
                "it pools by the `Mean` of its tokens",
            ));
        }
        Ok(())
    }

    fn check_heads(&self, layer: usize) -> Result<(), ConfigProblem> {
        let heads = self.attention_of(layer).heads();
        let field = match heads {
            Some(_) => {
                // `heads` came from an entry, so one contains the layer.
                let index = self.attention_entry(layer).unwrap_or_default();
                format!("attention[{index}].attention.heads")
            }
            None if self.heads.is_some() || self.width.is_none() => "heads".into(),
            None => "width".into(),
        };
        let heads = heads.unwrap_or(self.heads());
        if !self.width().is_multiple_of(heads) {
            return Err(self.heads_problem(field, heads));
        }
        let head_dim = self.width() / heads;
        if self.rope.is_some() && !head_dim.is_multiple_of(4) {
            let width = heads * head_dim.next_multiple_of(4);
            return Err(ConfigProblem::new(
                field,
                format!("2-D RoPE needs a head width divisible by 4, and it is {head_dim}"),
                format!("a width of {width} has it with {heads} heads"),
            ));
        }
        Ok(())
    }

    fn heads_problem(&self, field: String, heads: usize) -> ConfigProblem {
        let width = self.width();
        let fitting: Vec<String> = (1..=width.min(64))
            .filter(|&heads| width.is_multiple_of(heads))
            .map(|heads| heads.to_string())
            .collect();
        ConfigProblem::new(
            field,
            format!("{heads} heads do not divide a width of {width}"),
            format!("these do: {}", fitting.join(", ")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{AttentionKind, LayerAttention},
        token_mixing::TokenMixing,
    };

    fn problem(config: ViTConfig) -> (String, String) {
        let problem = config.check().unwrap_err();
        (problem.field, problem.message)
    }

    #[test]
    fn stems_that_do_not_fit_are_named() {
        let base = || ViTConfig::of_variant("R50+ViT-B/16".parse().unwrap());
        let stem = |layers: &[usize], width| Stem::ResNet { layers: layers.to_vec(), width };
        assert_eq!(base().check(), Ok(()));
        assert_eq!(base().stem, stem(&[3, 4, 9], 64));
        assert_eq!((base().patch_size(), base().patch_pixels(), base().grid()), (1, 16, 14));
        let root = ViTConfig::of_variant("R+ViT-Ti/16".parse().unwrap());
        assert_eq!((root.patch_size(), root.patch_pixels(), root.grid()), (8, 32, 7));
        for (config, field, message) in [
            (ViTConfig { image_size: 232, ..base() }, "image_size", "patches of 16 px"),
            (ViTConfig { stem: stem(&[3], 48), ..base() }, "stem.width", "48 channels"),
            (ViTConfig { stem: stem(&[3, 0], 64), ..base() }, "stem.layers[1]", "not 0"),
            (ViTConfig { stem: stem(&[1; 9], 64), ..base() }, "stem.layers", "8 stages, not 9"),
        ] {
            let (found_field, found_message) = problem(config);
            assert_eq!(found_field, field);
            assert!(found_message.contains(message), "{found_message}");
        }
    }

    #[test]
    fn what_an_mlp_mixer_has_no_place_for_is_named() {
        let base = || ViTConfig::of_variant("Mixer-B/16".parse().unwrap());
        assert_eq!(base().check(), Ok(()));
        assert_eq!(base().resolved().check(), Ok(()));
        assert_eq!((base().tokens_mlp_dim(), base().mlp_dim()), (Some(384), 3072));
        let attention = AttentionKind::Softmax { heads: None, qk_norm: None };
        let attention = vec![LayerAttention { layers: (0, 1), attention }];
        let merging = Some(crate::token_merging::TokenMerging::constant(8));
        let keeping = Some(crate::token_reorganization::TokenReorganization::keeping(0.7));
        for (config, field) in [
            (ViTConfig { heads: Some(12), ..base() }, "heads"),
            (ViTConfig { attention, ..base() }, "attention"),
            (ViTConfig { qk_norm: true, ..base() }, "qk_norm"),
            (ViTConfig { qkv_bias: false, ..base() }, "qkv_bias"),
            (ViTConfig { attention_dropout: 0.1, ..base() }, "attention_dropout"),
            (ViTConfig { rope: Some(100.0), ..base() }, "rope"),
            (ViTConfig { relative_position_bias: true, ..base() }, "relative_position_bias"),
            (ViTConfig { class_token: true, ..base() }, "class_token"),
            (ViTConfig { register_tokens: 4, ..base() }, "register_tokens"),
            (ViTConfig { position: Position::Learned, ..base() }, "position"),
            (ViTConfig { patch_dropout: 0.5, ..base() }, "patch_dropout"),
            (ViTConfig { token_merging: merging, ..base() }, "token_merging"),
            (ViTConfig { token_reorganization: keeping, ..base() }, "token_reorganization"),
            (ViTConfig { pool: Pool::Map, ..base() }, "pool"),
        ] {
            let (found, message) = problem(config);
            assert_eq!(found, field);
            assert!(message.contains("an MLP-Mixer"), "{message}");
        }
        let attentive = ViTConfig { token_mixing: TokenMixing::Attention, ..base() };
        assert_eq!(problem(attentive).0, "token_mixing");
    }

    #[test]
    fn fields_that_do_not_go_together_are_named() {
        let base = ViTConfig::default;
        let softmax = |heads| AttentionKind::Softmax { heads, qk_norm: None };
        let layers = |layers, heads| LayerAttention { layers, attention: softmax(heads) };
        let cases = [
            (ViTConfig { image_size: 225, ..base() }, "image_size", "patches of 16 px"),
            (ViTConfig { patch_size: Some(9), ..base() }, "patch_size", "patches of 9 px"),
            (
                ViTConfig { heads: Some(5), ..base() },
                "heads",
                "5 heads do not divide a width of 192",
            ),
            (
                ViTConfig { width: Some(64), ..base() },
                "width",
                "3 heads do not divide a width of 64",
            ),
            (ViTConfig { class_token: false, ..base() }, "pool", "class token"),
            (
                ViTConfig { pool: Pool::ClassTokenAndMean, fc_norm: true, ..base() },
                "fc_norm",
                "side by side",
            ),
            (
                ViTConfig { distillation_token: true, pool: Pool::Mean, ..base() },
                "distillation_token",
                "beside that of the class token",
            ),
            (
                ViTConfig { register_position: true, class_position: false, ..base() },
                "register_position",
                "where the class token has one",
            ),
            (ViTConfig { rope: Some(100.0), heads: Some(96), ..base() }, "heads", "divisible by 4"),
            (
                ViTConfig { attention: vec![layers((3, 12), None)], ..base() },
                "attention[0].layers",
                "3 to 12",
            ),
            (
                ViTConfig { attention: vec![layers((0, 3), None), layers((3, 4), None)], ..base() },
                "attention[1].layers",
                "overlap",
            ),
            (
                ViTConfig { attention: vec![layers((0, 3), Some(7))], ..base() },
                "attention[0].attention.heads",
                "7 heads",
            ),
        ];
        for (config, field, message) in cases {
            let (found_field, found_message) = problem(config);
            assert_eq!(found_field, field);
            assert!(found_message.contains(message), "{found_message}");
        }
    }
}
