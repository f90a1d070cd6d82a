//! How a run begins: from an experiment, or from a checkpoint.

use std::{sync::Arc, time::Instant};

use vitral_bundle::Lock;
use vitral_data::{Datasets, Loader, PluginStage};
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
        let trace = |experiment: &Experiment| Programs::trace(experiment, registry);
        let mut parts = Parts::open(experiment, registry, device, trace)?;
        let notes = init::start(&parts.experiment, &mut parts.learner, device)?;
        let folder = RunFolder::create(&parts.experiment.output, &parts.experiment)?;
        let lock = registry.lock();
        folder.write_lock(&lock)?;
        let class_names = parts.datasets.train.class_names().to_vec();
        let state = State { class_names, ..State::default() };
        Ok(Self { notes, ..parts.in_folder(folder, lock, state)? })
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
        let Checkpoint { path, experiment, state, tensors, programs, monitors, lock } = checkpoint;
        let resume = |experiment: &Experiment| programs.resume(experiment, registry);
        let mut parts = Parts::open(experiment, registry, device, resume)?;
        let lock = registry.relock(&lock)?;
        parts.monitors.restore(&monitors)?;
        let mismatch = |problem: String| CheckpointError::Mismatch { path: path.clone(), problem };
        if state.class_names != parts.datasets.train.class_names() {
            return Err(mismatch(
                "the data has other classes than the run was started with".into(),
            )
            .into());
        }
        parts.learner.import(&tensors, device).map_err(mismatch)?;
        parts.learner.restore_scale(state.loss_scale, state.skipped_steps);
        // <run>/checkpoints/step-<n>, also where the path starts inside of the run.
        let absolute = std::path::absolute(&path).at(&path)?;
        let run = absolute.ancestors().nth(2).unwrap_or(&absolute);
        let folder = RunFolder::reopen(run, &parts.experiment, state.step)?;
        let trainer = parts.in_folder(folder, lock, state)?;
        let (step, best) = (trainer.state.step, trainer.state.best);
        trainer.checkpoints.rewind(step, best.map(|(_, step)| step))?;
        Ok(trainer)
    }
}

/// A run without its folder.
struct Parts {
    experiment: Experiment,
    datasets: Datasets,
    plan: Plan,
    device: Device,
    learner: Learner,
    programs: Programs,
    stages: Vec<Arc<PluginStage>>,
    monitors: Monitors,
}

impl Parts {
    /// Opens everything that an experiment names; `programs` gives those of its plugins.
    fn open(
        experiment: Experiment,
        registry: &Registry,
        device: &Device,
        programs: impl FnOnce(&Experiment) -> Result<Programs, Error>,
    ) -> Result<Self, Error> {
        let (experiment, datasets, plan) = open(experiment)?;
        let programs = programs(&experiment)?;
        Ok(Self {
            stages: open_stages(&experiment, registry)?,
            monitors: Monitors::open(&experiment, registry)?,
            learner: learner(&experiment, &programs, &plan, device)?,
            experiment,
            datasets,
            plan,
            device: device.clone(),
            programs,
        })
    }

    fn in_folder(self, folder: RunFolder, lock: Lock, state: State) -> Result<Trainer, Error> {
        let keep = self.experiment.checkpoints.keep;
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
