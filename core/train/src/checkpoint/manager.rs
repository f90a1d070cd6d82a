//! Which checkpoints a run has: writing, pruning, `best` and `last`, and finding one to go on from.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use vitral_files::{Access, Existing, Kind, NewFolder, OpenFolder};

use super::{Checkpoint, CheckpointError};

pub(super) const FOLDER: &str = "checkpoints";
const PREFIX: &str = "step-";
/// Beginnings of the names of folders that are not (or no longer) checkpoints.
const WRITING: &str = ".writing-";
const REMOVING: &str = ".removing-";
const SUPERSEDED: &str = "superseded-";
const FOREIGN: &str = "foreign-";
/// So many folders are held open: a run may keep more checkpoints than a process may open files.
const MOST_OPEN: usize = 64;

/// Keeps the checkpoints of one run.
pub(crate) struct CheckpointManager {
    run: PathBuf,
    keep: usize,
    /// The folder that they are in, which stays the same whatever takes its place.
    folder: OpenFolder,
    /// The newest of the folders that this process has written or goes on from, by their steps. They are held
    /// open, so that no other folder can be taken for them.
    own: BTreeMap<u64, OpenFolder>,
}

impl CheckpointManager {
    /// Takes charge of a run's checkpoints, and clears away what a killed process left half done.
    pub(crate) fn open(run: &Path, keep: usize) -> Result<Self, CheckpointError> {
        let folder = run.join(FOLDER);
        check_own(run)?;
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        clear_away(run)?;
        let folder = OpenFolder::open(&folder).map_err(at(&folder))?;
        let manager = Self { run: run.into(), keep, folder, own: BTreeMap::new() };
        manager.check_same()?;
        Ok(manager)
    }

    /// Refuses to go on where somebody has put another folder, or a link to one, in place of the run's: it
    /// would be written to, and folders in it removed.
    fn check_same(&self) -> Result<(), CheckpointError> {
        check_own(&self.run)?;
        let folder = self.folder.path();
        match self.folder.is_in_its_place().map_err(at(folder))? {
            true => Ok(()),
            false => Err(at(folder)(io::Error::other(
                "another folder took its place during the run; put the run's folder back",
            ))),
        }
    }

    /// Writes a checkpoint, makes it `last` (and `best`), and removes those beyond the newest few. What
    /// somebody else has put in its place is set aside, and told of.
    pub(crate) fn save(
        &mut self,
        checkpoint: &Checkpoint,
        is_best: bool,
    ) -> Result<Option<String>, CheckpointError> {
        self.check_same()?;
        let (path, step) = (&checkpoint.path, checkpoint.state.step);
        let mut told = None;
        // After resuming, the same step may come once more; a whole checkpoint of it is the same.
        if !(self.has(step)? && Checkpoint::read(path).is_ok()) {
            told = self.clear_place(step)?;
            let folder = NewFolder::create_in(&self.folder, &name_of(step));
            self.own.insert(step, checkpoint.write_whole(path, folder)?);
            if self.own.len() > MOST_OPEN {
                self.own.pop_first();
            }
        }
        self.point("last", step)?;
        if is_best {
            self.point("best", step)?;
        }
        self.prune(step)?;
        Ok(told)
    }

    /// Whether this run has a checkpoint of a step: what somebody else has put there is none.
    pub(crate) fn has(&self, step: u64) -> Result<bool, CheckpointError> {
        let own = self.own.get(&step).map(|own| self.folder.holds(name_of(step), own));
        own.unwrap_or(Ok(false)).map_err(at(&self.path_of(step)))
    }

    /// The newest checkpoint that this run has, by which it can go back.
    pub(crate) fn newest(&self) -> Option<PathBuf> {
        // What the system says nothing of cannot be read either.
        let is_there = |step: &&u64| self.has(**step).unwrap_or(false);
        self.own.keys().rev().find(is_there).map(|step| self.path_of(*step))
    }

    /// Makes room for the checkpoint of a step: what is this run's goes, and what is not is set aside.
    fn clear_place(&mut self, step: u64) -> Result<Option<String>, CheckpointError> {
        let path = self.path_of(step);
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        if self.has(step)? {
            self.remove(step)?;
            return Ok(None);
        }
        let aside = self.set_aside(&name_of(step), FOREIGN)?;
        Ok(Some(format!(
            "something at {} was not written by this run; it was set aside as {}",
            path.display(),
            aside.display()
        )))
    }

    /// The folder of a step's checkpoint, written or not.
    pub(crate) fn path_of(&self, step: u64) -> PathBuf {
        self.run.join(FOLDER).join(name_of(step))
    }

