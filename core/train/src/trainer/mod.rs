//! The loop: batches to gradients, gradients to updates, and now and then an evaluation or a
//! checkpoint.

mod changes;
mod decoder;
mod evaluate_and_save;
mod feed;
mod fit;
mod loaders;
mod monitors;
mod open;
mod prepare;
mod step;

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use vitral_bundle::Lock;
use vitral_data::{Datasets, Stage};
use vitral_model::{device::Device, parameters::ParameterInfo};

pub(crate) use self::loaders::evaluated_at_once;
pub use self::loaders::{eval_loader, train_loader};
use self::monitors::Asked;
use crate::{
    DataReport, Error, Evaluation, Event, LossScale, Observer, RunInfo,
    checkpoint::{CheckpointManager, State},
    experiment::Experiment,
    learner::Learner,
    place::Place,
    plan::Plan,
    plugins::{Monitors, Programs},
    run_folder::RunFolder,
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
    folder: RunFolder,
    checkpoints: CheckpointManager,
    datasets: Datasets,
    plan: Plan,
    device: Device,
    learner: Learner,
    programs: Programs,
    stages: Vec<Stage>,
    monitors: Monitors,
    lock: Lock,
    state: State,
    stopped: Option<String>,
    /// What is to be told before the first step, with who tells it.
    notes: Vec<(&'static str, String)>,
    /// Why plugins of the data pipeline are no longer used, as far as that has been reported.
    disabled: Vec<String>,
    /// Images that could not be read, as far as that has been noted.
    left_out: HashSet<String>,
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
        outcome
    }

    fn train(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome, Error> {
        observer.on_event(&Event::Started(self.info()));
        for (from, message) in self.notes.drain(..) {
            observer.on_event(&Event::Notice { from: from.into(), message });
        }
        self.tell_of_unread_files(observer)?;
        let total = self.plan.total;
        let mut asked = self.tell(&vitral_host::Event::Started(self.run_info()), observer)?;
        let mut feed = self.prepare(observer, stop)?;
        let mut interrupted = false;
        while self.state.step < total && !interrupted && self.stopped.is_none() {
            let Some(batch) = feed.next() else { break };
            if stop.load(Ordering::Relaxed) {
                // It may have been made without plugins whose calls ended early, or have failed for that.
                interrupted = true;
                self.save_unless_saved(observer)?;
                break;
            }
            let batch = batch?;
            self.report_skipped(&batch, observer)?;
            let (report, told) = self.step(batch, &mut feed, observer)?;
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
                feed = self.feed()?;
            }
        }
        self.end(interrupted, observer)?;
        if self.last_evaluation.is_none() && !interrupted {
            // The run was resumed at its end.
            if self.folder.has_evaluation(self.state.step)? {
                self.evaluate_again(observer)?;
            } else {
                let is_best = self.evaluate(&mut Asked::default(), observer)?;
                self.save(is_best, observer)?;
            }
        }
        Ok(Outcome {
            run: self.folder.path().into(),
            step: self.state.step,
            length: self.experiment.train.length().0,
            interrupted: interrupted && self.state.step < total,
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

    /// The loss is no longer a number.
    fn diverged(&self, loss: f32, step: u64) -> Error {
        Error::Diverged { loss, step, saved: self.checkpoints.newest() }
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

    fn info(&self) -> RunInfo {
        RunInfo {
            parameters: self.learner.parameters().iter().map(ParameterInfo::elements).sum(),
            class_names: self.state.class_names.clone(),
            train_images: self.datasets.train.len(),
            val_images: self.datasets.val.len(),
            start_step: self.state.step,
            total_steps: self.plan.total,
            steps_per_epoch: self.plan.steps_per_epoch,
            epochs: self.plan.epoch(self.plan.total),
            micro_batch: self.known_micro_batch(),
        }
    }
}
