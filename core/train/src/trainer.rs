//! The loop: batches to gradients, gradients to updates, and now and then an evaluation or a
//! checkpoint.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use burn::tensor::Tensor;
use vitral_data::{Datasets, ImageBatch, Loader, LoaderOptions};
use vitral_model::{ConfigProblem, device::Device, parameters::ParameterInfo};
use vitral_seed::Seed;

use crate::{
    Error, Evaluation, Event, Observer, RunInfo, StepFigures, StepReport,
    batch::images_to_device,
    checkpoint::{Checkpoint, CheckpointError, CheckpointManager, State},
    error::AtPath,
    evaluate::evaluate,
    experiment::{Experiment, Plan},
    learner::Learner,
    loss::targets,
    run_folder::RunFolder,
};

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The run's folder.
    pub run: PathBuf,
    /// Steps made.
    pub step: u64,
    /// Whether it was stopped before its last step.
    pub interrupted: bool,
    /// The last evaluation.
    pub evaluation: Option<Evaluation>,
    /// The best evaluation's step, and its score (more is better).
    pub best: Option<(f64, u64)>,
    /// Time of the whole run, evaluations and resumed parts included.
    pub time: Duration,
    /// Training images that were left out because they could not be read.
    pub skipped: u64,
}

/// A run: a model in training, and where it is.
pub struct Trainer {
    experiment: Experiment,
    folder: RunFolder,
    checkpoints: CheckpointManager,
    datasets: Datasets,
    plan: Plan,
    device: Device,
    learner: Learner,
    state: State,
    last_evaluation: Option<Evaluation>,
    last_eval: Instant,
    last_save: Instant,
}