    /// Goes back to a step, whose checkpoint was read: checkpoints after it are set aside as
    /// `superseded-step-...`, and `best` is again what it was then.
    pub(crate) fn rewind(&mut self, step: u64, best: Option<u64>) -> Result<(), CheckpointError> {
        self.check_same()?;
        // The last one first, so that those before it are the run's at any time.
        let later = list(&self.run).into_iter().filter_map(|path| step_of(&path));
        for later in later.rev().take_while(|later| *later > step) {
            self.set_aside(&name_of(later), SUPERSEDED)?;
            self.own.remove(&later);
        }
        // A link, or what cannot be opened, is not the run's.
        let own = self.folder.open_folder(name_of(step)).ok();
        self.own.extend(own.map(|own| (step, own)));
        self.point("last", step)?;
        best.map_or(Ok(()), |best| self.point("best", best))
    }

    /// Gives something a name by which it is no checkpoint, in place of what has that name.
    fn set_aside(&self, name: &str, prefix: &str) -> Result<PathBuf, CheckpointError> {
        let aside = format!("{prefix}{name}");
        let path = self.run.join(FOLDER).join(&aside);
        if path.symlink_metadata().is_ok() {
            self.folder.remove(&aside).map_err(at(&path))?;
        }
        let from = self.run.join(FOLDER).join(name);
        self.folder.rename(name, &aside).map_err(at(&from))?;
        Ok(path)
    }

    /// Makes `best` or `last` name the checkpoint of a step.
    fn point(&self, pointer: &str, step: u64) -> Result<(), CheckpointError> {
        let pointer = self.run.join(pointer);
        let content = format!("{FOLDER}/{}\n", name_of(step));
        let written =
            vitral_files::write(&pointer, content.as_bytes(), Existing::Replace, Access::Usual);
        written.map_err(at(&pointer))
    }

    /// Removes what is beyond the newest few of a run that has made so many steps. Those of later steps are
    /// not its own, and count for nothing.
    fn prune(&mut self, step: u64) -> Result<(), CheckpointError> {
        let best = read_pointer(&self.run.join("best"));
        let mut checkpoints = list(&self.run);
        checkpoints.retain(|path| step_of(path) <= Some(step));
        let surplus = checkpoints.len().saturating_sub(self.keep);
        for path in &checkpoints[..surplus] {
            if best.as_deref() != Some(path) {
                step_of(path).map_or(Ok(()), |step| self.remove(step))?;
            }
        }
        Ok(())
    }

    /// Removes a checkpoint: it is renamed first, so that a kill in between leaves no half of it.
    fn remove(&mut self, step: u64) -> Result<(), CheckpointError> {
        let removing = self.set_aside(&name_of(step), REMOVING)?;
        self.own.remove(&step);
        self.folder.remove(format!("{REMOVING}{}", name_of(step))).map_err(at(&removing))
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
            "it is not a folder, but a link or a file: a run has its checkpoints in its own folder; move them there",
        ))),
        _ => Ok(()),
    }
}

/// The newest checkpoint of a run, whole or not; not even a folder, maybe.
pub fn newest(run: &Path) -> Option<PathBuf> {
    list(run).pop()
}

/// The checkpoint that a path means: a folder `step-...` itself, a run's `best` or `last`, or a
/// run's folder, which means its newest. Whether it is whole, [`Checkpoint::load`] says.
///
/// # Errors
/// There is none.
pub fn find(path: &Path) -> Result<PathBuf, CheckpointError> {
    let found = if path.is_file() {
        read_pointer(path)
    } else if path.join(super::names::STATE).exists() || is_checkpoint_name(path) {
        Some(path.to_path_buf())
    } else {
        newest(path)
    };
    let is_there = |path: &PathBuf| path.symlink_metadata().is_ok();
    found.filter(is_there).ok_or_else(|| CheckpointError::NotFound(path.into()))
}

/// The newest whole checkpoint of a run before one of its checkpoints.
pub(super) fn newest_whole_before(path: &Path) -> Option<PathBuf> {
    older(path).find(|other| Checkpoint::read(other).is_ok())
}

/// What is said of a checkpoint that was written in the folder of a run elsewhere, where one before it was
/// written in this one: a run that was moved has none such, but a folder that somebody has put there may.
pub(super) fn doubt(path: &Path, written: &Path) -> Option<String> {
    let same = |one: &Path, other: &Path| {
        one == other
            || matches!((one.canonicalize(), other.canonicalize()), (Ok(a), Ok(b)) if a == b)
    };
    let here = super::run_of(path).ok().filter(|here| !same(here, written))?;
    let is_from_here = |other: &PathBuf| {
        let folder = super::read_state(other).ok().and_then(|state| state.folder);
        folder.is_some_and(|folder| same(&folder, &here))
    };
    let own = older(path).find(is_from_here)?;
    Some(format!(
        "{} was written in the run {}, and those before it in this one: if it is not of this run, use {}",
        path.display(),
        written.display(),
        own.display()
    ))
}

