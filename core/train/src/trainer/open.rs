//! How a run begins: from an experiment, or from a checkpoint.

use std::time::Instant;

use vitral_bundle::Lock;
use vitral_data::{ClassList, Datasets, Stage};
use vitral_model::{ConfigProblem, device::Device};
use vitral_seed::Seed;

use super::{
    Trainer,
    asked::Asked,
    changes::{Meaning, changes, doubts, other_data},
};
use crate::{
    Error,
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
        let Fresh { parts, class_names, teacher, notes } =
            Fresh::open(experiment, registry, device)?;
        let doubts = doubts(&parts.meaning()).into_iter().map(|doubt| ("train", doubt));
        let notes: Vec<_> = doubts.chain(notes).collect();
        let folder = RunFolder::create(&parts.experiment.output, &parts.experiment)?;
        let lock = registry.lock();
        folder.write_lock(&lock)?;
        let data = Some(parts.datasets.fingerprints());
        let state = State { class_names, data, teacher, ..State::default() };
        let mut trainer = parts.in_folder(folder, lock, state)?;
        trainer.notes.extend(notes);
        Ok(trainer)
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
        checkpoint.check_resumable()?;
        registry.go_on_with(&checkpoint.lock);
        let resume =
            |experiment: &Experiment| checkpoint.programs.clone().resume(experiment, registry);
        let experiment = checkpoint.experiment.clone();
        let mut parts = Parts::open(experiment, registry, device, Start::At(&checkpoint), resume)?;
        let place = checkpoint.place(parts.images());
        let before = Meaning::of(&checkpoint.written, place, checkpoint.state.step);
        let changes = changes(&before, &parts.meaning()).map_err(Error::Experiment)?;
        let Checkpoint { path, mut state, tensors, monitors, lock, written, notes, branch, .. } =
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
        let run = run_of(&path).at(&path)?;
        let branched = branch.as_ref().map(|_| {
            format!("a run of its own from {} on; that in {} stays", path.display(), run.display())
        });
        let run = match branch {
            Some(branch) => {
                begin_branch(&path, state.best.map(|(_, step)| step), &branch)?;
                branch
            }
            None => run,
        };
        let folder = RunFolder::reopen(&run)?;
        let mut trainer = parts.in_folder(folder, lock, state)?;
        let (step, best) = (trainer.state.step, trainer.state.best);
        // Checkpoints before metrics: should this be interrupted, whatever is the newest then has its own.
        trainer.checkpoints.rewind(step, best.map(|(_, step)| step))?;
        let set_aside = trainer.folder.forget_after(step)?;
        trainer.folder.write_config(&trainer.experiment)?;
        let notes = notes.into_iter().chain(changes).chain(others.into_iter().flatten());
        let notes = notes.chain(restored).chain(average).chain(set_aside).chain(branched);
        let notes = notes.chain(other_teacher.clone()).map(|note| ("resume", note));
        trainer.notes.extend(notes);
        // As at the start, where it is another one.
        let taught = taught.into_iter().filter(|_| other_teacher.is_some());
        trainer.notes.extend(taught.map(|note| ("teacher", note)));
        Ok(trainer)
    }
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
        experiment: Experiment,
        registry: &Registry,
        device: &Device,
    ) -> Result<Self, Error> {
        let trace = |experiment: &Experiment| Programs::trace(experiment, registry);
        let mut parts = Parts::open(experiment, registry, device, Start::Fresh, trace)?;
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
        experiment: Experiment,
        registry: &Registry,
        device: &Device,
        start: Start<'_>,
        programs: impl FnOnce(&Experiment) -> Result<Programs, Error>,
    ) -> Result<Self, Error> {
        let (experiment, datasets) = open(experiment)?;
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
        Ok(Self {
            stages: open_stages(&experiment, registry)?,
            monitors: Monitors::open(&experiment, registry)?,
            learner: learner(&experiment, &programs, &plan, device)?,
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

    fn in_folder(self, folder: RunFolder, lock: Lock, state: State) -> Result<Trainer, Error> {
        let keep = self.experiment.checkpoints.keep;
        let notes = one_class(&state.class_names).into_iter().collect();
        Ok(Trainer {
            checkpoints: CheckpointManager::open(folder.path(), keep)?,
            experiment: self.experiment,
            folder,
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
            notes,
            disabled: Vec::new(),
            last_evaluation: None,
            last_eval: Instant::now(),
            last_save: Instant::now(),
        })
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
