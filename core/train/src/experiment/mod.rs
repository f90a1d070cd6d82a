//! An experiment: everything that decides a run, in one structure that reads like a paper's table
//! of hyper-parameters.

mod check;
pub(crate) mod fields;
mod train;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_config::{ConfigError, PluginUse};
use vitral_data::{Channels, DataConfig};
use vitral_model::{ConfigProblem, ViTConfig};

pub(crate) use self::train::HIGHEST_LEARNING_RATE;
pub use self::train::{Communication, TrainConfig};
use crate::{init::config::Init, logs::format::LogFormat, plugins::PluginConfig};

/// An experiment, as one RON file describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// The file of an experiment that this one builds on. Its fields apply where this one gives
    /// none; lists are replaced as a whole, and paths in each are relative to its own folder.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "vitral_config::path_text::option"
    )]
    #[schemars(with = "Option<PathBuf>")]
    pub base: Option<PathBuf>,
    /// Seed of everything random: weights, order, augmentation, dropout.
    #[serde(default)]
    pub seed: u64,
    /// Where it runs: `auto`, `cpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan`; `--device` overrides it.
    #[serde(default = "default_device")]
    pub device: String,
    /// Folder of the run; relative to the current folder.
    #[serde(default = "default_output", with = "vitral_config::path_text")]
    #[schemars(with = "PathBuf")]
    #[schemars(extend("otherNames" = ["output_dir", "out_dir", "out"]))]
    pub output: PathBuf,
    /// The model: a Vision Transformer, a hybrid or an MLP-Mixer.
    #[serde(default, deserialize_with = "vitral_model::config::model_of_variant")]
    pub model: ViTConfig,
    /// Where the weights start: `Fresh`, or `Pretrained(path: "vit-b16.npz")`. What the experiment does not set of the
    /// architecture, of `data.normalize` and of `data.eval_transforms` comes from the pretrained model.
    #[serde(default)]
    pub init: Init,
    /// Images and what is done to them. `Folder("photos")` stands for the images in its `train` and `val`, or for
    /// its folders of classes, a tenth of which is held back; `Folder(path: "photos", augment: [...])` has more.
    pub data: DataConfig,
    /// How the model is trained.
    #[serde(default)]
    pub train: TrainConfig,
    /// What is kept while training.
    #[serde(default)]
    pub checkpoints: CheckpointConfig,
    /// Formats that figures are written in beside `metrics.jsonl`: `TensorBoard`, `Csv`.
    #[serde(default)]
    #[schemars(extend("otherNames" = ["logger", "loggers", "log_to"]))]
    pub log: Vec<LogFormat>,
    /// Plugins that observe the run, and may warn, save, change the learning rate or stop.
    #[serde(default)]
    pub monitors: Vec<PluginUse>,
    /// Where plugins are taken from and what they may do, by name.
    #[serde(default)]
    pub plugins: BTreeMap<String, PluginConfig>,
}

fn default_device() -> String {
    "auto".into()
}

fn default_output() -> PathBuf {
    "runs/experiment".into()
}

/// A rhythm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Every {
    /// After so many steps.
    Steps(#[schemars(range(min = 1))] u64),
    /// After so many passes over the training images.
    Epochs(#[schemars(range(min = 0.000_001, max = 100_000.0))] f64),
    /// After so many minutes.
    Minutes(#[schemars(range(min = 0.0, max = 1_000_000.0))] f64),
}

/// What is kept while training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// When a checkpoint is written; always at the end and on Ctrl-C, too.
    pub every: Every,
    /// How many of the newest checkpoints are kept, besides the best one.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep: usize,
    /// What makes a checkpoint the best one; it is then written at that evaluation.
    pub best: Metric,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: Every::Epochs(1.0), keep: 3, best: Metric::Top1 }
    }
}

/// A figure of an evaluation by which models are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Metric {
    /// Top-1 accuracy; higher is better.
    #[default]
    Top1,
    /// Top-5 accuracy; higher is better.
    Top5,
    /// Loss; lower is better.
    Loss,
}

