//! What no single field of an experiment can say.

use vitral_data::Decoder;
use vitral_model::ConfigProblem;

use super::Experiment;
use crate::{loss::Loss, schedule::Decay};

impl Experiment {
    /// Checks what no single field can say.
    ///
    /// # Errors
    /// The first problem, with the field's path from the root of the experiment.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        self.model.check().map_err(|problem| ConfigProblem {
            field: format!("model.{}", problem.field),
            ..problem
        })?;
        let problem = |field: &str, message: String, help: &str| {
            Err(ConfigProblem { field: field.into(), message, help: help.into() })
        };
        if self.base.is_some() {
            return problem(
                "base",
                "only an experiment's own file can have a base".into(),
                "`config resolved` writes an experiment with all that its base says",
            );
        }
        if let Err(error) = vitral_files::check_place(&self.output) {
            let help = "give the run a folder of its own, such as `output: \"runs/first\"`";
            return problem("output", error.to_string(), help);
        }
        let train = &self.train;
        if train.batch.is_auto() && train.accum_steps != 1 {
            return problem(
                "train.accum_steps",
                format!(
                    "`batch: Auto(...)` finds the number of micro-batches, but `accum_steps` says {}",
                    train.accum_steps
                ),
                "leave `accum_steps` out, or give `batch` as a number",
            );
        }
        let images = train.batch.effective();
        if train.accum_steps > images {
            return problem(
                "train.accum_steps",
                format!(
                    "a batch of {images} images cannot be cut into {} micro-batches",
                    train.accum_steps
                ),
                "each micro-batch needs at least one image",
            );
        }
        if train.floor() > train.learning_rate {
            return problem(
                "train.min_learning_rate",
                format!(
                    "the lowest learning rate ({:e}) is above the highest ({:e})",
                    train.min_learning_rate, train.learning_rate
                ),
                "`learning_rate` is the peak, `min_learning_rate` where the decay ends",
            );
        }
        if train.warmup_learning_rate > train.learning_rate {
            return problem(
                "train.warmup_learning_rate",
                format!(
                    "the warm-up would fall, from {:e} to {:e}",
                    train.warmup_learning_rate, train.learning_rate
                ),
                "it rises from `warmup_learning_rate` to `learning_rate`",
            );
        }
        if train.target_threshold.is_some()
            && (train.loss == Loss::Softmax || train.label_smoothing > 0.0)
        {
            return problem(
                "train.target_threshold",
                match train.loss {
                    Loss::Softmax => "a softmax shares one target among the classes".into(),
                    _ => "with `label_smoothing`, every class has a share of each target".into(),
                },
                "it goes with `loss: Sigmoid` or `SigmoidMean`, and without `label_smoothing`",
            );
        }
        if !train.warmup_prefix && matches!(train.decay, Decay::WarmupStableDecay { .. }) {
            return problem(
                "train.warmup_prefix",
                "`WarmupStableDecay` decays at the end of the run, wherever the warm-up ends"
                    .into(),
                "leave `warmup_prefix` out",
            );
        }
        if train.shard_optimizer && !train.optimizer.is_elementwise() {
            return problem(
                "train.shard_optimizer",
                "Lamb and Muon update parameters as a whole, but each rank has only a part of \
                 them"
                    .into(),
                "use AdamW, Sgd or Lion, or leave `shard_optimizer` out",
            );
        }
        if train.patch_dropout_epochs.is_some() && self.model.patch_dropout == 0.0 {
            return problem(
                "train.patch_dropout_epochs",
                "there is no patch dropout to end".into(),
                "give `model.patch_dropout` a share of the patches, such as 0.5",
            );
        }
        if self.data.decoder == Decoder::Hybrid
            && let Err(error) = self.data.check_hybrid()
        {
            return problem(
                "data.decoder",
                error.to_string(),
                "`Hybrid` computes pixels of whole batches on the device: use `Cpu` where stages need pixels before",
            );
        }
        train.teacher.as_ref().map_or(Ok(()), |teacher| teacher.check(self))?;
        train.prune.as_ref().map_or(Ok(()), |prune| prune.check(&self.model, train))?;
        crate::image_size::check(&self.model, &train.image_size, &train.batch_augment)?;
        self.input()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{experiment::TrainConfig, optimizer::Optimizer};

    #[test]
    fn fields_that_mean_nothing_beside_others_are_refused() {
        let refused = |train: TrainConfig| {
            let text = r#"(data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])))"#;
            let document = vitral_config::Document::new("test", text);
            let experiment = Experiment { train, ..document.parse::<Experiment>().unwrap() };
            experiment.check().err().map(|problem| problem.field)
        };
        let train = TrainConfig { learning_rate: 1e-3, ..TrainConfig::default() };
        let of = |warmup_learning_rate| TrainConfig { warmup_learning_rate, ..train.clone() };
        assert_eq!(refused(of(1e-3)), None);
        assert_eq!(refused(of(2e-3)), Some("train.warmup_learning_rate".into()));
        let decay = Decay::WarmupStableDecay { epochs: 2.0, shape: Default::default() };
        let stable = TrainConfig { decay, ..train.clone() };
        assert_eq!(refused(stable.clone()), None);
        let stable = TrainConfig { warmup_prefix: false, ..stable };
        assert_eq!(refused(stable), Some("train.warmup_prefix".into()));
        let whole = TrainConfig { target_threshold: Some(0.0), ..train.clone() };
        assert_eq!(refused(whole.clone()), Some("train.target_threshold".into()));
        let whole = TrainConfig { loss: Loss::SigmoidMean, ..whole };
        assert_eq!(refused(whole.clone()), None);
        let sharded = TrainConfig { shard_optimizer: true, ..train.clone() };
        assert_eq!(refused(sharded.clone()), None);
        let lamb = Optimizer::Lamb { beta1: 0.9, beta2: 0.999, eps: 1e-6 };
        let sharded = TrainConfig { optimizer: lamb, ..sharded };
        assert_eq!(refused(sharded), Some("train.shard_optimizer".into()));
        let smoothed = TrainConfig { label_smoothing: 0.1, ..whole };
        assert_eq!(refused(smoothed), Some("train.target_threshold".into()));
    }
}
