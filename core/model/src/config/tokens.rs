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

    /// Tokens of each layer's attention and, last, those after the last layer.
    pub fn tokens_by_layer(&self) -> Vec<usize> {
        let prefix = self.prefix_tokens();
        let mut patches = self.grid() * self.grid();
        let mut tokens = vec![prefix + patches];
        for layer in 0..self.depth() {
            patches -= possible(self.merged_of(layer), patches);
            tokens.push(prefix + patches);
        }
        tokens
    }

    /// What does not go together with token merging.
    pub(crate) fn check_token_merging(&self) -> Result<(), ConfigProblem> {
        let Some(merging) = &self.token_merging else { return Ok(()) };
        for (is_wrong, what) in [
            (self.rope.is_some(), "`rope`"),
            (self.relative_position_bias, "a relative position bias"),
        ] {
            if is_wrong {
                return Err(ConfigProblem::new(
                    "token_merging",
                    format!("token merging does not go with {what}"),
                    "a merged token has no place in the grid; positions that are added to the tokens go on",
                ));
            }
        }
        let plugin = self.attention.iter().position(|entry| entry.attention.plugin().is_some());
        if let Some(index) = plugin {
            return Err(ConfigProblem::new(
                "token_merging",
                format!("token merging does not go with the plugin of attention[{index}]"),
                "a plugin's attention is traced for the whole grid of patches",
            ));
        }
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
}
