//! `vitral report`: a run, or several side by side, as one HTML page.

mod differences;
mod evaluation;
pub mod metrics;
mod page;
mod summary;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use vitral_files::Kind;

use self::{
    evaluation::{Judged, judge},
    metrics::Metrics,
};
use crate::{failure::Failure, files::write, words::counted};

#[derive(Debug, Args)]
pub struct ReportArguments {
    /// A run's folder; the run may still be in progress. Several runs share one page.
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// Where to write the page; `-` is standard output. By default `report.html` in the run's
    /// folder, or in the current folder for several runs.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Do not evaluate the best model on its validation images: the page shows what the run has logged,
    /// without figures by class and without pictures.
    #[arg(long)]
    pub no_images: bool,
    /// Where to evaluate: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
}

/// What is shown of a run.
struct Run {
    name: String,
    metrics: Metrics,
    /// Its experiment's text.
    experiment: String,
    /// Its best model, or why nothing is known of it.
    judged: Result<Judged, String>,
}

pub fn run(arguments: &ReportArguments) -> Result<ExitCode, Failure> {
    let runs: Vec<Run> =
        arguments.runs.iter().map(|run| read(run, arguments)).collect::<Result<_, _>>()?;
    let page = page::page(&runs).map_err(Failure::Other)?;
    if arguments.output.as_deref() == Some(Path::new("-")) {
        print!("{page}");
        return Ok(ExitCode::SUCCESS);
    }
    let path = match (&arguments.output, &arguments.runs[..]) {
        (Some(path), _) => path.clone(),
        (None, [run]) => run.join("report.html"),
        (None, _) => PathBuf::from("report.html"),
    };
    write(&path, &page)?;
    println!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn read(run: &Path, arguments: &ReportArguments) -> Result<Run, Failure> {
    let metrics = Metrics::read(run)?;
    if metrics.damaged > 0 {
        let lines = counted(metrics.damaged, "line", "lines");
        eprintln!(
            "left out {lines} of {} that cannot be read",
            run.join("metrics.jsonl").display()
        );
    }
    let config = run.join("config.ron");
    let experiment = vitral_files::read_text(&config, Kind::CONFIGURATION)
        .map_err(|error| Failure::Other(format!("{}: {error}", config.display())))?;
    let judged = match arguments.no_images {
        true => Err("`--no-images` was given.".into()),
        false => judge(run, arguments.device.as_deref())?.map_err(|error| {
            let reason = error.to_string();
            eprintln!("warning: {} is not evaluated: {reason}", run.display());
            reason
        }),
    };
    Ok(Run { name: run.display().to_string(), metrics, experiment, judged })
}
