//! What an experiment says of pruning.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_model::{ConfigProblem, ViTConfig};

use super::{Bounds, Target};
use crate::experiment::TrainConfig;

/// Attention heads and hidden neurons that are taken out of the model while it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneConfig {
    /// Share of all attention heads of the whole model that are gone at the end.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.99))]
    pub heads: f64,
    /// Share of all hidden neurons of the whole model's MLPs that are gone at the end.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.99))]
    pub neurons: f64,
    /// In place of both: share of the whole model's floating-point operations that is left at the
    /// end; the heads and neurons that matter least are removed.
    #[serde(default)]
    #[schemars(range(min = 0.01, max = 0.99))]
    pub flops: Option<f64>,
    /// Epoch at which removal begins.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub from_epoch: f64,
    /// Epoch at which removal ends; the rest of the run tunes what is left.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub until_epoch: f64,
    /// How many times heads and neurons are removed between the two: many at first, few at the end,
    /// along a cubic curve (Zhu and Gupta 2017).
    #[serde(default = "default_events")]
    #[schemars(range(min = 1, max = 10_000))]
    pub events: u32,
    /// What heads and neurons are ranked by.
    #[serde(default)]
    pub importance: Importance,
    /// Smallest share of its heads, and of its hidden neurons, that each layer keeps. A layer that
    /// loses all of them has no attention or no MLP any more.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub keep: f64,
    /// Hidden neurons go in groups, so that layers have a multiple of this many left, such as 8, which kernels like.
    /// Layers of fewer than eight times as many lose them one by one.
    #[serde(default = "default_round_to")]
    #[schemars(range(min = 1, max = 4096))]
    pub round_to: usize,
}

fn default_events() -> u32 {
    10
}

fn default_round_to() -> usize {
    1
}

/// What heads and hidden neurons are ranked by, each compared with the mean of its branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Importance {
    /// How much the loss would change without it, to first order: the sum of weights times
    /// gradients where it joins the residual stream (Molchanov et al. 2019), on average over recent
    /// steps.
    #[default]
    Taylor,
    /// The mean magnitude of the weights by which it joins the residual stream (Li et al. 2017).
    Magnitude,
}

impl PruneConfig {
    /// Checks what no single field can say.
    ///
    /// # Errors
    /// Fields that do not go together, or not with the experiment's others.
    pub(crate) fn check(
        &self,
        model: &ViTConfig,
        train: &TrainConfig,
    ) -> Result<(), ConfigProblem> {
        let problem = |field: &str, message: String, help: &str| {
            let field = format!("train.{field}");
            Err(ConfigProblem { field, message, help: help.into() })
        };
        let shares = self.heads > 0.0 || self.neurons > 0.0;
        if self.flops.is_some() && shares {
            return problem(
                "prune.flops",
                "it takes the place of `heads` and `neurons`".into(),
                "leave these out, so that what matters least goes, or leave `flops` out",
            );
        }
        if self.flops.is_none() && !shares {
            return problem(
                "prune",
                "nothing would be removed".into(),
                "say how much: `flops: 0.6`, or `heads: 0.3, neurons: 0.5`",
            );
        }
        if self.until_epoch <= self.from_epoch {
            return problem(
                "prune.until_epoch",
                format!("epoch {} is not after epoch {}", self.until_epoch, self.from_epoch),
                "pruning lasts from `from_epoch` to `until_epoch`",
            );
        }
        if train.steps.is_none() && self.until_epoch > train.epochs {
            return problem(
                "prune.until_epoch",
                format!("the run ends after {} epochs, before pruning does", train.epochs),
                "leave some epochs to tune what is left: three quarters of `epochs`, say",
            );
        }
        if model.is_mixer() {
            return problem(
                "prune",
                "an MLP-Mixer is not pruned: its layers have no heads, and are all alike".into(),
                "leave `prune` out, or train a Vision Transformer",
            );
        }
        let is_plugins = |layer| model.attention_of(layer).plugin().is_some();
        if self.heads > 0.0 && (0..model.depth()).all(is_plugins) {
            return problem(
                "prune.heads",
                "heads of a plugin's attention are not pruned, and every layer has one".into(),
                "prune `neurons` alone, or by `flops`",
            );
        }
        Ok(())
    }

