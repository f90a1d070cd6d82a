//! The loop: batches to gradients, gradients to updates, and now and then an evaluation or a
//! checkpoint.

mod agreement;
mod asked;
mod changes;
mod decide;
mod decoder;
mod emit;
mod evaluate_and_save;
mod feed;
mod files;
mod fit;
mod loaders;
mod open;
mod parts;
mod prepare;
mod prune;
mod range_test;
mod roll_back;
mod step;
mod step_times;
mod together;
mod told;

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use vitral_bundle::Lock;
use vitral_data::{Datasets, Stage};
use vitral_model::{
    Costs,
    device::{Device, describe},
    parameters::ParameterInfo,
};

pub use self::loaders::{eval_loader, train_loader};
pub use self::range_test::{RatePoint, RateRange, SuggestedRate, range_test, suggested_rate};
use self::{
    asked::Asked,
    decide::{Due, Next, Situation, is_last, next, why_ended},
    files::Files,
    step_times::StepTimes,
    together::Pace,
};
pub(crate) use self::{
    loaders::{each_loader, evaluated_at_once, unaugmented_loader},
    parts::open_data,
};
use crate::{
    DataReport, Error, Evaluation, Event, LossScale, Observer, RunInfo,
    checkpoint::State,
    experiment::Experiment,
    learner::Learner,
    place::Place,
    plan::Plan,
    plugins::{Monitors, Programs},
    ranks::Ranks,
};

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The run's folder.
    pub run: PathBuf,
    /// Steps made.
    pub step: u64,
    /// The field of the experiment that says how long it is.
    pub length: &'static str,
    /// Whether it was stopped before its last step.
    pub interrupted: bool,
    /// The last evaluation.
    pub evaluation: Option<Evaluation>,
    /// The best evaluation's score (more is better), and its step.
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
    /// What the data path did since the run started, was resumed, or went back to a checkpoint.
    pub data: DataReport,
}

