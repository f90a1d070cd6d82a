//! Which tokens layers keep by the class token's attention.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ViTConfig, check::ConfigProblem, options::Pool};

/// Token reorganization of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenReorganization {
    /// Share of its patches that each of the layers keeps: those that the class token attends to most.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub keep: f64,
    /// The layers, counted from 0, after whose attention the others are dropped; by default those
    /// at a quarter, half and three quarters of the depth: 3, 6 and 9 of 12.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub layers: Option<Vec<usize>>,
    /// Whether the others become one token: their sum, each weighted by the class token's
    /// attention.
    #[serde(default = "default_fuse")]
    pub fuse: bool,
}

fn default_fuse() -> bool {
    true
}

impl TokenReorganization {
    /// The layers at a quarter, half and three quarters of the depth keep a share of their patches, and fuse the
    /// rest.
    pub fn keeping(keep: f64) -> Self {
        Self { keep, layers: None, fuse: true }
    }

    fn is_in(&self, layer: usize, depth: usize) -> bool {
        match &self.layers {
            Some(layers) => layers.contains(&layer),
            None => [1, 2, 3].into_iter().any(|quarter| quarter * depth / 4 == layer),
        }
    }
}

/// What a layer keeps of its tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kept {
    /// Tokens before the patches, which stay.
    pub(crate) prefix: usize,
    pub(crate) fuse: bool,
    share: f64,
}

impl Kept {
    /// How many of so many patches stay as they are; none if tokens would not become fewer.
    pub(crate) fn of(self, patches: usize) -> Option<usize> {
        let kept = (self.share * patches as f64).ceil() as usize;
        (kept + usize::from(self.fuse) < patches).then_some(kept)
    }

    /// How many tokens there are then in the place of so many patches.
    pub(super) fn left(self, patches: usize) -> usize {
        self.of(patches).map_or(patches, |kept| kept + usize::from(self.fuse))
    }
}

impl ViTConfig {
    /// What a layer keeps of its tokens; none where it keeps all.
    pub(crate) fn kept_of(&self, layer: usize) -> Option<Kept> {
        let asked = self.token_reorganization.as_ref();
        let asked = asked.filter(|asked| asked.keep < 1.0 && asked.is_in(layer, self.depth()))?;
        Some(Kept { prefix: self.prefix_tokens(), fuse: asked.fuse, share: asked.keep })
    }

    /// What does not go together with token reorganization.
    pub(super) fn check_token_reorganization(&self) -> Result<(), ConfigProblem> {
        let Some(asked) = &self.token_reorganization else { return Ok(()) };
        let field = "token_reorganization";
        if self.pool != Pool::ClassToken {
            return Err(ConfigProblem::new(
                field,
                format!(
                    "token reorganization cannot be combined with pooling by `{:?}`: what counts \
                     is where the class token looks",
                    self.pool
                ),
                "set `pool: ClassToken`, or merge tokens by `token_merging`",
            ));
        }
        if self.token_merging.is_some() {
            return Err(ConfigProblem::new(
                field,
                "tokens are either reorganized or merged".to_owned(),
                "leave out one of `token_reorganization` and `token_merging`",
            ));
        }
        self.check_that_tokens_can_go(field, "token reorganization")?;
        let layers = asked.layers.as_deref().unwrap_or_default();
        for (index, &layer) in layers.iter().enumerate() {
            let field = format!("{field}.layers[{index}]");
            let (depth, last) = (self.depth(), self.depth().saturating_sub(1));
            if layer >= depth {
                return Err(ConfigProblem::new(
                    field,
                    format!("there is no layer {layer} in a model of {depth} layers"),
                    format!("layers are counted from 0 to {last}"),
                ));
            }
            if layers[..index].contains(&layer) {
                return Err(ConfigProblem::new(
                    field,
                    format!("layer {layer} is named twice"),
                    "name each layer once",
                ));
            }
        }
        Ok(())
    }
}
