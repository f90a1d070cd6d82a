//! A search: its trials, one after the other, each an ordinary run.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::AtomicBool,
};

use vitral_host::Interrupt;
use vitral_model::device::Device;
use vitral_train::{
    Error, Event, Trainer,
    checkpoint::{self, Checkpoint},
    holds_run, is_running,
};

use super::{
    TuneArguments, output,
    over::Over,
    page,
    plan::plan,
    results::{Results, Trial, best_experiment, lines},
};
use crate::{
    commands::run_list::summary::State,
    experiment::{Loaded, open_device},
    failure::Failure,
    files::write,
    json,
    plugins::registry,
    progress::note,
    same_experiment::told,
    several_runs::Runs,
    stop::{exit_code, stop_on_signals},
};

/// Fields that a search cannot go over.
const NOT_SEARCHED: [(&str, &str); 2] = [
    ("output", "each trial has its own folder inside that of `--out`"),
    ("base", "`vitral tune` takes the experiment itself"),
];

/// A trial that is to be made.
struct Planned {
    folder: PathBuf,
    values: Vec<String>,
    loaded: Loaded,
}

/// How a trial's process of training ended.
enum Ended {
    Whole,
    Failed(String),
    Interrupted,
}

pub fn run(arguments: &TuneArguments) -> Result<ExitCode, Failure> {
    let over = &arguments.over;
    for Over { field, .. } in over {
        if let Some((_, why)) = NOT_SEARCHED.iter().find(|(not, _)| not == field) {
            return Err(Failure::Usage(format!("--over {field}: {why}")));
        }
    }
    let experiment = arguments.read(&[])?.experiment;
    let planned = plan(over, arguments.trials.map(usize::from), arguments.seed);
    let planned = planned.map_err(Failure::Usage)?;
    let out = arguments.folder(&experiment)?;
    // All of them, before the first one begins.
    let planned = planned.into_iter().enumerate().map(|(at, values)| {
        let folder = out.join(format!("trial-{:02}", at + 1));
        read(arguments, &folder, values)
    });
    let planned = planned.collect::<Result<Vec<Planned>, Failure>>()?;
    let device = open_device(arguments.device.as_deref(), &experiment)?;
    let interrupt = Interrupt::default();
    let stop = stop_on_signals(interrupt.clone())?;
    let metric = experiment.checkpoints.best;
    let mut results = Results::new(over, metric);
    let mut progress = Runs::new(planned.len());
    let mut is_whole = true;
    for Planned { folder, values, loaded } in &planned {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        progress.start(&name);
        let is_over = state(folder)? == Some(State::Ended);
        let ended = match is_over || is_running(folder) {
            true => Ended::Whole,
            false => {
                let making = Making { arguments, device: &device, interrupt: &interrupt };
                making.trial(folder, loaded, &stop, &mut progress)?
            }
        };
        let failure = match &ended {
            Ended::Failed(reason) => Some(reason.clone()),
            Ended::Whole | Ended::Interrupted => None,
        };
        let trial = Trial::of(name, folder, over, values, metric, failure)?;
        if matches!(ended, Ended::Interrupted) {
            results.trials.push(trial);
            is_whole = false;
            break;
        }
        let again = if is_over { " (already there)" } else { "" };
        progress.end(&format!("{}{again}", trial.told(metric)));
        results.trials.push(trial);
    }
    progress.finish();
    finish(arguments, &results, &planned, &out)?;
    if !is_whole {
        note("stopped; the same command continues");
        return Ok(ExitCode::from(exit_code()));
    }
    let has_any = results.best().is_some();
    Ok(if has_any { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads a trial's experiment, and makes sure that what there is of it is of the same.
fn read(arguments: &TuneArguments, folder: &Path, values: Vec<String>) -> Result<Planned, Failure> {
    let fields = arguments.over.iter().zip(&values);
    let mut changes: Vec<String> =
        fields.map(|(over, value)| format!("{}={value}", over.field)).collect();
    changes.push(output(folder));
    let loaded = arguments.read(&changes)?;
    let registry = registry(&arguments.allowed.allow)?;
    registry.check_allowed(&loaded.experiment).map_err(|error| loaded.locate(error))?;
    if holds_run(folder) {
        let of_run = Loaded::read(&folder.join("config.ron"), &[])?.experiment;
        let found = told(&loaded.experiment, &of_run, folder)?;
        if !found.is_empty() {
            return Err(Failure::Usage(format!(
                "{} holds a trial of another search:\n  {}\n  help: a search continues with the \
                 same experiment, `--over`, `--seed` and `--set`; start a new one in another \
                 `--out`",
                folder.display(),
                found.join("\n  ")
            )));
        }
    }
    Ok(Planned { folder: folder.to_owned(), values, loaded })
}

/// Where a trial is; nothing where it has not begun.
fn state(folder: &Path) -> Result<Option<State>, Failure> {
    match holds_run(folder) {
        true => Ok(Some(crate::commands::run_list::summary::Summary::of(folder)?.state)),
        false => Ok(None),
    }
}

/// What trials are made with.
struct Making<'a> {
    arguments: &'a TuneArguments,
    device: &'a Device,
    interrupt: &'a Interrupt,
}

impl Making<'_> {
    /// Makes a trial, or goes on with it. That it fails is a result as any other.
    fn trial(
        &self,
        folder: &Path,
        loaded: &Loaded,
        stop: &AtomicBool,
        progress: &mut Runs,
    ) -> Result<Ended, Failure> {
        let registry = registry(&self.arguments.allowed.allow)?;
        let registry = registry.with_interrupt(self.interrupt.clone());
        let opened = match checkpoint::newest(folder).filter(|_| holds_run(folder)) {
            Some(newest) => Checkpoint::load(&newest)
                .map_err(Error::from)
                .and_then(|checkpoint| Trainer::resume(checkpoint, &registry, self.device)),
            None => Trainer::new(loaded.experiment.clone(), &registry, self.device),
        };
        let trained = opened.and_then(|mut trainer| {
            let mut total = 1;
            let mut observe = |event: &Event| match event {
                Event::Started(info) => total = info.total_steps.max(1),
                Event::Stepped(report) => progress.advance(report.step as f64 / total as f64),
                event => {
                    if let Some((from, words)) = event.words() {
                        progress.line(&format!("{}: {from}: {words}", folder.display()));
                    }
                }
            };
            trainer.run(&mut observe, stop)
        });
        Ok(match trained {
            Ok(outcome) if outcome.interrupted => Ended::Interrupted,
            Ok(_) => Ended::Whole,
            // Nothing that one trial has to do with, and no other can do without.
            Err(error @ Error::NotAllowed(_)) => return Err(error.into()),
            Err(error) => Ended::Failed(error.to_string()),
        })
    }
}

/// Writes and prints what the trials came to.
fn finish(
    arguments: &TuneArguments,
    results: &Results,
    planned: &[Planned],
    out: &Path,
) -> Result<(), Failure> {
    let name = arguments.experiment.display().to_string();
    let html = out.join("tune.html");
    write(&html, page::page(&name, results).map_err(Failure::Other)?)?;
    let best = results.best();
    let ron = out.join("best.ron");
    if let Some(best) = best {
        let made = planned.iter().find(|planned| planned.folder == best.run);
        let text = made.map(|made| best_experiment(&name, best, results, &made.loaded, out));
        text.transpose()?.map_or(Ok(()), |text| write(&ron, text))?;
    }
    if arguments.json {
        return results.trials.iter().try_for_each(json::print);
    }
    lines(results).iter().for_each(|line| println!("{line}"));
    println!("page: {}", html.display());
    if best.is_some() {
        println!("best: {}", ron.display());
    }
    Ok(())
}
