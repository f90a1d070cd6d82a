//! Which data set a command is about.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, ValueEnum};
use vitral_config::Document;
use vitral_data::{DataConfig, OnError, Source, SourceConfig};

use crate::{experiment::Loaded, failure::Failure, overrides::Overrides};

/// A data set, as the `data` commands take it.
#[derive(Debug, Args)]
pub struct DataArguments {
    /// An experiment (a RON file), a folder of class folders, a cache (.vcache), shards (.tar),
    /// files (.parquet), a pattern of either, or a source as written in an experiment:
    /// `Cifar10(files: ["train.bin"])`.
    pub data: PathBuf,
    /// The experiment's training or validation images; by default `info` shows both, and `cache` packs
    /// the training images.
    #[arg(long)]
    pub split: Option<Split>,
    #[command(flatten)]
    pub overrides: Overrides,
}

/// A part of an experiment's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// Images to train with.
    Train,
    /// Images to validate with.
    Val,
}

/// One data set that was opened.
pub struct Subject {
    /// What it is called: its split, or what the command line says.
    pub name: String,
    /// Whether it is for training or validation, if an experiment says so.
    pub split: Option<Split>,
    pub source: Arc<dyn Source>,
}

/// The data sets that the command line names, and the experiment that they are of.
pub struct Subjects {
    pub sets: Vec<Subject>,
    pub experiment: Option<Loaded>,
}

impl Subjects {
    /// Opens them. `on_error` says what happens to parts that are damaged.
    pub fn open(arguments: &DataArguments, on_error: OnError) -> Result<Self, Failure> {
        let path = arguments.data.as_path();
        if is_experiment(path) {
            let loaded = Loaded::read(path, &arguments.overrides.set)?;
            return Self::of_experiment(loaded, arguments, on_error);
        }
        if arguments.split.is_some() || !arguments.overrides.set.is_empty() {
            let problem = format!(
                "{} is not an experiment, so `--split` and `--set` do not apply",
                path.display()
            );
            return Err(Failure::Other(problem));
        }
        let source = source(path)?.open_with(on_error)?;
        let sets = vec![Subject { name: path.display().to_string(), split: None, source }];
        Ok(Self { sets, experiment: None })
    }

    fn of_experiment(
        loaded: Loaded,
        arguments: &DataArguments,
        on_error: OnError,
    ) -> Result<Self, Failure> {
        let data = DataConfig { on_error, ..loaded.experiment.data.clone() };
        let datasets = data.open().map_err(|error| loaded.locate(error.into()))?;
        let sets = [(Split::Train, "train", datasets.train), (Split::Val, "val", datasets.val)];
        let sets = sets
            .into_iter()
            .filter(|(split, ..)| arguments.split.is_none_or(|wanted| wanted == *split))
            .map(|(split, name, source)| Subject { name: name.into(), split: Some(split), source })
            .collect();
        Ok(Self { sets, experiment: Some(loaded) })
    }
}

/// Whether a path is that of an experiment.
pub fn is_experiment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "ron")
}

/// The source that a path, a pattern or RON stands for.
pub fn source(path: &Path) -> Result<SourceConfig, Failure> {
    if let Some(source) = SourceConfig::of_path(path) {
        return Ok(source);
    }
    match path.to_str().filter(|text| text.contains('(')) {
        Some(text) => Ok(Document::new("data", text).parse()?),
        None => Err(Failure::Other(format!(
            "{} is not a data set: give an experiment (.ron), {}, or a source such as \
             Cifar10(files: [\"train.bin\"])",
            path.display(),
            SourceConfig::paths_in_words().join(", ")
        ))),
    }
}
