//! A run's folder: `config.ron`, `plugins.lock.ron`, `metrics.jsonl`, `checkpoints/`, `best`, `last`,
//! the logs that the experiment asks for, and a lock while the run goes on.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::Value;
use vitral_bundle::Lock;
use vitral_files::{Access, Existing, Kind};

use crate::{
    Error, Event,
    checkpoint::clear_away,
    error::AtPath,
    experiment::Experiment,
    logs::Logs,
    metrics_file::{self, METRICS},
    metrics_line::{EVALUATION, lines},
    pictures::Picture,
};

const CONFIG: &str = "config.ron";
/// The metrics of a run that failed before its first checkpoint, when another has taken its place.
const FAILED: &str = "metrics.failed.jsonl";
const LOCK: &str = "plugins.lock.ron";
const LOCK_FILE: &str = ".lock";

/// The folder of a run that goes on; no other process can use it meanwhile.
pub(crate) struct RunFolder {
    path: PathBuf,
    metrics: File,
    /// Images of which the metrics say that they are left out, and the step of that line.
    left_out: HashMap<String, u64>,
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
            left_out: HashMap::new(),
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
        self.left_out.retain(|_, of_line| *of_line <= step);
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

    /// Notes an event of a run that has made `step` steps. Tells what was damaged where an evaluation takes
    /// the place of the one that is there.
    pub(crate) fn note(&mut self, event: &Event, step: u64) -> Result<Option<String>, Error> {
        if matches!(event, Event::Statistics(_)) && !self.logs.have_histograms() {
            return Ok(None);
        }
        let lines = lines(event, step, &mut self.left_out);
        if let (Event::Evaluated { step, is_again: true, .. }, [line]) = (event, &lines[..]) {
            let set_aside = metrics_file::replace(&self.path, EVALUATION, *step, line)?;
            self.follow()?;
            return Ok(set_aside);
        }
        lines.iter().try_for_each(|line| self.log(line))?;
        Ok(None)
    }

    /// Whether a log has a place for pictures of an evaluation.
    pub(crate) fn wants_pictures(&self) -> bool {
        self.logs.have_pictures()
    }

    /// Notes pictures of the evaluation of a step, for the logs that show such.
    pub(crate) fn picture(&mut self, step: u64, pictures: &[Picture]) -> Result<(), Error> {
        self.logs.pictures(step, pictures)
    }

    /// Goes on with metrics that were written anew.
    fn follow(&mut self) -> Result<(), Error> {
        self.metrics = metrics_file::open(&self.path)?;
        self.logs.follow(&self.path)
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

/// Whether a process trains in a folder now, as far as its file system can tell.
pub fn is_running(path: &Path) -> bool {
    let lock = vitral_files::open(&path.join(LOCK_FILE), Kind::LOCK);
    // Shared, so that several who ask do not take each other for it.
    lock.is_ok_and(|(lock, _)| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
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

#[cfg(test)]
mod tests {
    use vitral_data::Skipped;

    use super::*;

    #[test]
    fn an_image_whose_line_is_forgotten_is_named_again() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"(data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])))"#;
        let experiment = vitral_config::Document::new("test", text).parse().unwrap();
        let mut run = RunFolder::create(&folder.path().join("run"), &experiment).unwrap();
        let leave_out = |run: &mut RunFolder, step: u64, name: &str| {
            let image = Skipped { name: name.into(), reason: "it is empty".into() };
            run.note(&Event::Skipped { step, image }, step - 1).unwrap();
        };
        leave_out(&mut run, 2, "before.png");
        leave_out(&mut run, 5, "after.png");
        run.forget_after(3).unwrap();
        leave_out(&mut run, 6, "before.png");
        leave_out(&mut run, 6, "after.png");
        let metrics = fs::read_to_string(run.path().join(METRICS)).unwrap();
        let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let named: Vec<_> =
            lines.map(|line| (line["step"].clone(), line["image"].clone())).collect();
        assert_eq!(named, [(2.into(), "before.png".into()), (6.into(), "after.png".into())]);
    }
}
