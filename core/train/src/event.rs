//! What a run reports while it goes on.

use std::{path::PathBuf, time::Duration};

use crate::Evaluation;

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// Training starts, or goes on.
    Started(RunInfo),
    /// `batch: Auto(...)` tries whether micro-batches of so many images fit into memory, before the
    /// first step.
    Probing {
        /// Images that go through the model at once.
        images: usize,
    },
    /// `decoder: Auto` times both decoders, before the first step.
    MeasuringDecoders,
    /// A step was made. Loss and accuracy are there on the steps that are logged.
    Stepped(StepReport),
    /// So many of so many images of an evaluation are done.
    Evaluating {
        /// Images done.
        done: u64,
        /// Images in all.
        total: u64,
    },
    /// The model was evaluated.
    Evaluated {
        /// Steps made.
        step: u64,
        /// Epochs made.
        epoch: f64,
        /// The figures.
        evaluation: Evaluation,
        /// Whether no evaluation before was better.
        is_best: bool,
    },
    /// A checkpoint was written.
    Saved {
        /// Its folder.
        path: PathBuf,
    },
    /// Something that the user should know: what a monitor says or asks for, a plugin that failed.
    Notice {
        /// Who says it.
        from: String,
        /// What is said.
        message: String,
    },
    /// An image could not be read, or made a plugin fail, and was left out.
    Skipped {
        /// Its file, or place in a file.
        name: String,
        /// Why.
        reason: String,
    },
}

/// What is known when a run starts.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// Trainable values of the model.
    pub parameters: usize,
    /// Names of the classes, in the order of the logits.
    pub class_names: Vec<String>,
    /// Training images.
    pub train_images: usize,
    /// Validation images.
    pub val_images: usize,
    /// Steps already made, by the run that is resumed.
    pub start_step: u64,
    /// Steps in all.
    pub total_steps: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Epochs in all.
    pub epochs: f64,
    /// Images that go through the model at once, where the experiment leaves that open and it is
    /// known from before; a new run says it in a notice.
    pub micro_batch: Option<usize>,
}

/// One optimizer step.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Steps made, this one included.
    pub step: u64,
    /// Epochs made.
    pub epoch: f64,
    /// Images of the step.
    pub images: usize,
    /// Training images that the run has left out so far, repeats counted: those that could not be read,
    /// and those that a plugin failed on.
    pub left_out: u64,
    /// Images that go through the model at once, where the experiment leaves that open.
    pub micro_batch: Option<usize>,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Loss and the like, on the steps that are logged.
    pub figures: Option<StepFigures>,
    /// How the loss is scaled, where it is (`train.precision: F16()`).
    pub scaling: Option<ScalingReport>,
    /// Time of the step, waiting for data included.
    pub time: Duration,
    /// Time spent waiting for data: batches that were not ready when they were asked for.
    pub data_wait: Duration,
    /// Time of forward and backward; on a GPU, of asking for them, as it computes meanwhile.
    pub gradients_time: Duration,
    /// Time of clipping, update and moving average; on a GPU likewise.
    pub update_time: Duration,
    /// What the data path has done, on the steps that are logged.
    pub data: Option<DataReport>,
}

/// What the data path has done since the report before, or since training started or went on.
#[derive(Clone, Debug, PartialEq)]
pub struct DataReport {
    /// Time of the steps, this one included.
    pub time: Duration,
    /// How long of it the trainer waited for batches. On a GPU the device may have been computing
    /// meanwhile.
    pub wait: Duration,
    /// Worker threads now.
    pub workers: usize,
    /// Batches made ahead now.
    pub prefetch: usize,
    /// Time that all workers together spent in each stage, in the order of the stages:
    /// [`LoaderTimings::stages`](vitral_data::LoaderTimings::stages).
    pub stages: Vec<(String, Duration)>,
}

impl DataReport {
    /// Share of the steps' time, from 0 to 1, in which the trainer waited for data.
    pub fn waiting_share(&self) -> f64 {
        if self.time.is_zero() { 0.0 } else { self.wait.as_secs_f64() / self.time.as_secs_f64() }
    }

    /// The stage that takes workers longest, and its share of their time from 0 to 1.
    pub fn bottleneck(&self) -> Option<(&str, f64)> {
        vitral_data::bottleneck(&self.stages)
    }

    /// The report as monitors are told of it, with the step that it comes with.
    pub(crate) fn told(&self, step: u64, epoch: f64) -> vitral_host::DataReport {
        let stage = |(name, time): &(String, Duration)| vitral_host::StageTime {
            name: name.clone(),
            seconds: time.as_secs_f64(),
        };
        vitral_host::DataReport {
            step,
            epoch,
            seconds: self.time.as_secs_f64(),
            wait: self.wait.as_secs_f64(),
            workers: u32::try_from(self.workers).unwrap_or(u32::MAX),
            prefetch: u32::try_from(self.prefetch).unwrap_or(u32::MAX),
            stages: self.stages.iter().map(stage).collect(),
        }
    }
}

impl StepReport {
    /// Whether the step's gradients overflowed, so that it changed nothing.
    pub fn was_skipped(&self) -> bool {
        self.scaling.is_some_and(|scaling| scaling.skipped)
    }

    /// The report as monitors are told of it.
    pub(crate) fn told(&self, memory: vitral_host::Memory) -> vitral_host::Step {
        vitral_host::Step {
            step: self.step,
            epoch: self.epoch,
            images: u32::try_from(self.images).unwrap_or(u32::MAX),
            learning_rate: self.learning_rate,
            // Those of a step that was skipped would be a false alarm.
            figures: self.figures.filter(|_| !self.was_skipped()).map(|figures| {
                vitral_host::Figures {
                    loss: figures.loss.into(),
                    accuracy: figures.accuracy.into(),
                    gradient_norm: figures.gradient_norm.into(),
                }
            }),
            timings: vitral_host::Timings {
                total: self.time.as_secs_f64(),
                data_wait: self.data_wait.as_secs_f64(),
                gradients: self.gradients_time.as_secs_f64(),
                update: self.update_time.as_secs_f64(),
            },
            memory,
        }
    }
}

/// Where dynamic loss scaling is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalingReport {
    /// Whether this step's gradients overflowed, so that it changed nothing.
    pub skipped: bool,
    /// What the loss of the next step is multiplied with.
    pub scale: f64,
    /// Steps of the run that were skipped, this one included.
    pub skipped_steps: u64,
}

/// What is read back from the device on the steps that are logged.
#[derive(Clone, Copy, Debug)]
pub struct StepFigures {
    /// Mean loss of the batch.
    pub loss: f32,
    /// Share of the batch whose class got the highest logit (of mixed targets, the larger part).
    pub accuracy: f32,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: f32,
}

/// Receives a run's events.
pub trait Observer {
    /// Called for each event, on the thread that trains.
    fn on_event(&mut self, event: &Event);
}

impl<F: FnMut(&Event)> Observer for F {
    fn on_event(&mut self, event: &Event) {
        self(event);
    }
}
