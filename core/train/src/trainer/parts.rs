//! A run without its folder: everything that an experiment names, opened.

use std::time::Instant;

use vitral_bundle::Lock;
use vitral_data::{Datasets, Stage};
use vitral_model::{ConfigProblem, device::Device};
use vitral_seed::Seed;

use super::{
    Trainer, agreement::in_common, asked::Asked, changes::Meaning, files::Files,
    prune::check_prunable, step_times::StepTimes, together::Pace,
};
use crate::{
    Error,
    batch_size::MemorySize,
    checkpoint::{Checkpoint, CheckpointError, CheckpointManager, State, compare_model},
    class_weights::ImageWeights,
    device_exchange::connect,
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

/// What is to be told before the first step, with who tells it.
pub(super) type Notes = Vec<(&'static str, String)>;

/// Where a run begins.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
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
    pub(super) monitors: Monitors,
    step: u64,
    ranks: Ranks,
}

/// What a new run begins with.
pub(super) struct Fresh {
    /// With the first weights.
    pub(super) parts: Parts,
    pub(super) class_names: Vec<String>,
    /// What tells the teacher from any other.
    pub(super) teacher: Option<String>,
    /// What is to be known of the weights and the teacher.
    pub(super) notes: Notes,
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
    pub(super) fn open(
        ranks: &Ranks,
        experiment: Experiment,
        registry: &Registry,
        device: &Device,
        start: Start<'_>,
        programs: impl FnOnce(&Experiment) -> Result<Programs, Error>,
    ) -> Result<Self, Error> {
        let (experiment, datasets) = open_data(experiment)?;
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

    /// Has the GPUs of ranks exchange gradients directly, if they can; returns what is to be known of that. All ranks
    /// call it.
    ///
    /// # Errors
    /// They do not reach each other.
    pub(super) fn connect(&mut self) -> Result<Option<String>, Error> {
        let (exchange, told) = connect(&self.ranks, &self.device)?;
        self.learner.exchange_by(exchange);
        Ok(told)
    }

    /// Has the learner learn from the experiment's teacher, if it has one; returns what tells that one from
    /// any other, and what is to be known of it.
    pub(super) fn teach(
        &mut self,
        class_names: &[String],
    ) -> Result<(Option<String>, Vec<String>), Error> {
        let images = &*self.datasets.train;
        let opened = teacher::open(&self.experiment, class_names, images, &self.device)?;
        Ok(opened.map_or_else(Default::default, |Opened { teacher, fingerprint, notes }| {
            self.learner.set_teacher(teacher);
            (Some(fingerprint), notes)
        }))
    }

    /// Has images count in the loss by their class, where the experiment says so.
    pub(super) fn weigh(&mut self) -> Result<(), Error> {
        let weights = ImageWeights::open(&self.experiment, &*self.datasets.train, &self.device)?;
        self.learner.set_class_weights(weights);
        Ok(())
    }

    pub(super) fn images(&self) -> usize {
        self.datasets.train.len()
    }

    /// What the run's next step means.
    pub(super) fn meaning(&self) -> Meaning<'_> {
        Meaning::of(&self.experiment, self.place, self.step)
    }

    /// Takes charge of the run's folder.
    pub(super) fn files(&self, folder: RunFolder) -> Result<Files, Error> {
        let keep = self.experiment.checkpoints.keep;
        Ok(Files { checkpoints: CheckpointManager::open(folder.path(), keep)?, folder })
    }

    /// Makes sure that all ranks are about to train one model in one way.
    pub(super) fn check_same(&self, lock: &Lock, state: &State) -> Result<(), Error> {
        if self.ranks.size() == 1 {
            return Ok(());
        }
        let data = self.datasets.fingerprints();
        let things = in_common(&self.experiment, lock, &data, state, &self.learner)?;
        self.ranks.check_same(&things)
    }

    pub(super) fn trainer(
        self,
        files: Option<Files>,
        lock: Lock,
        state: State,
        notes: Notes,
    ) -> Trainer {
        let mut all: Notes = one_class(&state.class_names).into_iter().collect();
        all.extend(unused_classes(self.experiment.model.classes, state.class_names.len()));
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
            "{} epochs of {} steps are less than one step",
            experiment.train.epochs, plan.steps_per_epoch
        ),
        help: "train for more epochs, or say how many `steps`".into(),
    })
}

/// What is told of data that nothing can be learned from.
fn one_class(class_names: &[String]) -> Option<(&'static str, String)> {
    let [name] = class_names else { return None };
    let warning = format!(
        "warning: there is only one class, `{name}`: any answer is right, so the model learns \
         nothing"
    );
    Some(("data", warning))
}

/// What is told of classes that no image is of.
fn unused_classes(classes: usize, found: usize) -> Option<(&'static str, String)> {
    // A model without classes of its own has those of the data.
    let more = classes.checked_sub(found).filter(|&more| more > 0 && found > 0)?;
    Some((
        "model.classes",
        format!(
            "warning: the model has {classes} classes and the data {found}: no image is of the other {more}, which \
             have no names; leave `model.classes` out to take the number from the data"
        ),
    ))
}

/// Checks an experiment and opens its data; the experiment then has every size written out.
pub(crate) fn open_data(experiment: Experiment) -> Result<(Experiment, Datasets), Error> {
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
