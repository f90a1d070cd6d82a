//! How a run begins: from an experiment, or from a checkpoint.

use vitral_bundle::Lock;
use vitral_data::ClassList;
use vitral_model::device::Device;

use super::{
    Trainer,
    changes::{Meaning, changes, doubts, other_data},
    parts::{Fresh, Notes, Parts, Start},
};
use crate::{
    Error,
    checkpoint::{Checkpoint, CheckpointError, State, begin_branch, run_of},
    error::AtPath,
    experiment::Experiment,
    plugins::Registry,
    ranks::Ranks,
    run_folder::RunFolder,
    teacher,
};

impl Trainer {
    /// A new run in the experiment's `output` folder.
    ///
    /// # Errors
    /// The experiment's fields do not go together, the data cannot be opened, or the folder holds
    /// a run already.
    pub fn new(
        experiment: Experiment,
        registry: &Registry,
        device: &Device,
    ) -> Result<Self, Error> {
        Self::new_among(&Ranks::default(), experiment, registry, device)
    }

    /// The same as one of several ranks, all of which make it; the first one writes.
    ///
    /// # Errors
    /// As [`Trainer::new`]; a rank cannot start, or has not the same as the first; or the ranks cannot share a
    /// step equally.
    pub fn new_among(
        ranks: &Ranks,
        experiment: Experiment,
        registry: &Registry,
        device: &Device,
    ) -> Result<Self, Error> {
        let opened = Self::open_new(ranks, experiment, registry, device);
        let (mut parts, lock, state, mut notes) = ranks.all_succeed(opened)?;
        parts.check_same(&lock, &state)?;
        notes.extend(parts.connect()?.map(|note| ("ranks", note)));
        let folder = || {
            let folder = RunFolder::create(&parts.experiment.output, &parts.experiment)?;
            folder.write_lock(&lock)?;
            parts.files(folder)
        };
        let files = ranks.all_succeed(ranks.is_first().then(folder).transpose())?;
        Ok(parts.trainer(files, lock, state, notes))
    }

    /// A new run, of which nothing is written yet.
    fn open_new(
        ranks: &Ranks,
        experiment: Experiment,
        registry: &Registry,
        device: &Device,
    ) -> Result<(Parts, Lock, State, Notes), Error> {
        let Fresh { parts, class_names, teacher, notes } =
            Fresh::open(ranks, experiment, registry, device)?;
        let doubts = doubts(&parts.meaning()).into_iter().map(|doubt| ("train", doubt));
        let notes: Vec<_> = doubts.chain(notes).collect();
        let data = Some(parts.datasets.fingerprints());
        let state = State { class_names, data, teacher, ..State::default() };
        Ok((parts, registry.lock(), state, notes))
    }

    /// Goes on from a checkpoint, in the folder of its run.
    ///
    /// Unless the checkpoint's experiment was changed, the run ends with the very weights that it
    /// would have had without the interruption (on the CPU, bit for bit).
    ///
    /// # Errors
    /// The checkpoint does not fit its experiment or the data, or its run goes on elsewhere.
    pub fn resume(
        checkpoint: Checkpoint,
        registry: &Registry,
        device: &Device,
    ) -> Result<Self, Error> {
        Self::resume_among(&Ranks::default(), checkpoint, registry, device)
    }

