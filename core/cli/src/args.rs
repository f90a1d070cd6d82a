//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Trains Vision Transformers.
#[derive(Debug, Parser)]
#[command(name = "vitral", version, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model as an experiment says, or go on with a run.
    Train(TrainArguments),
    /// Evaluate a checkpoint on its validation images.
    Eval(EvalArguments),
    /// Classify image files with a checkpoint.
    Predict(PredictArguments),
    /// Show what an experiment comes to, all defaults, or the JSON schema.
    Config(ConfigArguments),
    /// Show which devices and features are there.
    Doctor,
}

/// Changes to an experiment from the command line.
#[derive(Debug, Args)]
pub struct Overrides {
    /// Set a field of the experiment, e.g. `--set train.batch=64`; can be given several times.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, Args)]
pub struct TrainArguments {
    /// The experiment, a RON file.
    #[arg(required_unless_present = "resume")]
    pub experiment: Option<PathBuf>,
    /// Go on with a run: its folder (from its newest checkpoint), its `best` or `last`, or one of
    /// its `checkpoints/step-...`.
    #[arg(long, value_name = "RUN", conflicts_with = "experiment")]
    pub resume: Option<PathBuf>,
    /// Where to train: auto, cpu, cuda, cuda:1, wgpu, vulkan.
    #[arg(long)]
    pub device: Option<String>,
    #[command(flatten)]
    pub overrides: Overrides,
}

#[derive(Debug, Args)]
pub struct EvalArguments {
    /// A run's folder, its `best` or `last`, or a checkpoint.
    pub checkpoint: PathBuf,
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu, vulkan.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub overrides: Overrides,
}

#[derive(Debug, Args)]
pub struct PredictArguments {
    /// A run's folder, its `best` or `last`, or a checkpoint.
    pub checkpoint: PathBuf,
    /// Image files: JPEG, PNG or WebP.
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// How many classes to show for each image.
    #[arg(long, short = 'k', default_value_t = 5)]
    pub top: usize,
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu, vulkan.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Print one JSON object for each image.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ConfigArguments {
    #[command(subcommand)]
    pub show: ConfigShow,
}

#[derive(Debug, Subcommand)]
pub enum ConfigShow {
    /// An experiment with every default and override written out.
    Resolved {
        /// The experiment, a RON file.
        experiment: PathBuf,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Every field with its default.
    Defaults,
    /// The JSON schema of an experiment: types, ranges, defaults and what each field means.
    Schema,
}
