//! Which checkpoints a run has: writing, pruning, `best` and `last`, and finding one to go on from.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use vitral_files::{Access, Existing, Kind};

use super::{Checkpoint, CheckpointError};

const FOLDER: &str = "checkpoints";
const PREFIX: &str = "step-";
/// Beginnings of the names of folders that are not (or no longer) checkpoints.
const WRITING: &str = ".writing-";
const REMOVING: &str = ".removing-";
const SUPERSEDED: &str = "superseded-";

/// Keeps the checkpoints of one run.
pub(crate) struct CheckpointManager {
    run: PathBuf,
    keep: usize,
}

impl CheckpointManager {
    /// Takes charge of a run's checkpoints, and clears away what a killed process left half done.
    pub(crate) fn open(run: &Path, keep: usize) -> Result<Self, CheckpointError> {
        let folder = run.join(FOLDER);
        check_own(run)?;
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        clear_away(run)?;
        Ok(Self { run: run.into(), keep })
    }

    /// Writes a checkpoint, makes it `last` (and `best`), and removes those beyond the newest few.
    pub(crate) fn save(
        &self,
        checkpoint: &Checkpoint,
        is_best: bool,
    ) -> Result<(), CheckpointError> {
        let path = &checkpoint.path;
        // After resuming, the same step may come once more; a whole checkpoint of it is the same.
        if path.symlink_metadata().is_err() || Checkpoint::read(path).is_err() {
            if path.symlink_metadata().is_ok() {
                self.remove(path)?;
            }
            checkpoint.write_whole(path)?;
        }
        self.point("last", checkpoint.state.step)?;
        if is_best {
            self.point("best", checkpoint.state.step)?;
        }
        self.prune()
    }

    /// The folder of a step's checkpoint, written or not.
    pub(crate) fn path_of(&self, step: u64) -> PathBuf {
        self.run.join(FOLDER).join(name_of(step))
    }

    /// Goes back to a step: checkpoints after it are set aside as `superseded-step-...`, and `best`
    /// is again what it was then.
    pub(crate) fn rewind(&self, step: u64, best: Option<u64>) -> Result<(), CheckpointError> {
        // The last one first, so that those before it are the run's at any time.
        let later = list(&self.run).into_iter().filter(|path| step_of(path) > Some(step));
        for path in later.rev() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let aside = path.with_file_name(format!("{SUPERSEDED}{name}"));
            if aside.symlink_metadata().is_ok() {
                vitral_files::remove(&aside).map_err(at(&aside))?;
            }
            fs::rename(&path, &aside).map_err(at(&path))?;
        }
        self.point("last", step)?;
        best.map_or(Ok(()), |best| self.point("best", best))
    }

    /// Makes `best` or `last` name the checkpoint of a step.
    fn point(&self, pointer: &str, step: u64) -> Result<(), CheckpointError> {
        let pointer = self.run.join(pointer);
        let content = format!("{FOLDER}/{}\n", name_of(step));
        let written =
            vitral_files::write(&pointer, content.as_bytes(), Existing::Replace, Access::Usual);
        written.map_err(at(&pointer))
    }

    fn prune(&self) -> Result<(), CheckpointError> {
        let best = read_pointer(&self.run.join("best"));
        let checkpoints = list(&self.run);
        let surplus = checkpoints.len().saturating_sub(self.keep);
        for path in &checkpoints[..surplus] {
            if best.as_deref() != Some(path) {
                self.remove(path)?;
            }
        }
        Ok(())
    }

    /// Removes a checkpoint: it is renamed first, so that a kill in between leaves no half of it.
    fn remove(&self, path: &Path) -> Result<(), CheckpointError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let removing = path.with_file_name(format!("{REMOVING}{name}"));
        if removing.symlink_metadata().is_ok() {
            vitral_files::remove(&removing).map_err(at(&removing))?;
        }
        fs::rename(path, &removing).map_err(at(path))?;
        vitral_files::remove(&removing).map_err(at(&removing))
    }
}

/// Removes what a killed process left half done of a run's checkpoints. It may fill the disk, so this
/// comes before anything is written.
pub(crate) fn clear_away(run: &Path) -> Result<(), CheckpointError> {
    check_own(run)?;
    let folder = run.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(at(&folder))?,
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(WRITING) || name.starts_with(REMOVING) {
            vitral_files::remove(&entry.path()).map_err(at(&entry.path()))?;
        }
    }
    Ok(())
}

