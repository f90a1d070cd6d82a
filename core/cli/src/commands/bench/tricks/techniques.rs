//! The techniques that are compared: what each is, and how an experiment turns it on.

use clap::ValueEnum;
use vitral_train::{Experiment, batch_size::MemorySize};

use super::measure::Measured;

/// What can be compared with the plain loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Technique {
    /// Gradient accumulation: a batch goes through the model in four micro-batches; less memory
    Accumulation,
    /// `batch: Auto(...)` with half of the memory that plain training takes on top of what the
    /// process has when training starts; finds the micro-batch that fits
    Auto,
    /// Activation checkpointing in every block: less memory, and the same gradients
    Checkpointing,
    /// Token merging (ToMe, Bolya et al. 2023) of two thirds of the patches, spread over the layers
    TokenMerging,
    /// Token reorganization (EViT, Liang et al. 2022): three layers keep 70% of the patches, those that the
    /// class token attends to most, and fuse the others
    TokenReorganization,
    /// Patch dropout (Liu et al. 2023): training images lose 60% of their patches in the first three
    /// quarters of the epochs, and have all of them then (unmasked tuning; FLIP, Li et al. 2023)
    PatchDropout,
    /// Progressive image size: images with sides of about 70% in the first half of the epochs
    ImageSize,
    /// Drop path (stochastic depth) of 0.1, which skips the work of dropped samples
    DropPath,
    /// Moving average of the weights (decay 0.99), which is what is evaluated
    Ema,
    /// Pruning to 0.6 of the operations between a tenth and half of the epochs: heads and hidden
    /// neurons that matter least (Taylor, Molchanov et al. 2019) are taken out
    Prune,
    /// Muon (Jordan 2024) for the weight matrices of the blocks, at the same learning rate
    Muon,
    /// Window attention (Swin) in every layer, by the plugin `window`; windows of half the grid
    Window,
    /// Linear attention (Katharopoulos et al. 2020) in every layer, by the plugin `linear`
    Linear,
    /// Attention to pooled keys and values in every layer, by the plugin `pooled`
    Pooled,
    /// Mixed precision in `bf16`: faster on GPUs, and on CPUs that multiply in it
    Bf16,
    /// The efficient configuration, less work for the same accuracy: patch dropout as above with
    /// drop path
    Efficient,
    /// All together: token merging, patch dropout, progressive image size, accumulation,
    /// checkpointing, drop path and the moving average. Attention of plugins goes neither with token
    /// merging nor with several image sizes, token reorganization not with token merging, and not every
    /// device has `bf16`: they are left out
    All,
}

/// The changes that turn every technique off. (A batch of `Auto` is made a number elsewhere.)
pub const OFF: [&str; 12] = [
    "train.prune=None",
    "train.accum_steps=1",
    "train.activation_checkpointing=None",
    "train.precision=F32",
    "train.image_size=[]",
    "train.ema=None",
    "model.token_merging=None",
    "model.token_reorganization=None",
    "model.patch_dropout=0.0",
    "train.patch_dropout_epochs=None",
    "model.drop_path=0.0",
    "model.attention=[]",
];

