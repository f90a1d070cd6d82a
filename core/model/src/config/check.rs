//! Whether the fields of a Vision Transformer go together.

use super::ViTConfig;
use crate::{pool::Pool, position::Position};

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

impl ViTConfig {
    /// Checks what no single field can say: that sizes divide, and that options go together.
    ///
    /// # Errors
    /// The first problem found, with the field to change.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        let problem = |field: &str, message: String, help: String| {
            Err(ConfigProblem { field: field.into(), message, help })
        };
        let (image, patch) = (self.image_size, self.patch_size());
        if !image.is_multiple_of(patch) {
            let (below, above) = (image / patch * patch, image.div_ceil(patch) * patch);
            return problem(
                if self.patch_size.is_some() { "patch_size" } else { "image_size" },
                format!("patches of {patch} px do not fill an image of {image} px"),
                format!("the patch size must divide the image size: {below} or {above} px would"),
            );
        }
        if matches!(self.pool, Pool::ClassToken | Pool::ClassTokenAndMean) && !self.class_token {
            return problem(
                "pool",
                "pooling by the class token needs a class token".into(),
                "set `class_token: true`, or pool by `Mean` or `Map`".into(),
            );
        }
        if self.pool == Pool::ClassTokenAndMean && self.fc_norm {
            return problem(
                "fc_norm",
                "class token and mean are normalised before they are put side by side".into(),
                "set `fc_norm: false`".into(),
            );
        }
        if self.distillation_token
            && (self.pool != Pool::ClassToken || self.fc_norm || self.representation_size.is_some())
        {
            return problem(
                "distillation_token",
                "a distillation token has a head beside that of the class token".into(),
                "set `pool: ClassToken` and `fc_norm: false`, and leave `representation_size` out"
                    .into(),
            );
        }
        if self.register_position && self.class_token && !self.class_position {
            return problem(
                "register_position",
                "registers have positions only where the class token has one".into(),
                "set `class_position: true`, too".into(),
            );
        }
        if self.relative_position_bias && self.patch_dropout > 0.0 {
            return problem(
                "patch_dropout",
                "patch dropout does not go with a relative position bias".into(),
                "use `rope` or an added position embedding with patch dropout".into(),
            );
        }
        if let Some(index) =
            self.attention.iter().position(|entry| entry.attention.plugin().is_some())
            && self.patch_dropout > 0.0
        {
            return problem(
                "patch_dropout",
                format!("patch dropout does not go with the plugin of attention[{index}]"),
                "a plugin's attention is traced for the whole grid of patches".into(),
            );
        }
        self.check_token_merging()?;
        if self.position == Position::SinCos2d && !self.width().is_multiple_of(4) {
            return problem(
                if self.width.is_some() { "width" } else { "position" },
                format!(
                    "SinCos2d positions need a width divisible by 4, and it is {}",
                    self.width()
                ),
                "a quarter of the width each holds sine and cosine of row and column".into(),
            );
        }
        for (index, entry) in self.attention.iter().enumerate() {
            let field = format!("attention[{index}].layers");
            let (first, last) = entry.layers;
            if first > last || last >= self.depth() {
                return problem(
                    &field,
                    format!("layers {first} to {last} are not in this model"),
                    format!("it has layers 0 to {}", self.depth() - 1),
                );
            }
            let overlap = self.attention[..index]
                .iter()
                .find(|other| first <= other.layers.1 && other.layers.0 <= last);
            if let Some(other) = overlap {
                return problem(
                    &field,
                    format!(
                        "layers {first} to {last} overlap layers {} to {}",
                        other.layers.0, other.layers.1
                    ),
                    "each layer has one attention".into(),
                );
            }
        }
        for layer in 0..self.depth() {
            self.check_heads(layer)?;
        }
        if self.pool == Pool::Map && !self.width().is_multiple_of(self.heads()) {
            return Err(self.heads_problem("heads".into(), self.heads()));
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
            return Err(ConfigProblem {
                field,
                message: format!(
                    "2-D RoPE needs a head width divisible by 4, and it is {head_dim}"
                ),
                help: format!(
                    "a width of {} has it with {} heads",
                    heads * head_dim.next_multiple_of(4),
                    heads
                ),
            });
        }
        Ok(())
    }

    fn heads_problem(&self, field: String, heads: usize) -> ConfigProblem {
        let width = self.width();
        let fitting: Vec<String> = (1..=width.min(64))
            .filter(|&heads| width.is_multiple_of(heads))
            .map(|heads| heads.to_string())
            .collect();
        ConfigProblem {
            field,
            message: format!("{heads} heads do not divide a width of {width}"),
            help: format!("these do: {}", fitting.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AttentionKind, LayerAttention};

    fn problem(config: ViTConfig) -> (String, String) {
        let problem = config.check().unwrap_err();
        (problem.field, problem.message)
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
