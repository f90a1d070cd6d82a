//! `vitral runs`: the runs in a folder with their figures, and what differs between them.

mod find;
pub mod summary;
mod table;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use vitral_config::Varying;

use self::{find::find_runs, summary::Summary};
use crate::{experiment::Loaded, failure::Failure, json, progress::note};

/// Fields that say where a run is and not what it is.
const PLACES: [&str; 2] = ["output", "base"];

#[derive(Debug, Args)]
pub struct RunsArguments {
    /// Runs, or folders that hold runs at any depth.
    #[arg(default_value = "runs")]
    pub folders: Vec<PathBuf>,
    /// How to sort them.
    #[arg(long, value_enum, default_value_t = Order::Name)]
    pub sort: Order,
    /// Print one JSON object for each run.
    #[arg(long)]
    pub json: bool,
}

/// An order of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// By name, with numbers in it as numbers.
    Name,
    /// The highest top-1 accuracy first.
    Best,
}

pub fn run(arguments: &RunsArguments) -> Result<ExitCode, Failure> {
    let mut runs = Vec::new();
    let mut is_whole = true;
    for folder in &arguments.folders {
        for path in find_runs(folder)? {
            match Summary::of(&path) {
                Ok(summary) => runs.push((summary, resolved(&path))),
                Err(Failure::Other(problem)) => {
                    eprintln!("error: {problem}");
                    is_whole = false;
                }
                Err(failure) => return Err(failure),
            }
        }
    }
    if arguments.sort == Order::Best {
        let top1 = |run: &Summary| run.best.as_ref().map_or(f64::NEG_INFINITY, |best| best.top1);
        runs.sort_by(|(one, _), (other, _)| top1(other).total_cmp(&top1(one)));
    }
    let (mut runs, texts): (Vec<Summary>, Vec<String>) = runs.into_iter().unzip();
    tell_apart(&mut runs, &texts);
    if arguments.json {
        runs.iter().try_for_each(json::print)?;
    } else if runs.is_empty() {
        let folders: Vec<_> = arguments.folders.iter().map(|it| it.display().to_string()).collect();
        note(&format!("no runs in {}", folders.join(", ")));
    } else {
        table::lines(&runs).iter().for_each(|line| println!("{line}"));
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A run's experiment with every default of today written out; its own text, where that is not understood.
fn resolved(run: &Path) -> String {
    let config = run.join("config.ron");
    let read = || {
        let experiment = Loaded::read(&config, &[]).ok()?.experiment;
        let classes = experiment.model.classes;
        experiment.resolved(classes).to_ron().ok()
    };
    let own = || vitral_files::read_text(&config, vitral_files::Kind::CONFIGURATION).ok();
    read().or_else(own).unwrap_or_default()
}

/// Gives each run its values of the fields in which not all are the same.
fn tell_apart(runs: &mut [Summary], texts: &[String]) {
    for Varying { field, values } in vitral_config::varying(texts) {
        if PLACES.contains(&field.as_str()) {
            continue;
        }
        for (run, value) in runs.iter_mut().zip(values) {
            run.differs.extend(value.map(|value| (field.clone(), value)));
        }
    }
}
