//! Checkpoints: a folder `step-<n>` each, that appears whole or not at all.
//!
//! | file | content |
//! |---|---|
//! | `model.safetensors` | the weights, by timm's names |
//! | `ema.safetensors` | their moving average, if the run keeps one |
//! | `optimizer.safetensors` | the optimizer's averages, `<slot>/<parameter>`, if it keeps any |
//! | `importance.safetensors` | what heads and hidden neurons matter, if the run prunes by it |
//! | `state.ron` | step, place in the data, best score, loss scale, counters, the micro-batch of `batch: Auto` |
//! | `config.ron` | the resolved experiment |
//! | `attention-<layer>.program.ron` | the program of a layer whose attention is a plugin's |
//! | `batch-<n>.program.ron` | the program of a batch augmentation |
//! | `monitor-<n>.state` | what a monitor needs to go on |
//! | `plugins.lock.ron` | which plugins the run uses, by content |
//! | `SHA256SUMS` | checksums of the others, as `sha256sum -c` reads them |
//!
//! Random generators need no file: all follow from the seed in the experiment and the step, and the
//! order of the images from the seed and the place.

mod branch;
mod checksum;
mod error;
mod expected;
mod manager;
mod moved;
mod names;
mod plugins;
mod state;
mod tensors;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub(crate) use branch::begin as begin_branch;
pub(crate) use checksum::hex;
pub use error::CheckpointError;
pub(crate) use expected::average_name;
pub(crate) use manager::{CheckpointManager, clear_away};
pub use manager::{find, newest};
pub use state::State;
pub(crate) use tensors::{
    NamedTensor, Tensors, averages_to_device, check_finite, compare_model, to_device,
};

use vitral_bundle::Lock;
use vitral_files::{Access, Kind, NewFolder, OpenFolder};
use vitral_interchange::{Array, Pretrained};

use self::{
    checksum::Listed,
    expected::Shapes,
    names::{CONFIG, EMA, FORMAT, IMPORTANCE, MODEL, OPTIMIZER, STATE},
};
use crate::{experiment::Experiment, place::Place, plugins::Programs, prune::Importance};

/// A checkpoint in memory.
pub struct Checkpoint {
    /// Its folder, `<run>/checkpoints/step-<n>`.
    pub path: PathBuf,
    /// What the run was; may be changed before going on.
    pub experiment: Experiment,
    /// The same as it was written.
    pub(crate) written: Experiment,
    /// Where it was.
    pub state: State,
    /// What the plugins of the run became.
    pub programs: Programs,
    pub(crate) tensors: Tensors,
    /// The states of the monitors, in the order of the experiment as it was written.
    pub(crate) monitors: Vec<Vec<u8>>,
    pub(crate) lock: Lock,
    /// What is to be known of how it was read, in sentences.
    pub notes: Vec<String>,
    /// The folder of a new run that goes on from here, in place of its own.
    pub branch: Option<PathBuf>,
}