/// Refuses a run whose checkpoints are elsewhere: whoever made its folder would have files written and
/// removed where a link leads to.
fn check_own(run: &Path) -> Result<(), CheckpointError> {
    let folder = run.join(FOLDER);
    match folder.symlink_metadata() {
        Ok(found) if !found.is_dir() => Err(at(&folder)(io::Error::other(
            "it is no folder, but a link or a file: a run has its checkpoints in its own folder; move them there",
        ))),
        _ => Ok(()),
    }
}

/// The newest checkpoint of a run, whole or not.
pub fn newest(run: &Path) -> Option<PathBuf> {
    list(run).pop()
}

/// The checkpoint that a path means: a folder `step-...` itself, a run's `best` or `last`, or a
/// run's folder, which means its newest.
///
/// # Errors
/// There is none.
pub fn find(path: &Path) -> Result<PathBuf, CheckpointError> {
    let found = if path.is_file() {
        read_pointer(path)
    } else if path.join(super::STATE).exists() || is_checkpoint_name(path) {
        Some(path.to_path_buf())
    } else {
        newest(path)
    };
    found.filter(|path| path.is_dir()).ok_or_else(|| CheckpointError::NotFound(path.into()))
}

/// The newest whole checkpoint of a run before one of its checkpoints.
pub(super) fn newest_whole_before(path: &Path) -> Option<PathBuf> {
    let run = path.parent()?.parent()?;
    let older = list(run).into_iter().filter(|other| step_of(other) < step_of(path));
    older.rev().find(|other| Checkpoint::read(other).is_ok())
}

/// A run's checkpoints, oldest first.
fn list(run: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(run.join(FOLDER)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| is_checkpoint_name(path)).collect();
    paths.sort_by_key(|path| step_of(path));
    paths
}

fn is_checkpoint_name(path: &Path) -> bool {
    step_of(path).is_some()
}

pub(super) fn name_of(step: u64) -> String {
    format!("{PREFIX}{step:08}")
}

pub(super) fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse().ok()
}

fn read_pointer(pointer: &Path) -> Option<PathBuf> {
    // A file that is longer than a name is something else.
    let name = vitral_files::read_text(pointer, Kind::POINTER).ok()?;
    Some(pointer.parent()?.join(name.trim()))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError + use<> {
    let path = path.to_path_buf();
    move |source| CheckpointError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checkpoint::{NamedTensor, State},
        experiment::Experiment,
        learner::Tensors,
    };

    /// A checkpoint whose second file cannot be written.
    fn failing(path: PathBuf) -> Checkpoint {
        let text = r#"(data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])))"#;
        let experiment: Experiment = vitral_config::Document::new("test", text).parse().unwrap();
        let tensor = |values: Vec<f32>| NamedTensor { name: "a".into(), shape: vec![2], values };
        Checkpoint {
            path,
            written: experiment.clone(),
            experiment,
            state: State::default(),
            programs: Default::default(),
            tensors: Tensors {
                model: vec![tensor(vec![1.0, 2.0])],
                ema: None,
                optimizer: vec![tensor(vec![1.0])],
            },
            monitors: Vec::new(),
            lock: Default::default(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn nothing_is_left_of_a_checkpoint_that_cannot_be_written() {
        let run = tempfile::TempDir::new().unwrap();
        let manager = CheckpointManager::open(run.path(), 3).unwrap();
        let failed = manager.save(&failing(manager.path_of(7)), true);
        assert!(matches!(failed, Err(CheckpointError::Io { .. })), "{failed:?}");
        assert_eq!(fs::read_dir(run.path().join(FOLDER)).unwrap().count(), 0);
        assert!(!run.path().join("last").exists() && !run.path().join("best").exists());
        let folder = run.path().join("model");
        let mut model = failing(PathBuf::new());
        model.tensors.model[0].values.pop();
        assert!(model.write_model(&folder).is_err());
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 1, "the checkpoints' folder");
    }

    #[test]
    fn what_was_left_half_done_is_cleared_away() {
        let run = tempfile::TempDir::new().unwrap();
        clear_away(run.path()).unwrap();
        for name in [".writing-step-00000003", ".removing-step-00000001", "step-00000002"] {
            fs::create_dir_all(run.path().join(FOLDER).join(name)).unwrap();
            fs::write(run.path().join(FOLDER).join(name).join("model.safetensors"), b"").unwrap();
        }
        clear_away(run.path()).unwrap();
        let left: Vec<_> = fs::read_dir(run.path().join(FOLDER)).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].file_name(), "step-00000002");
    }
}