/// The checkpoints of a run before one of them, newest first.
fn older(path: &Path) -> impl Iterator<Item = PathBuf> {
    let run = path.parent().and_then(Path::parent);
    let own = step_of(path);
    let all = run.map(list).unwrap_or_default().into_iter().rev();
    all.filter(move |other| step_of(other) < own)
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

/// The step of a checkpoint by its folder's name, which is written in one way only.
pub(super) fn step_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let step = name.strip_prefix(PREFIX)?.parse().ok()?;
    (name_of(step) == name).then_some(step)
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
        checkpoint::Tensors,
        checkpoint::{NamedTensor, State},
        experiment::Experiment,
    };

    /// A checkpoint that can be written.
    fn whole(path: PathBuf) -> Checkpoint {
        let mut checkpoint = failing(path);
        checkpoint.tensors.optimizer.clear();
        checkpoint
    }

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
                importance: None,
            },
            monitors: Vec::new(),
            lock: Default::default(),
            notes: Vec::new(),
            branch: None,
        }
    }

    #[test]
    fn nothing_is_left_of_a_checkpoint_that_cannot_be_written() {
        let run = tempfile::TempDir::new().unwrap();
        let mut manager = CheckpointManager::open(run.path(), 3).unwrap();
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

    #[cfg(unix)]
    #[test]
    fn a_folder_that_takes_the_place_of_the_runs_is_not_written_to() {
        let root = tempfile::TempDir::new().unwrap();
        let (run, other) = (root.path().join("run"), root.path().join("other"));
        fs::create_dir_all(other.join("step-00000001")).unwrap();
        fs::create_dir(&run).unwrap();
        let mut manager = CheckpointManager::open(&run, 1).unwrap();
        let folder = run.join(FOLDER);
        fs::rename(&folder, root.path().join("aside")).unwrap();
        std::os::unix::fs::symlink(&other, &folder).unwrap();
        let mut refused = || {
            let saved = manager.save(&failing(manager.path_of(7)), true).unwrap_err();
            [saved, manager.rewind(0, None).unwrap_err()].map(|error| error.to_string())
        };
        for said in refused() {
            assert!(said.contains("it is not a folder, but a link"), "{said}");
        }
        fs::remove_file(&folder).unwrap();
        fs::rename(&other, &folder).unwrap();
        for said in refused() {
            assert!(said.contains("another folder took its place"), "{said}");
        }
        assert!(folder.join("step-00000001").exists());
        fs::rename(&folder, &other).unwrap();
        fs::rename(root.path().join("aside"), &folder).unwrap();
        manager.rewind(0, None).unwrap();
    }

    /// That a whole one of the run's stays, runs that go on show.
    #[cfg(unix)]
    #[test]
    fn what_somebody_else_has_put_in_a_steps_place_is_set_aside_and_told() {
        let (run, other) = (tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap());
        let mut manager = CheckpointManager::open(run.path(), 3).unwrap();
        let path = manager.path_of(0);
        let planted = |name: &str| {
            let place = other.path().join(name);
            fs::create_dir(&place).unwrap();
            fs::write(place.join("file"), "").unwrap();
            place
        };
        let mut save_over = |place: &dyn Fn()| {
            place();
            assert!(!manager.has(0).unwrap() && manager.newest().is_none(), "it is another's");
            let told = manager.save(&whole(path.clone()), false).unwrap().unwrap();
            assert!(told.contains("was not written by this run"), "{told}");
            assert!(manager.has(0).unwrap() && !path.join("file").exists());
            assert_eq!(manager.newest().as_ref(), Some(&path));
        };
        save_over(&|| fs::rename(planted("before"), &path).unwrap());
        assert!(path.with_file_name("foreign-step-00000000").join("file").exists());
        // In the place of one that was written.
        save_over(&|| {
            fs::remove_dir_all(&path).unwrap();
            fs::rename(planted("after"), &path).unwrap();
        });
        save_over(&|| {
            fs::remove_dir_all(&path).unwrap();
            std::os::unix::fs::symlink(planted("linked"), &path).unwrap();
        });
        assert!(other.path().join("linked/file").exists());
        assert_eq!(manager.save(&whole(path.clone()), false).unwrap(), None, "it is the run's");
    }

    #[test]
    fn what_is_called_a_later_checkpoint_is_not_the_runs() {
        let run = tempfile::TempDir::new().unwrap();
        let mut manager = CheckpointManager::open(run.path(), 2).unwrap();
        for step in [1, 2, 3, 98, 99] {
            fs::create_dir(manager.path_of(step)).unwrap();
        }
        for name in ["step-7", "step-+0000007", "step-000000007", "step-x"] {
            fs::create_dir(run.path().join(FOLDER).join(name)).unwrap();
        }
        assert_eq!(manager.newest(), None, "it has written none of them");
        manager.rewind(99, None).unwrap();
        assert_eq!(manager.newest(), Some(manager.path_of(99)));
        manager.prune(3).unwrap();
        let left = [2, 3, 98, 99].map(|step| manager.path_of(step));
        assert_eq!(list(run.path()), left);
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