impl Checkpoint {
    /// Reads a checkpoint, of which every file must be what its checksum says, every tensor one that its
    /// experiment has, and every value one that a run can have.
    ///
    /// # Errors
    /// It is no folder, damaged, too new, not of the model that its experiment describes, or cannot be read.
    /// The error offers the newest whole one before it.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        if path.symlink_metadata().is_err() {
            return Err(CheckpointError::NotFound(path.into()));
        }
        let mut checkpoint = Self::read(path).map_err(|error| match manager::step_of(path) {
            Some(_) => {
                let before = manager::newest_whole_before(path);
                CheckpointError::Unusable { error: Box::new(error), before }
            }
            // A model alone.
            None => error,
        })?;
        let written = checkpoint.state.folder.as_deref();
        checkpoint.notes.extend(written.and_then(|written| manager::doubt(path, written)));
        Ok(checkpoint)
    }

    fn read(path: &Path) -> Result<Self, CheckpointError> {
        let damaged = |problem: String| CheckpointError::Damaged { path: path.into(), problem };
        if !path.is_dir() {
            return Err(damaged("it is neither a folder nor a link to one".into()));
        }
        let mut folder = Listed::open(path).map_err(damaged)?;
        let state = listed_state(&mut folder).map_err(damaged)?;
        if state.format > FORMAT {
            return Err(CheckpointError::TooNew { path: path.into(), found: state.format });
        }
        state.check(path).map_err(damaged)?;
        let config_text = folder.read_text(CONFIG, Kind::CONFIGURATION).map_err(damaged)?;
        let mut experiment: Experiment =
            vitral_config::Document::new(path.join(CONFIG).display().to_string(), config_text)
                .parse()
                .map_err(|error| damaged(error.to_string()))?;
        let (named, classes) = (state.class_names.len(), experiment.model.classes);
        if named > classes {
            return Err(damaged(format!(
                "{STATE} names {named} classes, and the model has {classes}"
            )));
        }
        // What it says of itself may be wrong in a way that nothing can be computed from.
        experiment.model.check().map_err(|problem| CheckpointError::Mismatch {
            path: path.into(),
            problem: problem.to_string(),
        })?;
        let (programs, monitors, lock) =
            plugins::read(&mut folder, &experiment).map_err(damaged)?;
        let tensors = read_tensors(&mut folder, &experiment, &programs).map_err(damaged)?;
        check_average(&experiment, &state, &tensors).map_err(damaged)?;
        check_importance(&experiment, &state, &tensors).map_err(damaged)?;
        folder.finish().map_err(damaged)?;
        let notes = match &state.folder {
            Some(written) => {
                let now = run_of(path).map_err(|source| io_error(path, source))?;
                moved::follow(&mut experiment, written, &now)
            }
            None => Vec::new(),
        };
        Ok(Self {
            path: path.into(),
            programs,
            monitors,
            lock,
            notes,
            branch: None,
            written: experiment.clone(),
            experiment,
            state,
            tensors,
        })
    }

    /// A model with nothing to go on with: imported, or to be exported.
    pub fn of_model(experiment: Experiment, model: Pretrained) -> Self {
        let tensor = |(name, Array { shape, values })| NamedTensor { name, shape, values };
        Self {
            path: PathBuf::new(),
            written: experiment.clone(),
            experiment,
            state: State { class_names: model.class_names, ..State::default() },
            programs: Programs::default(),
            tensors: Tensors {
                model: model.tensors.into_iter().map(tensor).collect(),
                ema: None,
                optimizer: Vec::new(),
                importance: None,
            },
            monitors: Vec::new(),
            lock: Lock::default(),
            notes: Vec::new(),
            branch: None,
        }
    }

    /// Where the run is in its data, which is `images` now; a checkpoint that does not say was never
    /// resumed with another batch, or its steps meant what they do now.
    pub(crate) fn place(&self, images: usize) -> Place {
        let batch = self.written.train.batch.effective();
        self.state.place.unwrap_or(Place { batch, images, batches: self.state.step })
    }

    /// Whether there is a run to go on with.
    ///
    /// # Errors
    /// It is a model alone.
    pub(crate) fn check_resumable(&self) -> Result<(), CheckpointError> {
        let keeps_averages = self.experiment.train.optimizer.fewest_slots() > 0;
        if self.tensors.optimizer.is_empty() && keeps_averages {
            return Err(CheckpointError::Mismatch {
                path: self.path.clone(),
                problem: "it is only a model, without a run to resume; start a run from it with \
                          `train --init`"
                    .into(),
            });
        }
        Ok(())
    }

    /// Writes the model alone, the moving average where there is one, into a folder that must not be
    /// there yet and appears whole or not at all.
    ///
    /// # Errors
    /// The folder is there, or cannot be written.
    pub fn write_model(mut self, folder: &Path) -> Result<(), CheckpointError> {
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |source| CheckpointError::Io { path, source }
        };
        self.tensors.model = self.tensors.ema.take().unwrap_or(self.tensors.model);
        self.tensors.optimizer.clear();
        self.tensors.importance = None;
        (self.state.place, self.state.folder, self.state.begun_with) = (None, None, None);
        self.monitors.clear();
        self.experiment.monitors.clear();
        let parent = match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        vitral_files::check_place(folder).map_err(at(folder))?;
        fs::create_dir_all(parent).map_err(at(parent))?;
        self.write_whole(folder, NewFolder::create(folder)).map(drop)
    }

    /// Writes all files into a new folder, which is then moved to its place and opened there; if
    /// that fails, nothing is left of it, as it may be that the disk is full.
    fn write_whole(
        &self,
        place: &Path,
        folder: io::Result<NewFolder>,
    ) -> Result<OpenFolder, CheckpointError> {
        let folder = folder.map_err(|source| io_error(place, source))?;
        self.write(&folder, place)?;
        folder.finish().map_err(|source| io_error(place, source))
    }

    /// Writes all files into an empty folder that is going to be at `place`, checksums last.
    fn write(&self, folder: &NewFolder, place: &Path) -> Result<(), CheckpointError> {
        let config = self.experiment.to_ron().map_err(io::Error::other);
        let state = State { format: FORMAT, ..self.state.clone() };
        let state = ron::ser::to_string_pretty(&state, ron::ser::PrettyConfig::default())
            .map_err(io::Error::other);
        let at = |name: &str| {
            let path = place.join(name);
            move |source| CheckpointError::Io { path, source }
        };
        let mut sums = checksum::Sums::default();
        let mut put_tensors = |name: &str, tensors: &[NamedTensor]| {
            let written = sums.add_file(folder, name, |file| tensors::write(file, tensors));
            written.map_err(at(name))
        };
        put_tensors(MODEL, &self.tensors.model)?;
        if let Some(ema) = &self.tensors.ema {
            put_tensors(EMA, ema)?;
        }
        if !self.tensors.optimizer.is_empty() {
            put_tensors(OPTIMIZER, &self.tensors.optimizer)?;
        }
        if let Some(importance) = &self.tensors.importance {
            put_tensors(IMPORTANCE, importance)?;
        }
        let mut put = |name: &str, content: io::Result<Vec<u8>>, kind: Kind| {
            let content = content.and_then(|content| within(kind, content)).map_err(at(name))?;
            sums.add(name, &content);
            folder.write_new(name, &content, Access::Usual).map_err(at(name))
        };
        for (name, kind, content) in plugins::files(self) {
            put(&name, Ok(content), kind)?;
        }
        put(STATE, state.map(String::into_bytes), Kind::STATE)?;
        put(CONFIG, config.map(String::into_bytes), Kind::CONFIGURATION)?;
        sums.write(folder).map_err(at(checksum::FILE))
    }
}

