//! Structured pruning: the attention heads and hidden neurons that matter least are taken out of a model, which is
//! smaller and faster then on any device. What they matter is estimated from their gates' gradients (Taylor
//! expansion, Molchanov et al. 2019; for heads, Michel et al. 2019), compared within each branch, and ranked across
//! all layers.
//!
//! While training it is done little by little, along a cubic schedule (Zhu and Gupta 2017); a trained model is
//! pruned at once.

mod config;
mod cut;
mod importance;
mod select;
mod trained;

use vitral_model::config::LayerSize;

pub use self::{
    config::{Importance, PruneConfig},
    trained::{PruneOptions, prune},
};
pub(crate) use self::{
    cut::cut,
    importance::{Tracker, branch_units, magnitudes},
    select::{Bounds, BranchCosts, Kept, Scores, Target, select},
};

/// What pruning has made of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Pruned {
    /// What each layer had.
    pub before: Vec<LayerSize>,
    /// What each layer has left.
    pub after: Vec<LayerSize>,
    /// Floating-point operations of an image's forward pass: before, now, and of the model before anything was
    /// pruned.
    pub forward_flops: [f64; 3],
    /// Trainable values before and now.
    pub parameters: [usize; 2],
}

impl Pruned {
    /// Heads and hidden neurons of all layers.
    pub fn totals(sizes: &[LayerSize]) -> (usize, usize) {
        sizes
            .iter()
            .fold((0, 0), |(heads, hidden), size| (heads + size.heads, hidden + size.hidden))
    }

    /// Share of the operations that are left of the model before anything was pruned.
    pub fn share_of_whole(&self) -> f64 {
        let [_, now, whole] = self.forward_flops;
        now / whole
    }

    /// What was removed, in a sentence.
    pub fn words(&self) -> String {
        let [(heads_before, hidden_before), (heads, hidden)] =
            [&self.before, &self.after].map(|sizes| Self::totals(sizes));
        let mut words = format!(
            "{} of {heads_before} heads and {} of {hidden_before} hidden neurons are removed; {:.3} of the whole \
             model's operations are left",
            heads_before - heads,
            hidden_before - hidden,
            self.share_of_whole()
        );
        type Left = fn(&LayerSize) -> usize;
        let kinds: [(&str, Left); 2] =
            [("attention", |size| size.heads), ("MLP", |size| size.hidden)];
        for (branch, left) in kinds {
            let sizes = self.before.iter().zip(&self.after).enumerate();
            let lost = sizes.filter(|(_, (before, after))| left(before) > 0 && left(after) == 0);
            let lost: Vec<String> = lost.map(|(layer, _)| layer.to_string()).collect();
            if !lost.is_empty() {
                words += &format!("; no {branch} left in layer {}", lost.join(", "));
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_is_said_with_the_branches_that_are_gone() {
        let size = |heads, hidden| LayerSize { heads, hidden };
        let pruned = Pruned {
            before: vec![size(3, 8), size(3, 8), size(0, 8)],
            after: vec![size(2, 8), size(0, 3), size(0, 0)],
            forward_flops: [80.0, 50.0, 100.0],
            parameters: [9, 5],
        };
        assert_eq!(
            pruned.words(),
            "4 of 6 heads and 13 of 24 hidden neurons are removed; 0.500 of the whole model's operations are \
             left; no attention left in layer 1; no MLP left in layer 2"
        );
    }
}