    /// The same as one of several ranks, as [`Trainer::new_among`]. How many there were before does not matter.
    ///
    /// # Errors
    /// As [`Trainer::resume`] and [`Trainer::new_among`].
    pub fn resume_among(
        ranks: &Ranks,
        checkpoint: Checkpoint,
        registry: &Registry,
        device: &Device,
    ) -> Result<Self, Error> {
        let (path, branch) = (checkpoint.path.clone(), checkpoint.branch.clone());
        let opened = Self::open_resumed(ranks, checkpoint, registry, device);
        let (mut parts, lock, state, Resumed { mut notes, taught }) = ranks.all_succeed(opened)?;
        parts.check_same(&lock, &state)?;
        notes.extend(parts.connect()?.map(|note| ("ranks", note)));
        let folder = || {
            let run = run_of(&path).at(&path)?;
            let branched = branch.as_ref().map(|_| {
                format!(
                    "a run of its own from {} on; the one in {} stays as it is",
                    path.display(),
                    run.display()
                )
            });
            let (step, best) = (state.step, state.best.map(|(_, step)| step));
            let run = match &branch {
                Some(branch) => {
                    begin_branch(&path, best, branch)?;
                    branch.clone()
                }
                None => run,
            };
            let mut files = parts.files(RunFolder::reopen(&run)?)?;
            // Checkpoints before metrics: should this be interrupted, whatever is the newest then has its own.
            files.checkpoints.rewind(step, best)?;
            let set_aside = files.folder.forget_after(step)?;
            files.folder.write_config(&state.begun(&parts.experiment))?;
            Ok((files, set_aside.into_iter().chain(branched)))
        };
        let files = ranks.all_succeed(ranks.is_first().then(folder).transpose())?;
        let files = files.map(|(files, told)| {
            notes.extend(told.map(|note| ("resume", note)));
            files
        });
        notes.extend(taught);
        Ok(parts.trainer(files, lock, state, notes))
    }

    /// A run that goes on, of which nothing is written yet.
    fn open_resumed(
        ranks: &Ranks,
        checkpoint: Checkpoint,
        registry: &Registry,
        device: &Device,
    ) -> Result<(Parts, Lock, State, Resumed), Error> {
        checkpoint.check_resumable()?;
        registry.go_on_with(&checkpoint.lock);
        let resume =
            |experiment: &Experiment| checkpoint.programs.clone().resume(experiment, registry);
        let experiment = checkpoint.experiment.clone();
        let start = Start::At(&checkpoint);
        let mut parts = Parts::open(ranks, experiment, registry, device, start, resume)?;
        let place = checkpoint.place(parts.images());
        let before = Meaning::of(&checkpoint.written, place, checkpoint.state.step);
        let changes = changes(&before, &parts.meaning()).map_err(Error::Experiment)?;
        let Checkpoint { path, mut state, tensors, monitors, lock, written, notes, .. } =
            checkpoint;
        let lock = registry.relock(&lock)?;
        let restored = parts.monitors.restore(&written.monitors, &monitors)?;
        let average = match (&tensors.ema, parts.experiment.train.ema) {
            (None, Some(_)) => Some("the moving average starts with the weights as they are"),
            (Some(_), None) => Some("the moving average of the weights is dropped"),
            _ => None,
        };
        let average = average.map(str::to_owned);
        let mismatch = |problem: String| CheckpointError::Mismatch { path: path.clone(), problem };
        parts.datasets = parts.datasets.in_order_of(&ClassList {
            owner: "the run",
            names: state.class_names.clone(),
            numbered: false,
        })?;
        let data = parts.datasets.fingerprints();
        let others = state.data.replace(data).map(|before| {
            let experiments = [&written, &parts.experiment].map(|experiment| &experiment.data);
            other_data(&before, &data, experiments)
        });
        let (teacher, taught) = parts.teach(&state.class_names)?;
        parts.weigh()?;
        let [before, now] = [&written.train, &parts.experiment.train];
        let other_teacher =
            teacher::change(before, state.teacher.as_deref(), now, teacher.as_deref())?;
        state.teacher = teacher;
        parts.learner.import(&tensors, device).map_err(mismatch)?;
        parts.learner.restore_scale(state.loss_scale, state.skipped_steps);
        let notes = notes.into_iter().chain(changes).chain(others.into_iter().flatten());
        let notes = notes.chain(restored).chain(average).chain(other_teacher.clone());
        let notes = notes.map(|note| ("resume", note)).collect();
        // As at the start, where it is another one.
        let taught = taught.into_iter().filter(|_| other_teacher.is_some());
        let taught = taught.map(|note| ("teacher", note)).collect();
        Ok((parts, lock, state, Resumed { notes, taught }))
    }
}

/// What is to be told of a run that goes on, before and after what becomes of its files.
struct Resumed {
    notes: Notes,
    taught: Notes,
}
