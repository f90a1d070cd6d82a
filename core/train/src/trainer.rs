//! The loop: batches to gradients, gradients to updates, and now and then an evaluation or a
//! checkpoint.

mod fit;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use burn::tensor::Tensor;
use vitral_bundle::Lock;
use vitral_data::{Datasets, ImageBatch, Loader, LoaderOptions, PluginStage};
use vitral_host::{Action, LayerReport, RateChange};
use vitral_model::{
    ConfigProblem,
    device::{Device, describe},
    flops,
    parameters::ParameterInfo,
};
use vitral_seed::Seed;

use crate::{
    Error, Evaluation, Event, LossScale, Observer, RunInfo, ScalingReport, StepFigures, StepReport,
    batch::images_to_device,
    checkpoint::{self, Checkpoint, CheckpointError, CheckpointManager, State},
    error::AtPath,
    evaluate::evaluate,
    experiment::{Experiment, Plan},
    learner::{BatchGradients, Learned, Learner},
    loss::targets,
    memory::memory,
    micro_batch::MicroBatch,
    plugins::{Monitors, Programs, Registry, open_stages},
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
    /// Which monitor ended the run before its last step, and why.
    pub stopped: Option<String>,
    /// Where the loss scale ended, of a run in `f16`.
    pub loss_scale: Option<LossScale>,
    /// Steps that changed nothing because their gradients overflowed.
    pub skipped_steps: u64,
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
    programs: Programs,
    stages: Vec<Arc<PluginStage>>,
    monitors: Monitors,
    lock: Lock,
    state: State,
    stopped: Option<String>,
    /// Why plugins of the data pipeline are no longer used, as far as that has been reported.
    disabled: Vec<String>,
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
    pub fn new(
        experiment: Experiment,
        registry: &Registry,
        device: &Device,
    ) -> Result<Self, Error> {
        let (experiment, datasets, plan) = open(experiment)?;
        let programs = Programs::trace(&experiment, registry)?;
        let stages = open_stages(&experiment, registry)?;
        let monitors = Monitors::open(&experiment, registry)?;
        let learner = learner(&experiment, &programs, &plan, device)?;
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
            disabled: Vec::new(),
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
        let mut asked = self.tell(&vitral_host::Event::Started(self.run_info()), observer)?;
        let mut batches = self.train_loader()?;
        let mut interrupted = false;
        while self.state.step < total && !interrupted && self.stopped.is_none() {
            let start = Instant::now();
            let Some(batch) = batches.next() else { break };
            let batch = batch?;
            let data_wait = start.elapsed();
            self.choose_micro_batch(observer)?;
            let start = Instant::now() - data_wait;
            self.report_skipped(&batch, observer)?;
            let (report, told) = self.step(&batch, start, data_wait, observer)?;
            asked.merge(told);
            self.folder.log_step(&report)?;
            asked.merge(self.tell_step(&report, observer)?);
            observer.on_event(&Event::Stepped(report));
            interrupted = stop.load(Ordering::Relaxed);
            // Before anything of a step that is taken back is saved.
            if asked.roll_back.is_none() {
                asked = self.after_step(observer, interrupted, asked.save)?;
            }
            if let Some(change) = std::mem::take(&mut asked).roll_back
                && self.roll_back(change, observer)?
            {
                batches = self.train_loader()?;
            }
        }
        self.end(interrupted, observer)?;
        if self.last_evaluation.is_none() && !interrupted {
            // The run was resumed at its end, or has no steps.
            self.evaluate(&mut Asked::default(), observer)?;
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
            stopped: self.stopped.clone(),
            loss_scale: self.learner.loss_scale(),
            skipped_steps: self.learner.skipped_steps(),
        })
    }

    /// Tells the monitors that the run ends. It is too late for them to change anything.
    fn end(&mut self, interrupted: bool, observer: &mut dyn Observer) -> Result<(), Error> {
        let reason = match (&self.stopped, interrupted) {
            (Some(reason), _) => reason.clone(),
            (None, true) => "interrupted".into(),
            (None, false) => "done".into(),
        };
        self.tell(&vitral_host::Event::Ended(reason), observer).map(drop)
    }

    /// Evaluates and saves where that is due.
    fn after_step(
        &mut self,
        observer: &mut dyn Observer,
        interrupted: bool,
        save_asked: bool,
    ) -> Result<Asked, Error> {
        let step = self.state.step;
        let last = step == self.plan.total() || self.stopped.is_some();
        let is_due = |every, last: Instant| self.plan.is_due(every, step, last.elapsed());
        let eval_due = last || is_due(self.experiment.train.eval_every, self.last_eval);
        let save_due = last
            || interrupted
            || save_asked
            || is_due(self.experiment.checkpoints.every, self.last_save);
        let mut asked = Asked::default();
        let is_best = eval_due && self.evaluate(&mut asked, observer)?;
        if save_due || is_best || asked.save || self.stopped.is_some() {
            asked.merge(self.save(is_best, observer)?);
        }
        Ok(asked)
    }

    /// Makes one step, and reads its figures back where they are logged.
    fn step(
        &mut self,
        batch: &ImageBatch,
        start: Instant,
        data_wait: Duration,
        observer: &mut dyn Observer,
    ) -> Result<(StepReport, Asked), Error> {
        let (step, train) = (self.state.step, &self.experiment.train);
        let images = images_to_device(batch, &self.experiment.data.normalize, &self.device)?;
        let targets = targets(
            &batch.labels,
            self.experiment.model.classes,
            train.label_smoothing,
            &self.device,
        );
        let is_logged = (step + 1).is_multiple_of(train.log_every) || step + 1 == self.plan.total();
        let computing = Instant::now();
        let gradients = self.gradients(step, images, targets, observer)?;
        let gradients_time = computing.elapsed();
        let mut asked = Asked::default();
        let skipped = self.learner.overflowed(&gradients)?;
        if self.monitors.want_layers(step + 1) && !skipped {
            let parameters = self.learner.statistics(&gradients)?;
            let epoch = (step + 1) as f64 / self.plan.steps_per_epoch as f64;
            let report = LayerReport { step: step + 1, epoch, parameters };
            asked = self.tell(&vitral_host::Event::Layers(report), observer)?;
        }
        let updating = Instant::now();
        let learning_rate = self.plan.schedule.learning_rate(step) * self.state.rate_scale;
        let learned = if skipped {
            self.skip(gradients)?
        } else {
            self.learner.apply(step, gradients, self.state.rate_scale)
        };
        let update_time = updating.elapsed();
        let figures = is_logged.then(|| self.figures(learned, batch.len(), skipped)).transpose()?;
        let time = start.elapsed();
        self.state.step += 1;
        self.state.seconds += time.as_secs_f64();
        tracing::debug!(step = self.state.step, ?time, ?data_wait, "stepped");
        let report = StepReport {
            step: self.state.step,
            epoch: self.epoch(),
            images: batch.len(),
            micro_batch: self.state.micro_batch.as_ref().map(MicroBatch::size),
            learning_rate,
            figures,
            scaling: self.learner.loss_scale().map(|state| ScalingReport {
                skipped,
                scale: state.scale,
                skipped_steps: self.learner.skipped_steps(),
            }),
            time,
            data_wait,
            gradients_time,
            update_time,
        };
        Ok((report, asked))
    }

    /// Lowers the loss scale in place of an update.
    fn skip(&mut self, gradients: BatchGradients) -> Result<Learned, Error> {
        let learned = self.learner.skip(gradients);
        let scale = self.learner.loss_scale().map_or(1.0, |state| state.scale);
        tracing::info!(step = self.state.step + 1, scale, "skipped a step that overflowed");
        if self.learner.is_exhausted() {
            return Err(Error::NoLossScale { scale, step: self.state.step + 1 });
        }
        Ok(learned)
    }

    /// Reads a step's figures back from the device.
    fn figures(
        &self,
        learned: Learned,
        images: usize,
        skipped: bool,
    ) -> Result<StepFigures, Error> {
        let loss = scalar(learned.loss)?;
        // A monitor that can roll back gets to see it first, and what was skipped did no harm.
        if !loss.is_finite() && !skipped && !self.monitors.want_step(self.state.step + 1) {
            return Err(Error::Diverged { loss, step: self.state.step + 1 });
        }
        let accuracy = scalar(learned.correct)? / images as f32;
        Ok(StepFigures { loss, accuracy, gradient_norm: scalar(learned.gradient_norm)? })
    }

    /// Evaluates the weights, or their average where there is one; tells whether it is the best.
    fn evaluate(&mut self, asked: &mut Asked, observer: &mut dyn Observer) -> Result<bool, Error> {
        let start = Instant::now();
        let total = self.datasets.val.len() as u64;
        let evaluation = evaluate(
            &self.learner.evaluated(),
            eval_loader(&self.experiment, &self.datasets, self.state.micro_batch.as_ref())?,
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
        let told = vitral_host::Evaluation {
            step,
            epoch,
            loss: evaluation.loss,
            top1: evaluation.top1,
            top5: evaluation.top5,
            is_best,
        };
        asked.merge(self.tell(&vitral_host::Event::Evaluated(told), observer)?);
        observer.on_event(&Event::Evaluated { step, epoch, evaluation, is_best });
        Ok(is_best)
    }

    fn save(&mut self, is_best: bool, observer: &mut dyn Observer) -> Result<Asked, Error> {
        let tensors = self.learner.export()?;
        if tensors.model.iter().any(|tensor| tensor.values.iter().any(|value| !value.is_finite())) {
            return Err(Error::Diverged { loss: f32::NAN, step: self.state.step });
        }
        let checkpoint = Checkpoint {
            path: self.checkpoints.path_of(self.state.step),
            experiment: self.experiment.clone(),
            state: State {
                loss_scale: self.learner.loss_scale(),
                skipped_steps: self.learner.skipped_steps(),
                ..self.state.clone()
            },
            tensors,
            programs: self.programs.clone(),
            monitors: self.monitors.save()?,
            lock: self.lock.clone(),
        };
        self.checkpoints.save(&checkpoint, is_best)?;
        self.last_save = Instant::now();
        tracing::info!(path = %checkpoint.path.display(), is_best, "wrote a checkpoint");
        let name = checkpoint.path.file_name().unwrap_or_default().to_string_lossy();
        let told = vitral_host::Checkpoint { step: self.state.step, name: name.into_owned() };
        let asked = self.tell(&vitral_host::Event::Saved(told), observer)?;
        observer.on_event(&Event::Saved { path: checkpoint.path });
        Ok(asked)
    }

    /// Tells a step to the monitors that want it.
    fn tell_step(
        &mut self,
        report: &StepReport,
        observer: &mut dyn Observer,
    ) -> Result<Asked, Error> {
        if !self.monitors.want_step(report.step) {
            return Ok(Asked::default());
        }
        let asked = self.tell(&vitral_host::Event::Stepped(report.told(memory())), observer)?;
        match report.figures {
            // Nobody takes the run back to before it.
            Some(figures)
                if !figures.loss.is_finite()
                    && !report.was_skipped()
                    && asked.roll_back.is_none() =>
            {
                Err(Error::Diverged { loss: figures.loss, step: report.step })
            }
            _ => Ok(asked),
        }
    }

    /// Tells the monitors something, and does at once what they ask for where that can be.
    fn tell(
        &mut self,
        event: &vitral_host::Event,
        observer: &mut dyn Observer,
    ) -> Result<Asked, Error> {
        let heard = self.monitors.observe(event)?;
        // Statistics come before the update of their step.
        let step = match event {
            vitral_host::Event::Layers(report) => report.step,
            _ => self.state.step,
        };
        for message in heard.failures {
            self.notice("a monitor", message, observer)?;
        }
        let mut asked = Asked::default();
        for (monitor, action) in heard.requests {
            match action {
                Action::Metric { name, value } => {
                    self.folder.log_metric(step, &monitor, &name, value)?;
                }
                Action::Warn(message) => self.notice(&monitor, message, observer)?,
                Action::ScaleLearningRate(RateChange { factor, reason }) => {
                    self.state.rate_scale *= checked_factor(factor);
                    let scale = self.state.rate_scale;
                    let message = format!("learning rate now {scale} of the schedule's: {reason}");
                    self.notice(&monitor, message, observer)?;
                }
                Action::Save(reason) => {
                    asked.save = true;
                    self.notice(&monitor, format!("asks for a checkpoint: {reason}"), observer)?;
                }
                Action::RollBack(change) => asked.roll_back = Some((monitor, change)),
                Action::Stop(reason) => {
                    self.notice(&monitor, format!("ends the run: {reason}"), observer)?;
                    self.stopped.get_or_insert(format!("{monitor}: {reason}"));
                }
                // A newer contract's; a monitor that needs it says so in its version.
                _ => {}
            }
        }
        Ok(asked)
    }

    /// Goes back to the last checkpoint; tells whether there is one.
    fn roll_back(
        &mut self,
        (monitor, change): (String, RateChange),
        observer: &mut dyn Observer,
    ) -> Result<bool, Error> {
        let RateChange { factor, reason } = change;
        let scale = self.state.rate_scale * checked_factor(factor);
        let Some(path) = checkpoint::newest(self.folder.path()) else {
            self.state.rate_scale = scale;
            let message = format!(
                "there is no checkpoint to go back to; learning rate now {scale} of the schedule's: {reason}"
            );
            self.notice(&monitor, message, observer)?;
            return Ok(false);
        };
        let loaded = Checkpoint::load(&path)?;
        self.learner
            .import(&loaded.tensors, &self.device)
            .map_err(|problem| CheckpointError::Mismatch { path: path.clone(), problem })?;
        self.learner.restore_scale(loaded.state.loss_scale, loaded.state.skipped_steps);
        let (seconds, skipped) = (self.state.seconds, self.state.skipped);
        let micro_batch = self.state.micro_batch.take();
        self.state = State { seconds, skipped, rate_scale: scale, micro_batch, ..loaded.state };
        self.folder.forget_after(self.state.step)?;
        let step = self.state.step;
        let message = format!(
            "back to step {step}, with a learning rate {scale} of the schedule's: {reason}"
        );
        self.notice(&monitor, message, observer)?;
        Ok(true)
    }

    /// Shows something to the user and keeps it in the metrics.
    fn notice(
        &mut self,
        from: &str,
        message: String,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        self.folder.log_notice(self.state.step, from, &message)?;
        observer.on_event(&Event::Notice { from: from.to_owned(), message });
        Ok(())
    }

    fn train_loader(&self) -> Result<Loader, Error> {
        let options = loader_options(&self.experiment);
        let (channels, size) = self.experiment.input()?;
        let data = &self.experiment.data;
        let pipeline = data
            .train_pipeline(channels, size, self.stages.clone())?
            .with_image_sizes(self.experiment.train.image_size.clone())?;
        let batches = self.state.step..self.plan.total();
        Ok(Loader::train(Arc::clone(&self.datasets.train), Arc::new(pipeline), options, batches)?)
    }

    fn report_skipped(
        &mut self,
        batch: &ImageBatch,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        for reason in &batch.disabled {
            if !self.disabled.contains(reason) {
                self.disabled.push(reason.clone());
                let message = format!("{reason}; the run goes on without it");
                self.notice("data", message, observer)?;
            }
        }
        self.state.skipped += batch.skipped.len() as u64;
        for skipped in &batch.skipped {
            observer.on_event(&Event::Skipped {
                name: skipped.name.clone(),
                reason: skipped.reason.clone(),
            });
        }
        Ok(())
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
            micro_batch: self.known_micro_batch(),
        }
    }

    /// What monitors are told of the run.
    fn run_info(&self) -> vitral_host::Run {
        let info = self.info();
        let model = &self.experiment.model;
        vitral_host::Run {
            start_step: info.start_step,
            total_steps: info.total_steps,
            steps_per_epoch: info.steps_per_epoch,
            train_images: info.train_images as u64,
            val_images: info.val_images as u64,
            batch_size: u32::try_from(self.experiment.train.batch.effective()).unwrap_or(u32::MAX),
            parameters: info.parameters as u64,
            // Backward computes twice what forward does.
            flops_per_image: 3.0 * flops::forward(model, &self.programs.attention),
            peak_flops: None,
            device: describe(&self.device),
        }
    }
}