impl Technique {
    /// As the command line and the table have it.
    pub fn name(self) -> String {
        // No variant is skipped, so each has a name.
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The changes that turn it on in the plain experiment; `plain` is what that was measured to take.
    pub fn settings(self, experiment: &Experiment, plain: Option<&Measured>) -> Vec<String> {
        let (model, train) = (&experiment.model, &experiment.train);
        let (grid, depth, batch) = (model.grid(), model.depth(), train.batch.effective());
        let attention = |plugin: &str, settings: &str| {
            let last = depth - 1;
            format!(
                "model.attention=[(layers: (0, {last}), attention: \
                 Plugin(name: \"{plugin}\", settings: {settings}))]"
            )
        };
        let all_of = |techniques: &[Self]| {
            techniques.iter().flat_map(|one| one.settings(experiment, plain)).collect()
        };
        vec![match self {
            Self::Accumulation => format!("train.accum_steps={}", batch.min(4)),
            Self::Auto => match plain.and_then(Measured::half_memory) {
                Some(bytes) => {
                    let memory = MemorySize::new(bytes);
                    format!("train.batch=Auto(effective: {batch}, memory: \"{memory}\")")
                }
                None => format!("train.batch=Auto(effective: {batch})"),
            },
            Self::Checkpointing => "train.activation_checkpointing=EveryBlock".into(),
            Self::TokenMerging => {
                let r = (grid * grid * 2 / 3 / depth).max(1);
                format!("model.token_merging=(r: Constant({r}))")
            }
            Self::TokenReorganization => "model.token_reorganization=(keep: 0.7)".into(),
            Self::PatchDropout => {
                return vec![
                    "model.patch_dropout=0.6".into(),
                    format!("train.patch_dropout_epochs={:?}", train.epochs * 0.75),
                ];
            }
            Self::ImageSize => {
                let size = (grid * 7).div_ceil(10) * model.patch_pixels();
                let epochs = (train.epochs / 2.0).ceil();
                format!("train.image_size=[(until_epoch: {epochs}, size: {size})]")
            }
            Self::DropPath => "model.drop_path=0.1".into(),
            Self::Ema => "train.ema=0.99".into(),
            Self::Prune => {
                let [from, until] = [0.1, 0.5].map(|share| share * train.epochs);
                format!("train.prune=(flops: 0.6, from_epoch: {from}, until_epoch: {until})")
            }
            Self::Muon => "train.optimizer=Muon()".into(),
            Self::Window => {
                attention("window", &format!("{{\"size\": {}}}", grid.div_ceil(2).clamp(1, 64)))
            }
            Self::Linear => attention("linear", "{}"),
            Self::Pooled => attention("pooled", "{}"),
            Self::Bf16 => "train.precision=BF16".into(),
            Self::Efficient => return all_of(&[Self::PatchDropout, Self::DropPath]),
            Self::All => {
                return all_of(&[
                    Self::TokenMerging,
                    Self::PatchDropout,
                    Self::ImageSize,
                    Self::Accumulation,
                    Self::Checkpointing,
                    Self::DropPath,
                    Self::Ema,
                ]);
            }
        }]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vitral_config::Document;

    use super::*;
    use crate::experiment::Loaded;

    const EXPERIMENT: &str = r#"(
        model: (image_size: 28, channels: 1, classes: 10, patch_size: 4, width: 64, depth: 4, heads: 4,
                drop_path: 0.3, token_merging: (r: Constant(2))),
        data: (train: Idx(images: "a", labels: "b"), val: Idx(images: "c", labels: "d")),
        train: (epochs: 5, batch: 96, precision: BF16, ema: 0.9),
    )"#;

    fn read(settings: &[String]) -> Experiment {
        let document = Document::new("experiment.ron", EXPERIMENT);
        match Loaded::parse(document, settings, Path::new(".")) {
            Ok(loaded) => loaded.experiment,
            Err(failure) => panic!("{settings:?}: {failure:?}"),
        }
    }

    fn plain() -> (Vec<String>, Experiment) {
        let off: Vec<String> = OFF.iter().map(ToString::to_string).collect();
        let experiment = read(&off);
        (off, experiment)
    }

    #[test]
    fn the_plain_loop_has_every_technique_off() {
        let (_, plain) = plain();
        let defaults = vitral_train::experiment::TrainConfig::default();
        assert_eq!(plain.train.ema, None);
        assert_eq!(plain.train.precision, defaults.precision);
        assert_eq!(plain.model.token_merging, None);
        assert_eq!(plain.model.drop_path, 0.0);
        assert_eq!(plain.model.width(), 64, "everything else stays");
    }

    #[test]
    fn every_technique_is_an_experiment_that_differs_from_the_plain_one() {
        let (off, plain) = plain();
        let text = |experiment: &Experiment| vitral_config::to_ron(experiment).unwrap();
        let measured = Measured::example(81.0);
        let mut seen = vec![text(&plain)];
        for technique in Technique::value_variants() {
            let settings = technique.settings(&plain, Some(&measured));
            let found = text(&read(&[off.clone(), settings].concat()));
            assert!(!seen.contains(&found), "{technique:?} is like another one");
            seen.push(found);
        }
    }

    #[test]
    fn settings_follow_the_experiments_sizes() {
        let (_, plain) = plain();
        let measured = Measured {
            memory_at_start: Some(100 << 20),
            peak_memory: Some(300 << 20),
            ..Measured::example(81.0)
        };
        let settings = |technique: Technique| technique.settings(&plain, Some(&measured)).concat();
        assert_eq!(settings(Technique::TokenMerging), "model.token_merging=(r: Constant(8))");
        let sizes = "train.image_size=[(until_epoch: 3, size: 20)]";
        assert_eq!(settings(Technique::ImageSize), sizes);
        let dropout = "model.patch_dropout=0.6 train.patch_dropout_epochs=3.75";
        assert_eq!(Technique::PatchDropout.settings(&plain, None).join(" "), dropout);
        let auto = "train.batch=Auto(effective: 96, memory: \"200 MiB\")";
        assert_eq!(settings(Technique::Auto), auto);
    }
}
