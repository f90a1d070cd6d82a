//! What the layers of a pruned model have left.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ViTConfig, check::ConfigProblem};

/// What a layer has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerSize {
    /// Attention heads; without any, the layer has no attention.
    #[schemars(range(max = 1024))]
    pub heads: usize,
    /// Hidden neurons of the MLP; without any, the layer has no MLP.
    #[schemars(range(max = 4_194_304))]
    pub hidden: usize,
}

impl ViTConfig {
    /// Heads that one layer has before any are pruned.
    pub fn whole_heads_of(&self, layer: usize) -> usize {
        self.attention_of(layer).heads().unwrap_or(self.heads())
    }

    /// Heads of one layer.
    pub fn heads_of(&self, layer: usize) -> usize {
        self.layers.get(layer).map_or_else(|| self.whole_heads_of(layer), |size| size.heads)
    }

    /// Width of a head of one layer, however many are left.
    pub fn head_width_of(&self, layer: usize) -> usize {
        self.width() / self.whole_heads_of(layer)
    }

    /// Hidden width of one layer's MLP.
    pub fn hidden_of(&self, layer: usize) -> usize {
        self.layers.get(layer).map_or_else(|| self.mlp_dim(), |size| size.hidden)
    }

    /// What each layer has.
    pub fn layer_sizes(&self) -> Vec<LayerSize> {
        let size = |layer| LayerSize { heads: self.heads_of(layer), hidden: self.hidden_of(layer) };
        (0..self.depth()).map(size).collect()
    }

    /// The same model before anything was pruned.
    pub fn whole(&self) -> Self {
        Self { layers: Vec::new(), ..self.clone() }
    }

    /// Whether layers have what they can have left. Heads have been checked.
    pub(super) fn check_layers(&self) -> Result<(), ConfigProblem> {
        if self.layers.is_empty() {
            return Ok(());
        }
        if self.layers.len() != self.depth() {
            return Err(ConfigProblem::new(
                "layers",
                format!(
                    "there are {} layers, but the model has {}",
                    self.layers.len(),
                    self.depth()
                ),
                "give one entry for each layer, or none for a model that is whole",
            ));
        }
        for (layer, size) in self.layers.iter().enumerate() {
            let field = |name: &str| format!("layers[{layer}].{name}");
            let (heads, hidden) = (self.whole_heads_of(layer), self.mlp_dim());
            for ([name, what], left, whole, of) in [
                (["heads"; 2], size.heads, heads, "`heads`"),
                (["hidden", "hidden neurons"], size.hidden, hidden, "`width` times `mlp_ratio`"),
            ] {
                if left > whole {
                    return Err(ConfigProblem::new(
                        field(name),
                        format!("layer {layer} cannot have {left} {what} left of {whole}"),
                        format!("a whole layer has as many as {of} says"),
                    ));
                }
            }
            if let Some(plugin) = self.attention_of(layer).plugin()
                && size.heads != heads
            {
                return Err(ConfigProblem::new(
                    field("heads"),
                    format!("the attention `{}` of layer {layer} has {heads} heads", plugin.name),
                    "heads of a plugin's attention are not pruned, since its program is for all of them",
                ));
            }
            if size.heads == 0 && self.needs_heads(layer) {
                let (does, help) = match self.merged_of(layer) {
                    0 => ("leaves out", "have `token_reorganization` name other `layers`"),
                    _ => ("merges", "have `token_merging` merge none there: `r: Layers([...])`"),
                };
                return Err(ConfigProblem::new(
                    field("heads"),
                    format!("layer {layer} {does} tokens, for which it needs attention"),
                    format!("leave it a head, or {help}"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{AttentionKind, LayerAttention},
        token_merging::TokenMerging,
        token_reorganization::TokenReorganization,
    };

    fn pruned(layers: &[(usize, usize)]) -> ViTConfig {
        let layers = layers.iter().map(|&(heads, hidden)| LayerSize { heads, hidden }).collect();
        ViTConfig { depth: Some(2), layers, ..ViTConfig::default() }
    }

    #[test]
    fn layers_have_what_is_left_of_them_and_heads_stay_as_wide() {
        let config = pruned(&[(1, 100), (0, 768)]);
        assert_eq!(config.check(), Ok(()));
        assert_eq!([0, 1].map(|layer| config.heads_of(layer)), [1, 0]);
        assert_eq!([0, 1].map(|layer| config.head_width_of(layer)), [64, 64]);
        assert_eq!([0, 1].map(|layer| config.hidden_of(layer)), [100, 768]);
        assert_eq!(config.whole().layer_sizes(), [LayerSize { heads: 3, hidden: 768 }; 2]);
        assert_eq!(config.layer_sizes(), config.layers);
        // As `layers` writes it.
        let text = "(depth: Some(2), layers: [(heads: 1, hidden: 100), (heads: 0, hidden: 768)])";
        assert_eq!(ron::from_str::<ViTConfig>(text).unwrap(), config);
    }

    #[test]
    fn layers_that_cannot_be_are_refused_by_name() {
        let plugin: AttentionKind = ron::from_str(r#"Plugin(name: "gained")"#).unwrap();
        let plugin = vec![LayerAttention { layers: (1, 1), attention: plugin }];
        let merging = Some(TokenMerging::constant(8));
        // By default that is behind the layers 0 and 1 of two.
        let keeping = Some(TokenReorganization::keeping(0.7));
        let mixer = ViTConfig::of_variant("Mixer-S/16".parse().unwrap());
        for (config, field, message) in [
            (pruned(&[(1, 100)]), "layers", "1 layers, but the model has 2"),
            (pruned(&[(4, 100), (1, 1)]), "layers[0].heads", "4 heads left of 3"),
            (pruned(&[(3, 100), (3, 769)]), "layers[1].hidden", "769 hidden neurons left of 768"),
            (
                ViTConfig { attention: plugin, ..pruned(&[(2, 9), (2, 9)]) },
                "layers[1].heads",
                "`gained` of layer 1 has 3 heads",
            ),
            (
                ViTConfig { token_merging: merging, ..pruned(&[(0, 9), (2, 9)]) },
                "layers[0].heads",
                "layer 0 merges tokens",
            ),
            (
                ViTConfig { token_reorganization: keeping, ..pruned(&[(1, 9), (0, 9)]) },
                "layers[1].heads",
                "layer 1 leaves out tokens",
            ),
            (ViTConfig { layers: pruned(&[(1, 1)]).layers, ..mixer }, "layers", "an MLP-Mixer"),
        ] {
            let problem = config.check().unwrap_err();
            assert_eq!(problem.field, field);
            assert!(problem.message.contains(message), "{}", problem.message);
        }
    }
}
