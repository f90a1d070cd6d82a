//! `vitral tune`: a search over fields of an experiment, and the learning-rate range test.

mod over;
mod page;
mod plan;
mod range;
mod results;
mod search;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use vitral_config::path_text;

use self::{over::Over, range::Rates};
use crate::{consent::Allowed, experiment::Loaded, failure::Failure, overrides::Overrides};

#[derive(Debug, Args)]
pub struct TuneArguments {
    /// The experiment, a RON file.
    pub experiment: PathBuf,
    /// A field and the values to try: a list, `model.drop_path=0,0.1`, or a range,
    /// `train.learning_rate=1e-4..1e-3:log` (`:log` spreads values by magnitude). Given several times, all
    /// combinations of lists are tried, with points spread over all ranges.
    #[arg(long, value_name = "FIELD=VALUES", conflicts_with = "find_learning_rate")]
    pub over: Vec<Over>,
    /// How many trials; by default 12, or all combinations if there are only lists. A larger number
    /// later adds trials to those that are there.
    #[arg(long, requires = "over", value_parser = clap::value_parser!(u16).range(1..))]
    pub trials: Option<u16>,
    /// Seed of the trials' values and their order. The seed of training is the experiment's `seed`.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Find a learning rate instead: raise it over a few steps, and see where the loss falls fastest
    /// (Smith 2017).
    #[arg(
        long,
        value_name = "LOWEST..HIGHEST",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1e-6..1"
    )]
    pub find_learning_rate: Option<Rates>,
    /// Steps over which the learning rate rises.
    #[arg(
        long,
        default_value_t = 100,
        requires = "find_learning_rate",
        value_parser = clap::value_parser!(u32).range(10..)
    )]
    pub steps: u32,
    /// Folder of the trials (`trial-01`, ...), the page (`tune.html`) and the best experiment (`best.ron`);
    /// by default the experiment's `output` followed by `-tune`. Finished trials are kept, and one that was
    /// stopped goes on.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Where to train: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    /// Print one JSON object for each trial, or one with all steps of the range test.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

impl TuneArguments {
    /// The experiment with changes, beside those of the command line.
    fn read(&self, changes: &[String]) -> Result<Loaded, Failure> {
        Loaded::read_to_train(&self.experiment, &[&self.overrides.set[..], changes].concat())
    }

    /// Where everything goes, which is made.
    fn folder(&self, experiment: &vitral_train::Experiment) -> Result<PathBuf, Failure> {
        let out = self.out.clone().unwrap_or_else(|| {
            let mut name = experiment.output.file_name().unwrap_or_default().to_os_string();
            name.push("-tune");
            experiment.output.with_file_name(name)
        });
        let at = |error: std::io::Error| Failure::Other(format!("{}: {error}", out.display()));
        vitral_files::check_place(&out).map_err(at)?;
        std::fs::create_dir_all(&out).map_err(at)?;
        Ok(out)
    }
}

/// A change to an experiment's folder.
fn output(folder: &Path) -> String {
    format!("output={}", path_text::quoted(folder))
}

pub fn run(arguments: &TuneArguments) -> Result<ExitCode, Failure> {
    match &arguments.find_learning_rate {
        Some(rates) => range::run(arguments, *rates),
        None if arguments.over.is_empty() => Err(Failure::Usage(
            "nothing to search: give `--over`, as in `--over train.learning_rate=1e-4..1e-3:log`, \
             or `--find-learning-rate`"
                .into(),
        )),
        None => search::run(arguments),
    }
}
