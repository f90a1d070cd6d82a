//! `vitral train`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde::{Deserialize, Serialize};
use vitral_config::path_text;
use vitral_host::Interrupt;
use vitral_model::device::{self, Device};
use vitral_train::{
    Error, Outcome, Trainer,
    checkpoint::{self, Checkpoint, CheckpointError},
    holds_run,
    plugins::Registry,
};

use crate::{
    consent::Allowed,
    experiment::{Loaded, open_device_of},
    failure::Failure,
    job::Job,
    overrides::{self, Overrides},
    plugins::registry,
    progress::{Progress, duration},
    same_experiment::{self, check_same},
    stop::{exit_code_of, signalled, stop_on_signals},
    words::{columns, counted, padded},
};

#[derive(Debug, Args)]
pub struct TrainArguments {
    /// The experiment, a RON file.
    #[arg(required_unless_present = "resume")]
    pub experiment: Option<PathBuf>,
    /// Resume a run: its folder (from its newest checkpoint), its `best` or `last`, or one of its
    /// `checkpoints/step-...`. With `--set output=FOLDER` it branches off into a run of its own.
    #[arg(long, value_name = "RUN", conflicts_with = "experiment")]
    pub resume: Option<PathBuf>,
    /// Resume the run in the experiment's `output` from its newest checkpoint, or start one if there is none. So
    /// the same command starts a job, and continues it after a scheduler has ended it.
    #[arg(long, requires = "experiment", conflicts_with = "resume")]
    pub resume_if_any: bool,
    /// Show progress as plain lines instead of the live view. In the view, `q` does the same.
    #[arg(long)]
    pub plain: bool,
    /// Start from a trained model: what `import` or `export` wrote, a run, or a file of weights.
    /// The same as `init: Pretrained(path: ...)` in the experiment.
    #[arg(long, value_name = "MODEL", conflicts_with = "resume")]
    pub init: Option<PathBuf>,
    /// Where to train: auto, cpu, cuda, cuda:1, wgpu, vulkan.
    #[arg(long)]
    pub device: Option<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

pub fn run(arguments: &TrainArguments, job: &Job) -> Result<ExitCode, Failure> {
    let mut progress = Progress::new();
    if arguments.plain {
        progress.be_plain();
    }
    let interrupt = Interrupt::default();
    // What one rank cannot begin, none does: they all end by themselves.
    let mut trainer = begin(arguments, job, &interrupt, &progress).inspect_err(|_| job.finish())?;
    let stop = stop_on_signals(interrupt).map_err(|failure| job.lost(failure))?;
    #[cfg(unix)]
    if job.ranks().size() == 1 {
        progress.want_view(trainer.run_folder());
    }
    let outcome = trainer.run(&mut progress, &stop);
    progress.finish();
    let outcome = outcome.map_err(|error| job.lost(error.into()))?;
    // A signal may have come to any of them.
    let code = exit_code_of(job.ranks().gather(signalled())?);
    job.finish();
    if outcome.interrupted {
        println!(
            "stopped after step {}; resume with: {} train --resume {}",
            outcome.step,
            program(),
            outcome.run.display()
        );
        return Ok(ExitCode::from(code));
    }
    if let Some(reason) = &outcome.stopped {
        println!("ended early by {reason}");
    }
    summarize(&outcome);
    Ok(ExitCode::SUCCESS)
}

/// A run that is about to begin or to go on, in all ranks of the job or in none.
fn begin(
    arguments: &TrainArguments,
    job: &Job,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<Trainer, Failure> {
    let registry = job.all_succeed(registry(&arguments.allowed.allow))?;
    let registry = registry.with_interrupt(interrupt.clone());
    match (&arguments.resume, &arguments.experiment) {
        (Some(run), _) => resume(run, arguments, job, &registry, progress),
        (None, Some(experiment)) => start(experiment, arguments, job, &registry, progress),
        (None, None) => Err(Failure::Other("no experiment given".into())),
    }
}

/// What becomes of an experiment: its run goes on from a checkpoint, or a new one goes to a folder.
#[derive(Serialize, Deserialize)]
enum Begin {
    At(#[serde(with = "path_text")] PathBuf),
    In(#[serde(with = "path_text")] PathBuf),
}

fn start(
    path: &Path,
    arguments: &TrainArguments,
    job: &Job,
    registry: &Registry,
    progress: &Progress,
) -> Result<Trainer, Failure> {
    let loaded = job.all_succeed(load(path, arguments, progress))?;
    let output = &loaded.experiment.output;
    let begin = job.of_first(|| match arguments.resume_if_any && holds_run(output) {
        true => Ok(Begin::At(newest_of(output)?)),
        false => Ok(Begin::In(free_folder(output))),
    })?;
    let output = match begin {
        // By its own plugins, whatever has been installed since.
        Begin::At(checkpoint) => {
            return resume_same(&checkpoint, &loaded, arguments, job, registry, progress);
        }
        Begin::In(output) => output,
    };
    let opened = || {
        registry.check_allowed(&loaded.experiment).map_err(|error| loaded.locate(error))?;
        loaded.open_device(job.local_rank(), arguments.device.as_deref())
    };
    let device = job.all_succeed(opened())?;
    let mut experiment = loaded.experiment.clone();
    tell_other(&experiment.output, &output, progress);
    experiment.output = output;
    tell_where(path, &device, job, progress);
    let trainer = Trainer::new_among(job.ranks(), experiment, registry, &device);
    trainer.map_err(|error| loaded.locate(error))
}

/// Reads an experiment, and tells what is to be known of how it was read.
fn load(path: &Path, arguments: &TrainArguments, progress: &Progress) -> Result<Loaded, Failure> {
    let mut set = arguments.overrides.set.clone();
    if let Some(init) = &arguments.init {
        set.push(format!("init=Pretrained(path: {})", path_text::quoted(init)));
    }
    let mut loaded = Loaded::read(path, &set)?;
    if let Some(taken) = loaded.start_from_init()? {
        progress.line(&taken);
    }
    for twice in overrides::given_twice(loaded.document(), &loaded.experiment.train) {
        progress.line(&twice);
    }
    Ok(loaded)
}

fn resume(
    run: &Path,
    arguments: &TrainArguments,
    job: &Job,
    registry: &Registry,
    progress: &Progress,
) -> Result<Trainer, Failure> {
    let found =
        job.of_first(|| Ok(path_text::to_text(&checkpoint::find(run).map_err(Error::from)?)))?;
    let path = path_text::from_text(&found).map_err(Failure::Other)?;
    let mut checkpoint = job.all_succeed(changed(&path, arguments, progress))?;
    // Where a branch goes, the first rank says.
    let branch = checkpoint.branch.as_deref().map(path_text::to_text);
    if let Some(branch) = job.ranks().decide(branch)? {
        let branch = path_text::from_text(&branch).map_err(Failure::Other)?;
        tell_other(&checkpoint.experiment.output, &branch, progress);
        checkpoint.experiment.output.clone_from(&branch);
        checkpoint.branch = Some(branch);
    }
    let device =
        open_device_of(job.local_rank(), arguments.device.as_deref(), &checkpoint.experiment);
    let device = job.all_succeed(device)?;
    tell_where(&path, &device, job, progress);
    let resumed = Trainer::resume_among(job.ranks(), checkpoint, registry, &device);
    resumed.map_err(|error| match error {
        // The checkpoint is right: it is what `--set` makes of its experiment that is another model.
        Error::Checkpoint(CheckpointError::Mismatch { problem, .. })
            if !arguments.overrides.set.is_empty() =>
        {
            Failure::Usage(format!(
                "{} cannot be resumed with these changes by `--set`: {problem}\n  help: a resumed \
                 run keeps its model, kind of optimizer and classes; a new run starts from its \
                 weights with `train EXPERIMENT --init {}`",
                run.display(),
                run.display()
            ))
        }
        error => error.into(),
    })
}

/// A checkpoint as `--set` changes it, which is told.
fn changed(
    path: &Path,
    arguments: &TrainArguments,
    progress: &Progress,
) -> Result<Checkpoint, Failure> {
    let mut checkpoint = Checkpoint::load(path).map_err(Error::from)?;
    if !arguments.overrides.set.is_empty() {
        let changed = Loaded::of_checkpoint(&checkpoint, &arguments.overrides.set)?;
        overrides::check_resume(changed.document())?;
        if changed.document().assigned().any(|field| field == "output") {
            checkpoint.branch = Some(free_folder(&changed.experiment.output));
        }
        let assigned = changed.document().assigned();
        let told = same_experiment::changed(&checkpoint.experiment, &changed.experiment, assigned)?;
        told.iter().for_each(|change| progress.line(change));
        checkpoint.experiment = changed.experiment;
    }
    Ok(checkpoint)
}

/// Says what is trained where.
fn tell_where(what: &Path, device: &Device, job: &Job, progress: &Progress) {
    let ranks = job.size().map_or_else(String::new, |ranks| format!(", {ranks}"));
    progress.line(&format!("{} on {}{ranks}", what.display(), device::describe(device)));
    if let Some(folder) = device::compiles_anew(device) {
        progress.line(&format!(
            "kernels are compiled when they are first needed, which makes the first steps slow, and kept in {} for \
             later runs",
            folder.display()
        ));
    }
}

/// Says where a run goes whose folder is taken.
fn tell_other(meant: &Path, output: &Path, progress: &Progress) {
    if output != meant {
        let (meant, output) = (meant.display(), output.display());
        progress.line(&format!("{meant} already holds a run; this one goes to {output}"));
    }
}

/// The newest checkpoint of a run, from which it goes on.
fn newest_of(run: &Path) -> Result<PathBuf, Failure> {
    checkpoint::newest(run).ok_or_else(|| {
        Failure::Other(format!(
            "{} holds a run without a checkpoint to resume from: another process is training \
             there, or its checkpoints were removed; wait for it, or choose another `output`",
            run.display()
        ))
    })
}

/// Goes on with the run in an experiment's folder, of which it has to be the experiment.
fn resume_same(
    newest: &Path,
    loaded: &Loaded,
    arguments: &TrainArguments,
    job: &Job,
    registry: &Registry,
    progress: &Progress,
) -> Result<Trainer, Failure> {
    let opened = || {
        let checkpoint = Checkpoint::load(newest).map_err(Error::from)?;
        let begun = checkpoint.state.begun(&checkpoint.experiment);
        check_same(&loaded.experiment, &begun, &loaded.experiment.output)?;
        let device = loaded.open_device(job.local_rank(), arguments.device.as_deref())?;
        Ok((checkpoint, device))
    };
    let (checkpoint, device) = job.all_succeed(opened())?;
    tell_where(newest, &device, job, progress);
    let resumed = Trainer::resume_among(job.ranks(), checkpoint, registry, &device);
    resumed.map_err(|error| loaded.locate(error))
}

/// The folder itself, or the first of `-2`, `-3`, ... that holds no run.
fn free_folder(output: &Path) -> PathBuf {
    let numbered = |n: u32| {
        let mut name = output.file_name().unwrap_or_default().to_os_string();
        name.push(format!("-{n}"));
        output.with_file_name(name)
    };
    let candidates = std::iter::once(output.to_path_buf()).chain((2..).map(numbered));
    let is_free = |path: &PathBuf| !holds_run(path);
    // The numbers do not end before a free folder is found.
    candidates.into_iter().find(is_free).unwrap_or_else(|| output.to_path_buf())
}

fn summarize(outcome: &Outcome) {
    let run = outcome.run.display();
    let program = program();
    println!(
        "trained {} in {}",
        counted(outcome.step, "step", "steps"),
        duration(outcome.time.as_secs_f64())
    );
    if let Some(evaluation) = &outcome.evaluation {
        println!(
            "  accuracy     {:.2}% of {}{}",
            evaluation.top1 * 100.0,
            counted(evaluation.images, "validation image", "validation images"),
            match evaluation.skipped {
                0 => String::new(),
                count => format!(" ({count} more could not be read)"),
            }
        );
    }
    if !outcome.data.time.is_zero() {
        let most = outcome.data.bottleneck();
        let most =
            most.map(|(stage, share)| format!("; {:.0}% of its work is {stage}", 100.0 * share));
        println!(
            "  data         waited for {:.1}% of the steps' time{}",
            100.0 * outcome.data.waiting_share(),
            most.unwrap_or_default()
        );
    }
    if outcome.skipped > 0 {
        println!(
            "  left out     {} training images (repeats counted) that could not be read, or that a plugin \
             failed on",
            outcome.skipped
        );
    }
    if let Some(state) = outcome.loss_scale {
        println!(
            "  skipped      {} steps that overflowed f16 (loss scale {} at the end)",
            outcome.skipped_steps, state.scale
        );
    }
    if let Some((_, step)) = outcome.best {
        println!("  best model   {run}/best (of step {step})");
    }
    println!("  last model   {run}/last");
    println!("  metrics      {run}/metrics.jsonl");
    println!("  experiment   {run}/config.ron");
    println!("try next");
    let next = [
        (format!("{program} eval {run}/best"), "accuracy of each class"),
        (format!("{program} predict {run}/best IMAGE..."), "classify image files"),
        (format!("{program} train --resume {run} --set {}=...", outcome.length), "train it longer"),
        (format!("{program} config schema"), "every field of an experiment"),
    ];
    let widest = next.iter().map(|(command, _)| columns(command)).max().unwrap_or_default();
    for (command, what) in next {
        println!("  {}  {what}", padded(&command, widest));
    }
}

/// How the user called this program.
fn program() -> String {
    let program = std::env::args_os().next();
    program.map_or_else(|| "vitral".into(), |program| program.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_run_is_not_used_again() {
        let folder =
            std::env::temp_dir().join(format!("vitral-free-folder-{}", std::process::id()));
        let run = folder.join("run");
        assert_eq!(free_folder(&run), run);
        for name in ["run", "run-2"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
            std::fs::write(folder.join(name).join("config.ron"), "").unwrap();
        }
        assert_eq!(free_folder(&run), folder.join("run-3"));
        // What failed before its first checkpoint leaves its lock.
        std::fs::write(run.join(".lock"), "").unwrap();
        assert_eq!(free_folder(&run), run);
        std::fs::create_dir_all(run.join("checkpoints/.writing-step-00000001")).unwrap();
        assert_eq!(free_folder(&run), run);
        std::fs::create_dir_all(run.join("checkpoints/superseded-step-00000001")).unwrap();
        assert_eq!(free_folder(&run), folder.join("run-3"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
