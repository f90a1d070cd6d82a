//! How a run begins: from an experiment, or from a checkpoint.

use std::time::Instant;

use vitral_bundle::Lock;
use vitral_data::{ClassList, Datasets, Stage};
use vitral_model::{ConfigProblem, device::Device};
use vitral_seed::Seed;

use super::{
    Trainer,
    agreement::in_common,
    asked::Asked,
    changes::{Meaning, changes, doubts, other_data},
    files::Files,
    prune::check_prunable,
    step_times::StepTimes,
    together::Pace,
};
use crate::{
    Error,
    batch_size::MemorySize,
    checkpoint::{
        Checkpoint, CheckpointError, CheckpointManager, State, begin_branch, compare_model, run_of,
    },
    class_weights::ImageWeights,
    error::AtPath,
    experiment::Experiment,
    footprint::{self, Purpose},
    init,
    learner::Learner,
    place::Place,
    plan::Plan,
    plugins::{Monitors, Programs, Registry, open_stages},
    ranks::Ranks,
    run_folder::RunFolder,
    teacher::{self, Opened},
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
        let (parts, lock, state, notes) = ranks.all_succeed(opened)?;
        parts.check_same(&lock, &state)?;
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
        let (parts, lock, state, Resumed { mut notes, taught }) = ranks.all_succeed(opened)?;
        parts.check_same(&lock, &state)?;
        let folder = || {
            let run = run_of(&path).at(&path)?;
            let branched = branch.as_ref().map(|_| {
                format!(
                    "a run of its own from {} on; that in {} stays",
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

/// What is to be told before the first step, with who tells it.
type Notes = Vec<(&'static str, String)>;

/// What is to be told of a run that goes on, before and after what becomes of its files.
struct Resumed {
    notes: Notes,
    taught: Notes,
}

/// Where a run begins.
#[derive(Clone, Copy)]
enum Start<'a> {
    Fresh,
    At(&'a Checkpoint),
}

impl Start<'_> {
    fn step(self) -> u64 {
        match self {
            Self::Fresh => 0,
            Self::At(checkpoint) => checkpoint.state.step,
        }
    }

    /// The place in the data for batches and training images as they are now.
    fn place(self, batch: usize, images: usize) -> Place {
        match self {
            Self::Fresh => Place { batch, images, batches: 0 },
            Self::At(checkpoint) => checkpoint.place(images).with(batch, images),
        }
    }
}

/// A run without its folder.
pub(super) struct Parts {
    pub(super) experiment: Experiment,
    pub(super) datasets: Datasets,
    place: Place,
    plan: Plan,
    device: Device,
    pub(super) learner: Learner,
    programs: Programs,
    pub(super) stages: Vec<Stage>,
    monitors: Monitors,
    step: u64,
    ranks: Ranks,
}

/// What a new run begins with.
pub(super) struct Fresh {
    /// With the first weights.
    pub(super) parts: Parts,
    class_names: Vec<String>,
    /// What tells the teacher from any other.
    teacher: Option<String>,
    /// What is to be known of the weights and the teacher.
    notes: Vec<(&'static str, String)>,
}

impl Fresh {
    /// Opens everything that a new run needs.
    pub(super) fn open(
        ranks: &Ranks,
        experiment: Experiment,
        registry: &Registry,
        device: &Device,
    ) -> Result<Self, Error> {
        let trace = |experiment: &Experiment| Programs::trace(experiment, registry);
        let mut parts = Parts::open(ranks, experiment, registry, device, Start::Fresh, trace)?;
        let class_names = parts.datasets.train.class_names().to_vec();
        let notes = init::start(&parts.experiment, &class_names, &mut parts.learner, device)?;
        let notes = notes.into_iter().map(|note| ("init", note));
        let (teacher, taught) = parts.teach(&class_names)?;
        parts.weigh()?;
        let notes = notes.chain(taught.into_iter().map(|note| ("teacher", note))).collect();
        Ok(Self { parts, class_names, teacher, notes })
    }
}

impl Parts {
    /// Opens everything that an experiment names; `programs` gives those of its plugins.
    fn open(
        ranks: &Ranks,
        experiment: Experiment,
        registry: &Registry,
        device: &Device,
        start: Start<'_>,
        programs: impl FnOnce(&Experiment) -> Result<Programs, Error>,
    ) -> Result<Self, Error> {
        let (experiment, datasets) = open(experiment)?;
        ranks.check_shared(&experiment, datasets.train.len())?;
        let step = start.step();
        let place = start.place(experiment.train.batch.effective(), datasets.train.len());
        let plan = experiment.train.plan(place, step);
        check_length(&experiment, &plan)?;
        let programs = programs(&experiment)?;
        if let Start::At(Checkpoint { path, tensors, .. }) = start {
            let compared = compare_model(&tensors.model, &experiment, &programs);
            compared
                .map_err(|problem| CheckpointError::Mismatch { path: path.clone(), problem })?;
        }
        footprint::check(&experiment, &programs.attention, purpose(&experiment), device)?;
        let mut learner = learner(&experiment, &programs, &plan, device)?;
        check_prunable(&experiment, &plan, &learner, &programs, device)?;
        learner.join(ranks);
        // All have them, as the lock says; one tells them what happens, and hears what they ask for.
        let opened = Monitors::open(&experiment, registry)?;
        let monitors = if ranks.is_first() { opened } else { Monitors::default() };
        Ok(Self {
            stages: open_stages(&experiment, registry)?,
            monitors,
            learner,
            ranks: ranks.clone(),
            experiment,
            datasets,
            place,
            plan,
            device: device.clone(),
            programs,
            step,
        })
    }

    /// Has the learner learn from the experiment's teacher, if it has one; returns what tells that one from
    /// any other, and what is to be known of it.
    fn teach(&mut self, class_names: &[String]) -> Result<(Option<String>, Vec<String>), Error> {
        let opened = teacher::open(&self.experiment, class_names, &self.device)?;
        Ok(opened.map_or_else(Default::default, |Opened { teacher, fingerprint, notes }| {
            self.learner.set_teacher(teacher);
            (Some(fingerprint), notes)
        }))
    }

    /// Has images count in the loss by their class, where the experiment says so.
    fn weigh(&mut self) -> Result<(), Error> {
        let weights = ImageWeights::open(&self.experiment, &*self.datasets.train, &self.device)?;
        self.learner.set_class_weights(weights);
        Ok(())
    }

    fn images(&self) -> usize {
        self.datasets.train.len()
    }

    /// What the run's next step means.
    fn meaning(&self) -> Meaning<'_> {
        Meaning::of(&self.experiment, self.place, self.step)
    }

    /// Takes charge of the run's folder.
    fn files(&self, folder: RunFolder) -> Result<Files, Error> {
        let keep = self.experiment.checkpoints.keep;
        Ok(Files { checkpoints: CheckpointManager::open(folder.path(), keep)?, folder })
    }

    /// Makes sure that all ranks are about to train one model in one way.
    fn check_same(&self, lock: &Lock, state: &State) -> Result<(), Error> {
        if self.ranks.size() == 1 {
            return Ok(());
        }
        let data = self.datasets.fingerprints();
        let things = in_common(&self.experiment, lock, &data, state, &self.learner)?;
        self.ranks.check_same(&things)
    }

    fn trainer(self, files: Option<Files>, lock: Lock, state: State, notes: Notes) -> Trainer {
        let mut all: Notes = one_class(&state.class_names).into_iter().collect();
        all.extend(self.of_optimizer());
        all.extend(notes);
        Trainer {
            experiment: self.experiment,
            files,
            ranks: self.ranks,
            pace: Pace::default(),
            step_times: StepTimes::default(),
            wants_layers: false,
            datasets: self.datasets,
            plan: self.plan,
            device: self.device,
            learner: self.learner,
            programs: self.programs,
            stages: self.stages,
            monitors: self.monitors,
            lock,
            state,
            asked: Asked::default(),
            stopped: None,
            notes: all,
            disabled: Vec::new(),
            last_evaluation: None,
            last_eval: Instant::now(),
            last_save: Instant::now(),
        }
    }

    /// What is told of an optimizer of which each rank has a part.
    fn of_optimizer(&self) -> Option<(&'static str, String)> {
        let size = self.ranks.size();
        let is_shared = self.experiment.train.shard_optimizer && size > 1;
        let bytes = MemorySize::new(self.learner.optimizer_bytes() as u64).rounded();
        let message = format!("{bytes} of averages on this rank, about a {size}th of all");
        is_shared.then_some(("shard_optimizer", message))
    }
}

/// What a run's model is to do: in the smallest micro-batches where the experiment leaves them open.
fn purpose(experiment: &Experiment) -> Purpose {
    let train = &experiment.train;
    let batch = train.batch.effective();
    let at_once = if train.batch.is_auto() { 1 } else { batch.div_ceil(train.accum_steps) };
    // A gradient, the optimizer's averages, and the weights' own.
    let kept = 1 + train.optimizer.fewest_slots() + usize::from(train.ema.is_some());
    Purpose::Train { batch, at_once, kept }
}

/// Refuses a run without steps.
fn check_length(experiment: &Experiment, plan: &Plan) -> Result<(), ConfigProblem> {
    if plan.schedule.total > 0 {
        return Ok(());
    }
    Err(ConfigProblem {
        field: "train.epochs".into(),
        message: format!(
            "{} epochs of {} steps come to no step",
            experiment.train.epochs, plan.steps_per_epoch
        ),
        help: "train for more epochs, or say how many `steps`".into(),
    })
}

/// What is told of data that nothing can be learned from.
fn one_class(class_names: &[String]) -> Option<(&'static str, String)> {
    let [name] = class_names else { return None };
    let warning = format!(
        "warning: there is one single class, `{name}`: whatever the model answers is right, and it learns nothing"
    );
    Some(("data", warning))
}

/// Checks an experiment and opens its data; the experiment then has every size written out.
fn open(experiment: Experiment) -> Result<(Experiment, Datasets), Error> {
    experiment.check()?;
    let datasets = experiment.data.open()?;
    let found = datasets.train.class_names().len();
    let classes = match experiment.model.classes {
        0 => found,
        classes if classes < found => {
            return Err(Error::Experiment(ConfigProblem {
                field: "model.classes".into(),
                message: format!("the model has {classes} classes, but the data has {found}"),
                help: "leave `classes` out to take the number from the data".into(),
            }));
        }
        classes => classes,
    };
    Ok((experiment.resolved(classes), datasets))
}

fn learner(
    experiment: &Experiment,
    programs: &Programs,
    plan: &Plan,
    device: &Device,
) -> Result<Learner, Error> {
    let (model, train) = (&experiment.model, &experiment.train);
    let seed = Seed::new(experiment.seed);
    Learner::with_programs(model, train, programs, plan.schedule, seed, device)
}
