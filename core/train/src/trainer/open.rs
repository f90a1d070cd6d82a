//! How a run begins: from an experiment, or from a checkpoint.

use std::time::Instant;

use vitral_data::{Datasets, Loader};
use vitral_model::{ConfigProblem, device::Device};
use vitral_seed::Seed;

use super::Trainer;
use crate::{
    Error,
    checkpoint::{Checkpoint, CheckpointError, CheckpointManager, State},
    error::AtPath,
    experiment::{Experiment, Plan},
    init,
    learner::Learner,
    plugins::{Monitors, Programs, Registry, open_stages},
    run_folder::RunFolder,
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
        let (experiment, datasets, plan) = open(experiment)?;
        let programs = Programs::trace(&experiment, registry)?;
        let stages = open_stages(&experiment, registry)?;
        let monitors = Monitors::open(&experiment, registry)?;
        let mut learner = learner(&experiment, &programs, &plan, device)?;
        let notes = init::start(&experiment, &mut learner, device)?;
        let folder = RunFolder::create(&experiment.output, &experiment)?;
        let lock = registry.lock();
        folder.write_lock(&lock)?;
        let class_names = datasets.train.class_names().to_vec();
        let state = State { class_names, ..State::default() };
        Ok(Self {
            checkpoints: CheckpointManager::open(folder.path(), experiment.checkpoints.keep)?,
            experiment,
            folder,
            datasets,
            plan,
            device: device.clone(),
            learner,
            programs,
            stages,
            monitors,
            lock,
            state,
            stopped: None,
            notes,
            disabled: Vec::new(),
            last_evaluation: None,
            last_eval: Instant::now(),
            last_save: Instant::now(),
        })
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
        let Checkpoint { path, experiment, state, tensors, programs, monitors: saved, lock } =
            checkpoint;
        let (experiment, datasets, plan) = open(experiment)?;
        let programs = programs.resume(&experiment, registry)?;
        let stages = open_stages(&experiment, registry)?;
        let mut monitors = Monitors::open(&experiment, registry)?;
        let lock = registry.relock(&lock)?;
        monitors.restore(&saved)?;
        let mismatch = |problem: String| CheckpointError::Mismatch { path: path.clone(), problem };
        if state.class_names != datasets.train.class_names() {
            return Err(mismatch(
                "the data has other classes than the run was started with".into(),
            )
            .into());
        }
        let mut learner = learner(&experiment, &programs, &plan, device)?;
        learner.import(&tensors, device).map_err(mismatch)?;
        learner.restore_scale(state.loss_scale, state.skipped_steps);
        // <run>/checkpoints/step-<n>, also where the path starts inside of the run.
        let absolute = std::path::absolute(&path).at(&path)?;
        let run = absolute.ancestors().nth(2).unwrap_or(&absolute);
        let folder = RunFolder::reopen(run, &experiment, state.step)?;
        let checkpoints = CheckpointManager::open(run, experiment.checkpoints.keep)?;
        checkpoints.rewind(state.step, state.best.map(|(_, step)| step))?;
        Ok(Self {
            experiment,
            folder,
            checkpoints,
            datasets,
            plan,
            device: device.clone(),
            learner,
            programs,
            stages,
            monitors,
            lock,
            state,
            stopped: None,
            notes: Vec::new(),
            disabled: Vec::new(),
            last_evaluation: None,
            last_eval: Instant::now(),
            last_save: Instant::now(),
        })
    }
}

/// Checks an experiment and opens its data; the experiment then has every size written out.
fn open(experiment: Experiment) -> Result<(Experiment, Datasets, Plan), Error> {
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
    let experiment = experiment.resolved(classes);
    let train = &experiment.train;
    let plan = train.plan(Loader::batches_per_epoch(datasets.train.len(), train.batch.effective()));
    Ok((experiment, datasets, plan))
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