impl Metric {
    /// The figure, turned so that more is better.
    pub fn score(self, evaluation: &crate::Evaluation) -> f64 {
        match self {
            Self::Top1 => evaluation.top1,
            Self::Top5 => evaluation.top5,
            Self::Loss => -evaluation.loss,
        }
    }
}

impl Experiment {
    /// Share of the patches that training images lose at a place in the run, counted in epochs.
    pub fn patch_dropout_at(&self, epoch: f64) -> f64 {
        match self.train.patch_dropout_epochs {
            Some(end) if epoch >= end => 0.0,
            _ => self.model.patch_dropout,
        }
    }

    /// Channels and side of the model's input images.
    pub fn input(&self) -> Result<(Channels, u32), ConfigProblem> {
        let channels = self.model.channels;
        let channels = Channels::from_count(channels).ok_or_else(|| ConfigProblem {
            field: "model.channels".into(),
            message: format!("images have 1 (grey) or 3 (RGB) channels, not {channels}"),
            help: "other numbers need a data source that delivers them".into(),
        })?;
        let size = u32::try_from(self.model.image_size).map_err(|_| ConfigProblem {
            field: "model.image_size".into(),
            message: "the image size is too large".into(),
            help: "it is the side of the square input image in pixels".into(),
        })?;
        Ok((channels, size))
    }

    /// Makes relative paths of what is read, and of grants, start at a folder (that of the experiment's
    /// file).
    pub fn resolve_paths(&mut self, base: &Path) {
        self.resolve_each_path(|_| base);
    }

    /// The same, with the folder that `base` gives for each of them, by its field, as
    /// `data.train.path`.
    pub fn resolve_each_path<'b>(&mut self, base: impl Fn(&str) -> &'b Path) {
        self.data.resolve_paths(|field| base(&format!("data.{field}")));
        self.init.resolve_path(base("init.path"));
        if let Some(teacher) = &mut self.train.teacher {
            teacher.resolve_paths(|field| base(&format!("train.teacher.{field}")));
        }
        for (name, plugin) in &mut self.plugins {
            let field = format!("plugins[{name:?}]");
            let places = [("bundle", &mut plugin.bundle), ("path", &mut plugin.path)];
            for (place, path) in places {
                if let Some(path) = path {
                    *path = base(&format!("{field}.{place}")).join(&*path);
                }
            }
            for (index, granted) in plugin.grant.files.iter_mut().enumerate() {
                let base = base(&format!("{field}.grant.files[{index}].path"));
                granted.path = base.join(&granted.path);
            }
        }
    }

    /// The experiment as a text with every default written out. Where every size of the model is, too, the
    /// variant would only seem to have a say, and is left out.
    ///
    /// # Errors
    /// It has something that has no text.
    pub fn to_ron(&self) -> Result<String, ConfigError> {
        let (model, text) = (&self.model, vitral_config::to_ron(self)?);
        let has_heads = model.heads.is_some() || model.is_mixer();
        let sizes = [model.patch_size, model.width, model.depth];
        Ok(match has_heads && sizes.iter().all(Option::is_some) {
            true => vitral_config::without(&text, "model.variant"),
            false => text,
        })
    }

    /// The experiment with what its variant and its data give written out.
    pub fn resolved(&self, classes: usize) -> Self {
        Self { model: ViTConfig { classes, ..self.model.resolved() }, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_dropped_until_an_epoch() {
        let text = |train: &str, rate: f64| {
            let text = format!(
                r#"(
                    model: (patch_dropout: {rate:?}),
                    data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])),
                    train: ({train}),
                )"#
            );
            vitral_config::Document::new("test", text).parse::<Experiment>().unwrap()
        };
        let rates =
            |experiment: &Experiment| [0.0, 1.49, 1.5, 9.0].map(|e| experiment.patch_dropout_at(e));
        assert_eq!(rates(&text("", 0.5)), [0.5; 4]);
        let tuned = text("patch_dropout_epochs: 1.5", 0.5);
        assert_eq!((rates(&tuned), tuned.check()), ([0.5, 0.5, 0.0, 0.0], Ok(())));
        let problem = text("patch_dropout_epochs: 1.5", 0.0).check().unwrap_err();
        assert_eq!(problem.field, "train.patch_dropout_epochs");
    }
}
