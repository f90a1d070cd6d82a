//! How many tokens each layer has.

use super::{
    ViTConfig,
    check::ConfigProblem,
    token_merging::{MergeSchedule, possible},
};

impl ViTConfig {
    /// Tokens that a layer is asked to merge away; one with few patches merges fewer.
    pub fn merged_of(&self, layer: usize) -> usize {
        let merging = self.token_merging.as_ref();
        merging.map_or(0, |merging| merging.asked_of(layer, self.depth()))
    }

    /// Whether a layer needs attention, however much of the model is pruned: its tokens become fewer by it.
    pub fn needs_heads(&self, layer: usize) -> bool {
        self.merged_of(layer) > 0 || self.kept_of(layer).is_some()
    }

    /// Tokens of each layer's attention and, last, those after the last layer.
    pub fn tokens_by_layer(&self) -> Vec<usize> {
        let prefix = self.prefix_tokens();
        let mut patches = self.grid() * self.grid();
        let mut tokens = vec![prefix + patches];
        for layer in 0..self.depth() {
            patches -= possible(self.merged_of(layer), patches);
            patches = self.kept_of(layer).map_or(patches, |kept| kept.left(patches));
            tokens.push(prefix + patches);
        }
        tokens
    }

    /// What does not go together with token merging.
    pub(crate) fn check_token_merging(&self) -> Result<(), ConfigProblem> {
        let Some(merging) = &self.token_merging else { return Ok(()) };
        self.check_that_tokens_can_go("token_merging", "token merging")?;
        if let MergeSchedule::Layers(layers) = &merging.r
            && layers.len() != self.depth()
        {
            let (found, depth) = (layers.len(), self.depth());
            return Err(ConfigProblem::new(
                "token_merging.r",
                format!("{found} numbers do not fit a model of {depth} layers"),
                "give one number for each layer, or `Constant` or `Decreasing` with one for all",
            ));
        }
        Ok(())
    }

    /// Whether the layers do with other tokens than those of the whole grid, which `field` makes fewer.
    pub(super) fn check_that_tokens_can_go(
        &self,
        field: &str,
        name: &str,
    ) -> Result<(), ConfigProblem> {
        for (is_wrong, what) in [
            (self.rope.is_some(), "`rope`"),
            (self.relative_position_bias, "a relative position bias"),
        ] {
            if is_wrong {
                return Err(ConfigProblem::new(
                    field,
                    format!("{name} cannot be combined with {what}"),
                    "a token made of several has no place in the grid; positions that are added to \
                     the tokens still work",
                ));
            }
        }
        let plugin = self.attention.iter().position(|entry| entry.attention.plugin().is_some());
        if let Some(index) = plugin {
            return Err(ConfigProblem::new(
                field,
                format!("{name} cannot be combined with the plugin of attention[{index}]"),
                "a plugin's attention is traced for the whole grid of patches",
            ));
        }
        Ok(())
    }
}
