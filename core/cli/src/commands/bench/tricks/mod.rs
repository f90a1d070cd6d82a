//! `vitral bench tricks`: each efficiency technique alone, and all together, against the plain loop.
//!
//! Every run is a process of its own (`measure`), one after the other (`process`), so that nothing
//! of one is in the memory or the time of another.

pub mod measure;
mod plot;
mod process;
mod table;
mod techniques;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::{Args, ValueEnum as _};
use tempfile::TempDir;
use vitral_config::path_text;
use vitral_train::Experiment;

use self::{
    measure::Measured,
    process::{Ended, measure},
    table::{Row, Table},
    techniques::{OFF, Technique},
};
use super::step::{instruction_set_of, name_of};
use crate::{
    consent::Allowed,
    experiment::{Loaded, open_device},
    failure::Failure,
    files::write,
    json,
    overrides::Overrides,
    plugins::registry,
    several_runs::Runs,
    stop::{exit_code, on_signal},
};

#[derive(Debug, Args)]
pub struct TricksArguments {
    /// The experiment, a RON file. The plain loop is this with every technique off, unless `--set`
    /// turns it on.
    #[arg(default_value = "examples/tricks.ron")]
    pub experiment: PathBuf,
    /// Epochs of each run.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
    /// Runs of each technique: the experiment's seed, and those that follow it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub seeds: u32,
    /// Compare these alone, as in `--only ema,drop-path`.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Technique>,
    /// Where the plot goes.
    #[arg(long, default_value = "tricks.svg")]
    pub plot: PathBuf,
    /// Where to train: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    /// Print one JSON object with every run instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

pub fn run(arguments: &TricksArguments) -> Result<ExitCode, Failure> {
    let plain = Plain::read(arguments)?;
    let device = open_device(arguments.device.as_deref(), &plain.experiment)?;
    let folder = arguments.plot.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        let message = format!("{}: the plot's folder does not exist", arguments.plot.display());
        return Err(Failure::Other(message));
    }
    let first_seed = plain.experiment.seed;
    let table = Table {
        version: env!("CARGO_PKG_VERSION"),
        experiment: arguments.experiment.display().to_string(),
        device: name_of(&device),
        instruction_set: instruction_set_of(&device),
        epochs: arguments.epochs,
        seeds: (0..u64::from(arguments.seeds)).map(|nth| first_seed.wrapping_add(nth)).collect(),
        rows: Vec::new(),
    };
    let stop = stop_on_interrupt()?;
    let (table, is_whole) = compare(arguments, &plain, table, &stop)?;
    if table.rows.iter().any(|row| !row.runs.is_empty()) {
        let picture = plot::svg(&table).map_err(Failure::Other)?;
        write(&arguments.plot, &picture)?;
    }
    if arguments.json {
        json::print(&table)?;
    } else {
        print!("{table}");
        println!("plot: {}", arguments.plot.display());
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(exit_code()) })
}

/// The experiment without any technique.
struct Plain {
    settings: Vec<String>,
    experiment: Experiment,
}

impl Plain {
    fn read(arguments: &TricksArguments) -> Result<Self, Failure> {
        let epochs = arguments.epochs;
        // Nothing but steps between the first and the last one.
        let run = [
            "train.steps=None".to_owned(),
            format!("train.epochs={epochs}"),
            format!("train.eval_every=Epochs({epochs})"),
            format!("checkpoints.every=Epochs({epochs})"),
        ];
        let off = OFF.iter().map(ToString::to_string);
        // What the user sets has the last word on what the plain loop is.
        let given = arguments.overrides.set.iter().cloned();
        let mut settings: Vec<String> = off.chain(run).chain(given).collect();
        let experiment = Loaded::read(&arguments.experiment, &settings)?.experiment;
        // But it is not cut as fits.
        let batch = experiment.train.batch.effective();
        settings.push(format!("train.batch={batch}"));
        let loaded = Loaded::read(&arguments.experiment, &settings)?;
        // A run's process has nobody to ask.
        let registry = registry(&arguments.allowed.allow)?;
        registry.check_allowed(&loaded.experiment).map_err(|error| loaded.locate(error))?;
        Ok(Self { settings, experiment: loaded.experiment })
    }
}

/// Makes all runs, seed by seed; tells whether none is missing because the user has had enough.
fn compare(
    arguments: &TricksArguments,
    plain: &Plain,
    mut table: Table,
    stop: &AtomicBool,
) -> Result<(Table, bool), Failure> {
    let techniques = match arguments.only.as_slice() {
        [] => Technique::value_variants(),
        only => only,
    };
    let techniques: Vec<Option<Technique>> =
        std::iter::once(None).chain(techniques.iter().copied().map(Some)).collect();
    table.rows = techniques
        .iter()
        .map(|technique| Row::new(technique.map_or_else(|| "plain".into(), Technique::name)))
        .collect();
    let mut progress = Runs::new(techniques.len() * table.seeds.len());
    let failed = |error: std::io::Error| Failure::Other(format!("a run cannot be made: {error}"));
    for (seed, (index, technique)) in table
        .seeds
        .clone()
        .iter()
        .flat_map(|seed| techniques.iter().enumerate().map(move |t| (seed, t)))
    {
        let reference = table.rows[0].runs.first();
        let changes = technique
            .map_or_else(Vec::new, |technique| technique.settings(&plain.experiment, reference));
        let folder = TempDir::new().map_err(failed)?;
        let of_run = [
            format!("seed={seed}"),
            format!("output={}", path_text::quoted(&folder.path().join("run"))),
        ];
        let settings = [&plain.settings[..], &changes, &of_run].concat();
        progress.start(&table.rows[index].name);
        let ended = measure(
            &arguments.experiment,
            &settings,
            &arguments.allowed.allow,
            arguments.device.as_deref(),
            stop,
            &mut |share| progress.advance(share),
        );
        let row = &mut table.rows[index];
        row.settings = changes;
        match ended.map_err(failed)? {
            Ended::Measured(found) => {
                progress.end(&describe(&found));
                row.runs.push(found);
            }
            Ended::Failed { reason, said } => {
                progress.line(said.trim_end());
                progress.end("failed");
                row.failures.push(reason);
            }
            Ended::Interrupted => {
                progress.finish();
                table.rows.retain(|row| !row.runs.is_empty() || !row.failures.is_empty());
                return Ok((table, false));
            }
        }
    }
    progress.finish();
    Ok((table, true))
}

fn describe(found: &Measured) -> String {
    let Measured { seconds_per_epoch, top1, images, .. } = found;
    format!("{seconds_per_epoch:.2} s per epoch, {:.2}% of {images} images", top1 * 100.0)
}

/// A flag that Ctrl-C sets, which reaches the run under way, too.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    on_signal(move |_| flag.store(true, Ordering::SeqCst))?;
    Ok(stop)
}