impl Trainer {
    /// A new run in the experiment's `output` folder.
    ///
    /// # Errors
    /// The experiment's fields do not go together, the data cannot be opened, or the folder holds
    /// a run already.
    pub fn new(experiment: Experiment, device: &Device) -> Result<Self, Error> {
        let (experiment, datasets, plan) = open(experiment)?;
        let learner = learner(&experiment, &plan, device)?;
        let folder = RunFolder::create(&experiment.output, &experiment)?;
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
            state,
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
    pub fn resume(checkpoint: Checkpoint, device: &Device) -> Result<Self, Error> {
        let Checkpoint { path, experiment, state, tensors } = checkpoint;
        let (experiment, datasets, plan) = open(experiment)?;
        let mismatch = |problem: String| CheckpointError::Mismatch { path: path.clone(), problem };
        if state.class_names != datasets.train.class_names() {
            return Err(mismatch(
                "the data has other classes than the run was started with".into(),
            )
            .into());
        }
        let mut learner = learner(&experiment, &plan, device)?;
        learner.import(&tensors, device).map_err(mismatch)?;
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
            state,
            last_evaluation: None,
            last_eval: Instant::now(),
            last_save: Instant::now(),
        })
    }

    /// Trains to the end, or until `stop` is set; then writes a checkpoint.
    ///
    /// # Errors
    /// The data, the device or the disk fails, or the loss is no longer a number.
    pub fn run(
        &mut self,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Outcome, Error> {
        observer.on_event(&Event::Started(self.info()));
        let total = self.plan.total();
        let mut batches = self.train_loader()?;
        let mut interrupted = false;
        while self.state.step < total && !interrupted {
            let start = Instant::now();
            let Some(batch) = batches.next() else { break };
            let batch = batch?;
            let data_wait = start.elapsed();
            self.report_skipped(&batch, observer);
            let figures = self.step(&batch)?;
            let time = start.elapsed();
            self.state.step += 1;
            self.state.seconds += time.as_secs_f64();
            let report = StepReport {
                step: self.state.step,
                epoch: self.epoch(),
                images: batch.len(),
                learning_rate: self.plan.schedule.learning_rate(self.state.step - 1),
                figures,
                time,
                data_wait,
            };
            tracing::debug!(step = report.step, ?time, ?data_wait, "stepped");
            self.folder.log_step(&report)?;
            observer.on_event(&Event::Stepped(report));
            interrupted = stop.load(Ordering::Relaxed);
            self.after_step(observer, interrupted)?;
        }
        if self.last_evaluation.is_none() && !interrupted {
            // The run was resumed at its end, or has no steps.
            self.evaluate(observer)?;
            self.save(false, observer)?;
        }
        Ok(Outcome {
            run: self.folder.path().into(),
            step: self.state.step,
            interrupted: interrupted && self.state.step < total,
            evaluation: self.last_evaluation.clone(),
            best: self.state.best,
            time: Duration::from_secs_f64(self.state.seconds),
            skipped: self.state.skipped,
        })
    }

    /// Evaluates and saves where that is due.
    fn after_step(&mut self, observer: &mut dyn Observer, interrupted: bool) -> Result<(), Error> {
        let step = self.state.step;
        let last = step == self.plan.total();
        let is_due = |every, last: Instant| self.plan.is_due(every, step, last.elapsed());
        let eval_due = last || is_due(self.experiment.train.eval_every, self.last_eval);
        let save_due =
            last || interrupted || is_due(self.experiment.checkpoints.every, self.last_save);
        let is_best = eval_due && self.evaluate(observer)?;
        if save_due || is_best {
            self.save(is_best, observer)?;
        }
        Ok(())
    }

    /// Makes one step, and reads its figures back where they are logged.
    fn step(&mut self, batch: &ImageBatch) -> Result<Option<StepFigures>, Error> {
        let (step, train) = (self.state.step, &self.experiment.train);
        let images = images_to_device(batch, &self.experiment.data.normalize, &self.device)?;
        let targets = targets(
            &batch.labels,
            self.experiment.model.classes,
            train.label_smoothing,
            &self.device,
        );
        let learned = self.learner.step(step, images, targets);
        if !(step + 1).is_multiple_of(train.log_every) && step + 1 != self.plan.total() {
            return Ok(None);
        }
        let loss = scalar(learned.loss)?;
        if !loss.is_finite() {
            return Err(Error::Diverged { loss, step: step + 1 });
        }
        let accuracy = scalar(learned.correct)? / batch.len() as f32;
        Ok(Some(StepFigures { loss, accuracy, gradient_norm: scalar(learned.gradient_norm)? }))
    }

    /// Evaluates the weights, or their average where there is one; tells whether it is the best.
    fn evaluate(&mut self, observer: &mut dyn Observer) -> Result<bool, Error> {
        let start = Instant::now();
        let total = self.datasets.val.len() as u64;
        let evaluation = evaluate(
            &self.learner.evaluated(),
            eval_loader(&self.experiment, &self.datasets)?,
            &self.experiment.data,
            self.datasets.val.class_names(),
            self.experiment.train.loss,
            &self.device,
            |done| observer.on_event(&Event::Evaluating { done, total }),
        )?;
        let (step, epoch) = (self.state.step, self.epoch());
        let score = self.experiment.checkpoints.best.score(&evaluation);
        let is_best = self.state.best.is_none_or(|(best, _)| score > best);
        if is_best {
            self.state.best = Some((score, step));
        }
        tracing::info!(step, loss = evaluation.loss, top1 = evaluation.top1, is_best, "evaluated");
        self.folder.log_evaluation(step, epoch, &evaluation)?;
        self.state.seconds += start.elapsed().as_secs_f64();
        self.last_eval = Instant::now();
        self.last_evaluation = Some(evaluation.clone());
        observer.on_event(&Event::Evaluated { step, epoch, evaluation, is_best });
        Ok(is_best)
    }

    fn save(&mut self, is_best: bool, observer: &mut dyn Observer) -> Result<(), Error> {
        let tensors = self.learner.export()?;
        if tensors.model.iter().any(|tensor| tensor.values.iter().any(|value| !value.is_finite())) {
            return Err(Error::Diverged { loss: f32::NAN, step: self.state.step });
        }
        let checkpoint = Checkpoint {
            path: self.checkpoints.path_of(self.state.step),
            experiment: self.experiment.clone(),
            state: self.state.clone(),
            tensors,
        };
        self.checkpoints.save(&checkpoint, is_best)?;
        self.last_save = Instant::now();
        tracing::info!(path = %checkpoint.path.display(), is_best, "wrote a checkpoint");
        observer.on_event(&Event::Saved { path: checkpoint.path });
        Ok(())
    }

    fn train_loader(&self) -> Result<Loader, Error> {
        let options = loader_options(&self.experiment);
        let (channels, size) = self.experiment.input()?;
        let pipeline = self.experiment.data.train_pipeline(channels, size)?;
        let batches = self.state.step..self.plan.total();
        Ok(Loader::train(Arc::clone(&self.datasets.train), Arc::new(pipeline), options, batches)?)
    }

    fn report_skipped(&mut self, batch: &ImageBatch, observer: &mut dyn Observer) {
        self.state.skipped += batch.skipped.len() as u64;
        for skipped in &batch.skipped {
            observer.on_event(&Event::Skipped {
                name: skipped.name.clone(),
                reason: skipped.reason.clone(),
            });
        }
    }

    fn epoch(&self) -> f64 {
        self.state.step as f64 / self.plan.steps_per_epoch as f64
    }

    fn info(&self) -> RunInfo {
        RunInfo {
            parameters: self.learner.parameters().iter().map(ParameterInfo::elements).sum(),
            train_images: self.datasets.train.len(),
            val_images: self.datasets.val.len(),
            start_step: self.state.step,
            total_steps: self.plan.total(),
            steps_per_epoch: self.plan.steps_per_epoch,
        }
    }
}

/// The validation images of an experiment, each once and in order.
///
/// # Errors
/// The data's settings do not fit the model.
pub fn eval_loader(experiment: &Experiment, datasets: &Datasets) -> Result<Loader, Error> {
    let options = loader_options(experiment);
    let (channels, size) = experiment.input()?;
    let pipeline = experiment.data.eval_pipeline(channels, size)?;
    Ok(Loader::eval(Arc::clone(&datasets.val), Arc::new(pipeline), options)?)
}

fn loader_options(experiment: &Experiment) -> LoaderOptions {
    LoaderOptions {
        batch: experiment.train.batch,
        workers: experiment.data.workers,
        prefetch: experiment.data.prefetch,
        on_error: experiment.data.on_error,
        seed: Seed::new(experiment.seed),
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
    let plan = train.plan(Loader::batches_per_epoch(datasets.train.len(), train.batch));
    Ok((experiment, datasets, plan))
}

fn learner(experiment: &Experiment, plan: &Plan, device: &Device) -> Result<Learner, Error> {
    let seed = Seed::new(experiment.seed);
    Learner::new(&experiment.model, &experiment.train, plan.schedule, seed, device)
}

fn scalar(tensor: Tensor<1>) -> Result<f32, Error> {
    tensor.try_into_scalar::<f32>().map_err(|error| Error::Device(error.to_string()))
}
