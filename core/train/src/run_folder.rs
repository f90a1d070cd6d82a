//! A run's folder: `config.ron`, `plugins.lock.ron`, `metrics.jsonl`, `checkpoints/`, `best`, `last`,
//! the logs that the experiment asks for, and a lock while the run goes on.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use vitral_bundle::Lock;
use vitral_data::Skipped;
use vitral_files::{Access, Existing, Kind};

use crate::{
    DataReport, Error, Evaluation,
    checkpoint::clear_away,
    error::AtPath,
    event::StepReport,
    experiment::Experiment,
    logs::Logs,
    metrics_file::{self, METRICS},
};

const CONFIG: &str = "config.ron";
/// The metrics of a run that failed before its first checkpoint, when another has taken its place.
const FAILED: &str = "metrics.failed.jsonl";
const LOCK: &str = "plugins.lock.ron";
/// The kind of an evaluation's line.
const EVALUATION: &str = "eval";
const LOCK_FILE: &str = ".lock";

/// The folder of a run that goes on; no other process can use it meanwhile.
pub(crate) struct RunFolder {
    path: PathBuf,
    metrics: File,
    logs: Logs,
    _lock: File,
}

impl RunFolder {
    /// A new run, also in place of one that ended before it had anything to go on from; what that one
    /// reported is set aside.
    pub(crate) fn create(path: &Path, experiment: &Experiment) -> Result<Self, Error> {
        if holds_run(path) {
            return Err(Error::Exists(path.into()));
        }
        fs::create_dir_all(path).at(path)?;
        let lock = lock(path)?;
        let metrics = path.join(METRICS);
        if metrics.metadata().is_ok_and(|metrics| metrics.len() > 0) {
            fs::rename(&metrics, path.join(FAILED)).at(&metrics)?;
        }
        let mut folder = Self::open(path, lock)?;
        folder.write_config(experiment)?;
        Ok(folder)
    }

    /// A run that goes on, as it is; [`RunFolder::forget_after`] follows once its checkpoints are where they
    /// are to be.
    pub(crate) fn reopen(path: &Path) -> Result<Self, Error> {
        // Locked before anything is read or written: the run may be going on.
        let lock = lock(path)?;
        clear_away(path)?;
        Self::open(path, lock)
    }

    fn open(path: &Path, lock: File) -> Result<Self, Error> {
        Ok(Self {
            path: path.into(),
            metrics: metrics_file::open(path)?,
            logs: Logs::default(),
            _lock: lock,
        })
    }

    /// Notes the experiment as it is now, and opens the logs that it asks for.
    pub(crate) fn write_config(&mut self, experiment: &Experiment) -> Result<(), Error> {
        let path = self.path.join(CONFIG);
        let text = experiment.to_ron().map_err(std::io::Error::other).at(&path)?;
        write(&path, text.as_bytes())?;
        self.logs.open(&self.path, experiment)
    }

    /// Notes which plugins the run uses.
    pub(crate) fn write_lock(&self, lock: &Lock) -> Result<(), Error> {
        let path = self.path.join(LOCK);
        write(&path, lock.to_text().as_bytes())
    }

    /// Goes back to a step: what was reported after it is forgotten. Tells what was damaged.
    pub(crate) fn forget_after(&mut self, step: u64) -> Result<Option<String>, Error> {
        let set_aside = metrics_file::keep_until(&self.path, step)?;
        self.follow()?;
        Ok(set_aside)
    }

    /// Whether a step was evaluated.
    pub(crate) fn has_evaluation(&self, step: u64) -> Result<bool, Error> {
        metrics_file::has(&self.path, EVALUATION, step)
    }

    /// Has all that was reported reach the disk.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.metrics.sync_data().at(&self.path.join(METRICS))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// One line for a logged step.
    pub(crate) fn log_step(&mut self, report: &StepReport) -> Result<(), Error> {
        let Some(figures) = report.figures else { return Ok(()) };
        let mut line = json!({
            "kind": "step",
            "step": report.step,
            "epoch": report.epoch,
            "loss": figures.loss,
            "accuracy": figures.accuracy,
            "gradient_norm": figures.gradient_norm,
            "learning_rate": report.learning_rate,
            "images_per_second": report.images as f64 / report.time.as_secs_f64().max(1e-9),
            "data_wait": report.data_wait.as_secs_f64(),
            "left_out": report.left_out,
        });
        if let Some(scaling) = report.scaling {
            line["loss_scale"] = json!(scaling.scale);
            line["skipped_steps"] = json!(scaling.skipped_steps);
        }
        if let Some(images) = report.micro_batch {
            line["micro_batch"] = images.into();
        }
        if let Some(data) = &report.data {
            line["data"] = data_line(data);
        }
        self.log(&line)
    }