/// A run: a model in training, and where it is.
pub struct Trainer {
    experiment: Experiment,
    /// Where it is written, on the rank that does so.
    files: Option<Files>,
    ranks: Ranks,
    pace: Pace,
    step_times: StepTimes,
    /// Whether the statistics of the next step are wanted.
    wants_layers: bool,
    datasets: Datasets,
    plan: Plan,
    device: Device,
    learner: Learner,
    programs: Programs,
    stages: Vec<Stage>,
    monitors: Monitors,
    lock: Lock,
    state: State,
    /// What monitors have asked for that is done between steps.
    asked: Asked,
    /// Which monitor has ended the run, and why.
    stopped: Option<String>,
    /// What is to be told before the first step, with who tells it.
    notes: Vec<(&'static str, String)>,
    /// Why plugins of the data pipeline are no longer used, as far as that has been reported.
    disabled: Vec<String>,
    last_evaluation: Option<Evaluation>,
    last_eval: Instant,
    last_save: Instant,
}

impl Trainer {
    /// Trains to the end, or until `stop` is set; then writes a checkpoint. Whoever has calls of plugins
    /// end early sets `stop` before, so that no batch counts that was made of such calls.
    ///
    /// # Errors
    /// The data, the device or the disk fails, or the loss is no longer a number.
    pub fn run(
        &mut self,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Outcome, Error> {
        let first = self.state.step;
        let outcome = self.train(observer, stop);
        if let Err(Error::Data(_)) = outcome {
            self.save_if_data_is_lost(first, observer);
        }
        if let (Err(error), Some(_)) = (&outcome, &self.files) {
            self.monitors.fail(error);
        }
        outcome
    }

    fn train(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome, Error> {
        self.emit(Event::Started(self.info()), observer)?;
        for (from, message) in std::mem::take(&mut self.notes) {
            let notice = Event::Notice { from: from.into(), message, is_kept: false };
            self.emit(notice, observer)?;
        }
        self.tell_of_unread_files(observer)?;
        let mut feed = self.prepare(observer, stop)?;
        let mut now = self.at_rest(false)?;
        loop {
            (now.step, now.total) = (self.state.step, self.plan.total);
            now.is_stopped = self.stopped.is_some();
            match self.ordered(next(&now, &self.asked))? {
                Next::Step => {
                    self.asked = Asked::default();
                    let _step = tracing::trace_span!("step", number = now.step + 1).entered();
                    self.begin("waiting for images");
                    let Some(batch) = feed.next() else { break };
                    let arrived = self.arrived(&batch, stop.load(Ordering::Relaxed))?;
                    if arrived.is_stopping {
                        // It may have been made without plugins whose calls ended early, or have failed for that.
                        now = self.at_rest(true)?;
                        continue;
                    }
                    let mut batch = batch?;
                    self.take_share(&mut batch, arrived);
                    self.report_skipped(&batch, observer)?;
                    self.step(batch, &mut feed, observer)?;
                    self.prune_if_due(observer)?;
                    now = self.after_step(stop.load(Ordering::Relaxed));
                }
                Next::Evaluate => {
                    now.is_best = self.evaluate(observer)?;
                    (now.is_evaluated, now.is_saved) = (true, false);
                }
                Next::EvaluateAgain => {
                    self.evaluate_again(observer)?;
                    now.is_evaluated = true;
                }
                Next::Save => {
                    self.save(now.is_best, observer)?;
                    now.is_saved = true;
                }
                Next::RollBack => {
                    let change = self.asked.roll_back.take();
                    if self.roll_back(change, observer)? {
                        feed = self.feed()?;
                        self.asked = Asked::default();
                        now = self.at_rest(now.is_interrupted)?;
                    }
                }
                Next::End => break,
            }
        }
        self.begin("writing the end of the run");
        let reason = why_ended(self.stopped.as_deref(), now.is_interrupted);
        let is_over = is_last(self.state.step, self.plan.total, self.stopped.is_some());
        self.emit(Event::Ended { reason, is_over }, observer)?;
        self.files.as_ref().map_or(Ok(()), |files| files.folder.flush())?;
        // That the last thing is written all know before the first one ends.
        let is_interrupted = self.ranks.decide(now.is_interrupted)?;
        Ok(Outcome {
            run: self.run_folder().into(),
            step: self.state.step,
            length: self.experiment.train.length().0,
            interrupted: is_interrupted && self.state.step < self.plan.total,
            evaluation: self.last_evaluation.clone(),
            best: self.state.best,
            time: Duration::from_secs_f64(self.state.seconds),
            skipped: self.state.skipped,
            stopped: self.stopped.clone(),
            loss_scale: self.learner.loss_scale(),
            skipped_steps: self.learner.skipped_steps(),
            data: feed.whole(),
        })
    }

    /// Says to other ranks what this one does from now on, of which nobody knows how long it takes.
    fn begin(&self, what: &str) {
        self.ranks.begin(format_args!("{what} after step {}", self.state.step), None);
    }

    /// With nothing due: before the first step, after going back to one, and where a signal came while the next
    /// batch was waited for.
    fn at_rest(&self, is_interrupted: bool) -> Result<Situation, Error> {
        let (step, total) = (self.state.step, self.plan.total);
        let (is_stopped, is_evaluated) = (self.stopped.is_some(), self.last_evaluation.is_some());
        // Where it comes to nothing else, the metrics need not be read.
        let is_noted = match &self.files {
            Some(files) if is_last(step, total, is_stopped) && !is_evaluated => {
                files.folder.has_evaluation(step)?
            }
            _ => false,
        };
        Ok(Situation {
            step,
            total,
            is_stopped,
            is_interrupted,
            due: Due::default(),
            is_evaluated,
            is_noted,
            is_best: false,
            is_saved: match &self.files {
                Some(files) => files.checkpoints.has(step)?,
                None => false,
            },
        })
    }

    /// After a step.
    fn after_step(&self, is_interrupted: bool) -> Situation {
        let (step, total) = (self.state.step, self.plan.total);
        let evaluation = (self.experiment.train.eval_every, self.last_eval.elapsed());
        let checkpoint = (self.experiment.checkpoints.every, self.last_save.elapsed());
        Situation {
            step,
            total,
            is_stopped: self.stopped.is_some(),
            is_interrupted,
            due: Due::after(step, &self.plan, evaluation, checkpoint),
            is_evaluated: false,
            is_noted: false,
            is_best: false,
            is_saved: false,
        }
    }

    /// The loss is no longer a number.
    fn diverged(&self, loss: f32, step: u64) -> Error {
        Error::Diverged { loss, step, saved: self.newest() }
    }

    /// The newest checkpoint that this run has.
    fn newest(&self) -> Option<PathBuf> {
        self.files.as_ref().and_then(|files| files.checkpoints.newest())
    }

    /// The run's folder, whoever writes to it.
    pub fn run_folder(&self) -> &Path {
        let files = self.files.as_ref().map(|files| files.folder.path());
        files.unwrap_or(&self.experiment.output)
    }

    fn epoch(&self) -> f64 {
        self.plan.epoch(self.state.step)
    }

    fn place(&self) -> Place {
        Place {
            batch: self.experiment.train.batch.effective(),
            images: self.datasets.train.len(),
            batches: self.plan.batch(self.state.step),
        }
    }

    /// Trainable values.
    fn parameters(&self) -> usize {
        self.learner.parameters().iter().map(ParameterInfo::elements).sum()
    }

    fn info(&self) -> RunInfo {
        let costs = Costs::of(self.learner.model(), &self.device);
        RunInfo {
            parameters: self.parameters(),
            class_names: self.state.class_names.clone(),
            train_images: self.datasets.train.len(),
            val_images: self.datasets.val.len(),
            start_step: self.state.step,
            total_steps: self.plan.total,
            steps_per_epoch: self.plan.steps_per_epoch,
            epochs: self.plan.epoch(self.plan.total),
            batch: self.experiment.train.batch.effective(),
            // Backward computes twice what forward does.
            flops_per_image: 3.0 * costs.forward_flops,
            device: describe(&self.device),
            micro_batch: self.known_micro_batch(),
        }
    }
}
