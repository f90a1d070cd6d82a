//! `vitral report`: a run as one HTML page with its curves.

mod chart;
pub mod metrics;
mod page;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use vitral_files::Kind;

pub use self::page::{document, escape};

use self::metrics::Metrics;
use crate::{failure::Failure, files::write, words::counted};

#[derive(Debug, Args)]
pub struct ReportArguments {
    /// A run's folder; the run may still be in progress.
    pub run: PathBuf,
    /// Where to write the page; `-` is standard output. By default `report.html` in the run's
    /// folder.
    #[arg(long)]
    pub output: Option<PathBuf>,
}

pub fn run(arguments: &ReportArguments) -> Result<ExitCode, Failure> {
    let run = &arguments.run;
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
    let page = page::page(&run.display().to_string(), &metrics, &experiment);
    let page = page.map_err(Failure::Other)?;
    if arguments.output.as_deref() == Some(Path::new("-")) {
        print!("{page}");
        return Ok(ExitCode::SUCCESS);
    }
    let path = arguments.output.clone().unwrap_or_else(|| run.join("report.html"));
    write(&path, &page)?;
    println!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}