    /// One line for an evaluation.
    pub(crate) fn log_evaluation(
        &mut self,
        step: u64,
        epoch: f64,
        found: &Evaluation,
    ) -> Result<(), Error> {
        self.log(&evaluation_line(step, epoch, found))
    }

    /// The same in the place of the line that is there. Tells what was damaged.
    pub(crate) fn log_evaluation_again(
        &mut self,
        step: u64,
        epoch: f64,
        found: &Evaluation,
    ) -> Result<Option<String>, Error> {
        let line = evaluation_line(step, epoch, found);
        let set_aside = metrics_file::replace(&self.path, EVALUATION, step, &line)?;
        self.follow()?;
        Ok(set_aside)
    }

    /// Goes on with metrics that were written anew.
    fn follow(&mut self) -> Result<(), Error> {
        self.metrics = metrics_file::open(&self.path)?;
        self.logs.follow(&self.path)
    }

    /// One line for a figure of a monitor.
    pub(crate) fn log_metric(
        &mut self,
        step: u64,
        monitor: &str,
        name: &str,
        value: f64,
    ) -> Result<(), Error> {
        self.log(&json!({
            "kind": "monitor",
            "step": step,
            "monitor": monitor,
            "name": name,
            "value": value,
        }))
    }

    /// One line for an image that is left out of a data set.
    pub(crate) fn log_left_out(
        &mut self,
        step: u64,
        from: &str,
        image: &Skipped,
    ) -> Result<(), Error> {
        let Skipped { name, reason } = image;
        self.log(&json!({
            "kind": "left_out",
            "step": step,
            "from": from,
            "image": name,
            "reason": reason,
        }))
    }

    /// One line for something that the user was told.
    pub(crate) fn log_notice(&mut self, step: u64, from: &str, message: &str) -> Result<(), Error> {
        self.log(&json!({ "kind": "notice", "step": step, "from": from, "message": message }))
    }

    fn log(&mut self, line: &Value) -> Result<(), Error> {
        self.metrics.write_all(format!("{line}\n").as_bytes()).at(&self.path.join(METRICS))?;
        self.logs.line(line)
    }
}

/// Whether a folder holds a run that a new one may not take the place of: one with a checkpoint, or one that
/// goes on in another process. What a run leaves that failed before its first checkpoint is none.
pub fn holds_run(path: &Path) -> bool {
    // An experiment without a lock is none of a run, but of a model, say.
    let is_left = || {
        let lock = vitral_files::open(&path.join(LOCK_FILE), Kind::LOCK);
        lock.is_ok_and(|(lock, _)| lock.try_lock().is_ok())
    };
    path.join(CONFIG).exists() && (has_begun(path) || !is_left())
}

/// Whether a run has written a checkpoint, or been given one.
fn has_begun(run: &Path) -> bool {
    let has = |name: &str| run.join(name).symlink_metadata().is_ok();
    let entries = fs::read_dir(run.join("checkpoints"));
    let is_checkpoint = |name: &std::ffi::OsStr| !name.as_encoded_bytes().starts_with(b".");
    has("best")
        || has("last")
        || entries
            .is_ok_and(|entries| entries.flatten().any(|entry| is_checkpoint(&entry.file_name())))
}

fn evaluation_line(step: u64, epoch: f64, found: &Evaluation) -> Value {
    json!({
        "kind": EVALUATION,
        "step": step,
        "epoch": epoch,
        "loss": found.loss,
        "top1": found.top1,
        "top5": found.top5,
        "images": found.images,
        "skipped": found.skipped,
        "classes": found.classes,
    })
}

/// What the data path did, in seconds; stages of one name are one.
fn data_line(data: &DataReport) -> Value {
    let mut stages = BTreeMap::new();
    for (name, time) in &data.stages {
        *stages.entry(name).or_insert(0.0) += time.as_secs_f64();
    }
    json!({
        "seconds": data.time.as_secs_f64(),
        "wait": data.wait.as_secs_f64(),
        "workers": data.workers,
        "prefetch": data.prefetch,
        "stages": stages,
    })
}

/// Writes a file in place of what there is.
fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    vitral_files::write(path, content, Existing::Replace, Access::Usual).at(path)
}

fn lock(path: &Path) -> Result<File, Error> {
    let file = path.join(LOCK_FILE);
    let lock = vitral_files::update(&file, Kind::LOCK).at(&file)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(path.into())),
        // Some network file systems cannot lock; a run there goes on without.
        Err(TryLockError::Error(error)) => {
            tracing::warn!("{} cannot be locked: {error}", file.display());
            Ok(lock)
        }
    }
}