    /// How far pruning is once these many epochs are over, from 0 to 1: the share of its times that have come.
    fn progress(&self, epoch: f64) -> f64 {
        let events = f64::from(self.events);
        let come = events * (epoch - self.from_epoch) / (self.until_epoch - self.from_epoch);
        // Whatever rounding does at the very time.
        (come + 1e-9).floor().clamp(0.0, events) / events
    }

    /// How far pruning is if a step from one epoch to another brings a time to prune; none if it does not.
    pub(crate) fn due(&self, before: f64, after: f64) -> Option<f64> {
        let progress = self.progress(after);
        (progress > self.progress(before)).then_some(progress)
    }

    /// Whether importance matters still, or no more is removed.
    pub(crate) fn is_over(&self, epoch: f64) -> bool {
        self.progress(epoch) >= 1.0
    }

    /// What layers keep, whatever is to be left.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { keep: self.keep, round_to: self.round_to }
    }

    /// What is to be left at some progress of a model that had so many operations.
    pub(crate) fn target(&self, progress: f64, model: &ViTConfig, whole_flops: f64) -> Target {
        let done = 1.0 - (1.0 - progress).powi(3);
        match self.flops {
            Some(left) => Target::Flops(whole_flops * (1.0 - (1.0 - left) * done)),
            None => Target::without(self.heads * done, self.neurons * done, &model.whole()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PruneConfig {
        PruneConfig {
            heads: 0.5,
            neurons: 0.0,
            flops: None,
            from_epoch: 2.0,
            until_epoch: 6.0,
            events: 4,
            importance: Importance::Taylor,
            keep: 0.0,
            round_to: 1,
        }
    }

    #[test]
    fn times_are_spread_evenly_and_amounts_along_a_cubic_curve() {
        let config = config();
        let steps = (0..80).map(|step| f64::from(step) / 10.0);
        let due: Vec<(f64, f64)> = steps
            .filter_map(|epoch| Some((epoch + 0.1, config.due(epoch, epoch + 0.1)?)))
            .map(|(epoch, progress)| ((epoch * 10.0).round() / 10.0, progress))
            .collect();
        assert_eq!(due, [(3.0, 0.25), (4.0, 0.5), (5.0, 0.75), (6.0, 1.0)]);
        // Of 12 layers of 3 heads: 36 - 18 (1 - (1 - 1/4)^3) and so on.
        let model = ViTConfig::default();
        let left = [0.25, 0.5, 0.75, 1.0].map(|progress| config.target(progress, &model, 1.0));
        let heads = |target: &Target| match target {
            Target::Units { heads, neurons } => (*heads, *neurons),
            Target::Flops(_) => panic!("{target:?}"),
        };
        let all = 12 * 768;
        assert_eq!(left.map(|left| heads(&left)), [(26, all), (20, all), (18, all), (18, all)]);
        let flops = PruneConfig { heads: 0.0, flops: Some(0.6), ..config };
        assert_eq!(flops.target(0.5, &model, 100.0), Target::Flops(100.0 * (1.0 - 0.4 * 0.875)));
        // A step that is an epoch long, as where a run goes on with another batch, misses none.
        assert_eq!(config.due(1.0, 5.5), Some(0.75));
        assert!(config.is_over(6.0) && !config.is_over(5.9));
    }

    #[test]
    fn fields_that_do_not_go_together_are_refused() {
        let (model, train) = (ViTConfig::default(), TrainConfig::default());
        let refused = |prune: PruneConfig, model: &ViTConfig| {
            prune.check(model, &train).err().map(|problem| problem.field)
        };
        assert_eq!(refused(config(), &model), None);
        let field = |name: &str| Some(format!("train.{name}"));
        let both = PruneConfig { flops: Some(0.5), ..config() };
        assert_eq!(refused(both, &model), field("prune.flops"));
        assert_eq!(refused(PruneConfig { heads: 0.0, ..config() }, &model), field("prune"));
        let never = PruneConfig { until_epoch: 2.0, ..config() };
        assert_eq!(refused(never, &model), field("prune.until_epoch"));
        let late = PruneConfig { until_epoch: train.epochs + 1.0, ..config() };
        assert_eq!(refused(late, &model), field("prune.until_epoch"));
        let mixer = ViTConfig::of_variant("Mixer-S/16".parse().unwrap());
        assert_eq!(refused(config(), &mixer), field("prune"));
        let window = r#"[(layers: (0, 11), attention: Plugin(name: "window"))]"#;
        let window = ViTConfig { attention: ron::from_str(window).unwrap(), ..model };
        assert_eq!(refused(config(), &window), field("prune.heads"));
    }
}