/// The state of a checkpoint alone.
fn read_state(path: &Path) -> Result<State, String> {
    listed_state(&mut Listed::open(path)?)
}

fn listed_state(folder: &mut Listed) -> Result<State, String> {
    let text = folder.read_text(STATE, Kind::STATE)?;
    ron::from_str(&text).map_err(|error| format!("{STATE}: {error}"))
}

/// Content of a file that can be read again, as its kind may have so much.
fn within(kind: Kind, content: Vec<u8>) -> io::Result<Vec<u8>> {
    match content.len() as u64 <= kind.most() {
        true => Ok(content),
        false => Err(io::Error::other(format!(
            "it would have {} bytes, but {kind} can have at most {}",
            content.len(),
            kind.most()
        ))),
    }
}

/// Reads the tensors that an experiment with these programs has.
fn read_tensors(
    folder: &mut Listed,
    experiment: &Experiment,
    programs: &Programs,
) -> Result<Tensors, String> {
    let model = expected::of_model(experiment, programs);
    let averages = expected::of_optimizer(&experiment.train.optimizer, &model);
    let read = |name: &str, bytes: &[u8], expected: &Shapes| {
        tensors::read(bytes, expected).map_err(|problem| format!("{name}: {problem}"))
    };
    let weights = read(MODEL, &folder.read(MODEL, Kind::TENSORS)?, &model)?;
    let ema = folder
        .read_if_there(EMA, Kind::TENSORS)?
        .map(|bytes| read(EMA, &bytes, &model))
        .transpose()?;
    // A model that was exported or imported has none.
    let optimizer = folder.read_if_there(OPTIMIZER, Kind::TENSORS)?;
    let optimizer = optimizer.map(|bytes| read(OPTIMIZER, &bytes, &averages)).transpose()?;
    let importance = folder
        .read_if_there(IMPORTANCE, Kind::TENSORS)?
        .map(|bytes| read(IMPORTANCE, &bytes, &expected::of_importance(experiment)))
        .transpose()?;
    Ok(Tensors { model: weights, ema, optimizer: optimizer.unwrap_or_default(), importance })
}

/// Makes sure that a run has a moving average where its experiment says so, and only there.
fn check_average(experiment: &Experiment, state: &State, tensors: &Tensors) -> Result<(), String> {
    // In a model alone it has taken the place of the weights.
    let is_run = state.place.is_some() || !tensors.optimizer.is_empty();
    match (experiment.train.ema, &tensors.ema) {
        (Some(_), None) if is_run => {
            Err(format!("{EMA} is missing, but {CONFIG} has the run keep a moving average"))
        }
        (None, Some(_)) => Err(format!("{EMA} is there, but {CONFIG} has no moving average")),
        _ => Ok(()),
    }
}

/// Makes sure that what heads and neurons matter is there where a run goes by it, and only there.
fn check_importance(
    experiment: &Experiment,
    state: &State,
    tensors: &Tensors,
) -> Result<(), String> {
    let is_run = state.place.is_some() || !tensors.optimizer.is_empty();
    let prune = experiment.train.prune.filter(|prune| prune.importance == Importance::Taylor);
    match (prune, &tensors.importance) {
        (Some(_), None) if is_run => {
            Err(format!("{IMPORTANCE} is missing, but {CONFIG} has the run prune by it"))
        }
        (None, Some(_)) => Err(format!("{IMPORTANCE} is there, but {CONFIG} does not prune by it")),
        _ => Ok(()),
    }
}

fn io_error(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Io { path: path.into(), source }
}

/// The folder of the run that a checkpoint is in, `<run>/checkpoints/step-<n>`, from the root.
pub(crate) fn run_of(checkpoint: &Path) -> io::Result<PathBuf> {
    // Also where the path starts inside of the run.
    let absolute = std::path::absolute(checkpoint)?;
    Ok(absolute.ancestors().nth(2).unwrap_or(&absolute).to_path_buf())
}