/// What monitors ask for that is done between steps.
#[derive(Default)]
struct Asked {
    save: bool,
    /// Who asks for it, and the change.
    roll_back: Option<(String, RateChange)>,
}

impl Asked {
    fn merge(&mut self, other: Self) {
        self.save |= other.save;
        self.roll_back = self.roll_back.take().or(other.roll_back);
    }
}

/// A factor on the learning rate that cannot do harm: what is none counts as 1.
fn checked_factor(factor: f64) -> f64 {
    if factor.is_finite() && factor > 0.0 { factor } else { 1.0 }
}

/// Images that are evaluated at once where `batch: Auto` has found no micro-batch yet.
const EVALUATED_AT_ONCE: usize = 16;

/// The validation images of an experiment, each once and in order; as many at once as in a step or,
/// where that is left open, in a micro-batch.
///
/// # Errors
/// The data's settings do not fit the model.
pub fn eval_loader(
    experiment: &Experiment,
    datasets: &Datasets,
    micro_batch: Option<&MicroBatch>,
) -> Result<Loader, Error> {
    let mut options = loader_options(experiment);
    if experiment.train.batch.is_auto() {
        let at_once = micro_batch.map_or(EVALUATED_AT_ONCE, MicroBatch::size);
        options.batch = options.batch.min(at_once);
    }
    let (channels, size) = experiment.input()?;
    let pipeline = experiment.data.eval_pipeline(channels, size)?;
    Ok(Loader::eval(Arc::clone(&datasets.val), Arc::new(pipeline), options)?)
}

fn loader_options(experiment: &Experiment) -> LoaderOptions {
    LoaderOptions {
        batch: experiment.train.batch.effective(),
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

fn scalar(tensor: Tensor<1>) -> Result<f32, Error> {
    tensor.try_into_scalar::<f32>().map_err(|error| Error::Device(error.to_string()))
}
