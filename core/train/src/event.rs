//! What a run reports while it goes on.

use std::{borrow::Cow, path::PathBuf, time::Duration};

use vitral_data::Skipped;
use vitral_host::LayerReport;

use crate::{Evaluation, metrics_line::PRUNE, prune::Pruned};

/// Something that happened in a run.
///
/// The trainer makes each once. What becomes of it in the metrics is in `metrics_line.rs`, what monitors are
/// told of it in `trainer/told.rs`, and [`Event::words`] says it to the user.
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
    /// They did not fit.
    ProbeFailed {
        /// Images that go through the model at once.
        images: usize,
        /// What the device said.
        reason: String,
    },
    /// `decoder: Auto` times both decoders, before the first step.
    MeasuringDecoders,
    /// An image could not be read, or made a plugin fail, and was left out of a step.
    Skipped {
        /// The step, counted from 1.
        step: u64,
        /// Which image, and why.
        image: Skipped,
    },
    /// A plugin of the data path failed, and is no longer used.
    PluginDisabled {
        /// Which, and how it failed.
        reason: String,
    },
    /// Memory ran out, with `batch: Auto(...)`: the step is made again in smaller micro-batches.
    OutOfMemory {
        /// Images that went through the model at once.
        images: usize,
        /// And that do now.
        smaller: usize,
        /// What the device said.
        reason: String,
    },
    /// Larger micro-batches, which memory ran out with before, are tried again.
    LargerMicroBatch {
        /// Images that go through the model at once.
        images: usize,
    },
    /// Statistics of every parameter, where a monitor wants them: after a step's gradients and before its
    /// update.
    Statistics(LayerReport),
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
        /// Whether it had been before the run was resumed: the checkpoint and the monitors know of it.
        is_again: bool,
    },
    /// A checkpoint was written.
    Saved {
        /// Steps made.
        step: u64,
        /// Its folder.
        path: PathBuf,
        /// Whether it is the best one.
        is_best: bool,
    },
    /// Heads and hidden neurons were taken out of the model.
    Pruned {
        /// Steps made.
        step: u64,
        /// Epochs made.
        epoch: f64,
        /// What was removed.
        pruned: Pruned,
        /// What is known of the run with the model that is left.
        run: RunInfo,
    },
    /// A monitor has measured something.
    Figure {
        /// The step that it is of.
        step: u64,
        /// Which monitor.
        monitor: String,
        /// What it measures.
        name: String,
        /// Its value.
        value: f64,
    },
    /// A monitor says something or asks for it.
    Said {
        /// Which monitor.
        monitor: String,
        /// What it says, and what becomes of it.
        said: Said,
    },
    /// The run went back to a checkpoint, or would have if there were one.
    RolledBack {
        /// The monitor that asked for it.
        monitor: String,
        /// Steps that had been made.
        from: u64,
        /// The checkpoint's step, where there is one.
        to: Option<u64>,
        /// What the learning rate is now of the schedule's.
        scale: f64,
        /// Why.
        reason: String,
    },
    /// Something else that the user should know, in words.
    Notice {
        /// Who says it.
        from: String,
        /// What is said.
        message: String,
        /// Whether the run's metrics keep it.
        is_kept: bool,
    },
    /// The run ends.
    Ended {
        /// Why, in a word or in the monitor's.
        reason: String,
        /// Whether it has made all its steps, or a monitor says that they suffice; else it can go on.
        is_over: bool,
    },
}

/// What a monitor says, or asks for and is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The user should know it.
    Warning(String),
    /// It failed, and the run goes on.
    Failed(String),
    /// The learning rate is changed.
    RateChanged {
        /// What it is now of the schedule's.
        scale: f64,
        /// Why.
        reason: String,
    },
    /// A checkpoint is to be written, for this reason.
    Saves(String),
    /// The run is to end, for this reason.
    Stops(String),
    /// What it asks for is refused.
    Refused {
        /// Why it is.
        why: String,
        /// Why it was asked for.
        reason: String,
    },
}

impl Event {
    /// Something in words that the run's metrics keep.
    pub(crate) fn notice(from: &str, message: String) -> Self {
        Self::Notice { from: from.to_owned(), message, is_kept: true }
    }

    /// What the user should know of it in words, and who says it; nothing of what is shown in other ways.
    pub fn words(&self) -> Option<(&str, Cow<'_, str>)> {
        let (from, words) = match self {
            Self::PluginDisabled { reason } => {
                ("data", format!("{reason}; the run goes on without it"))
            }
            Self::OutOfMemory { images, smaller, .. } => {
                let images = images_of(*images);
                let message = format!(
                    "micro-batches of {images} ran out of memory; the step is repeated with \
                     {smaller}"
                );
                ("batch", message)
            }
            Self::LargerMicroBatch { images } => {
                ("batch", format!("trying micro-batches of {} again", images_of(*images)))
            }
            Self::Pruned { pruned, .. } => (PRUNE, pruned.words()),
            Self::Said { monitor, said } => return Some((monitor, said.words())),
            Self::RolledBack { monitor, to, scale, reason, .. } => {
                let message = match to {
                    Some(step) => format!(
                        "back to step {step}, with a learning rate {scale} of the schedule's: {reason}"
                    ),
                    None => format!(
                        "there is no checkpoint to go back to; learning rate now {scale} of the schedule's: {reason}"
                    ),
                };
                (monitor.as_str(), message)
            }
            Self::Notice { from, message, .. } => return Some((from, message.into())),
            _ => return None,
        };
        Some((from, words.into()))
    }
}

impl Said {
    fn words(&self) -> Cow<'_, str> {
        match self {
            Self::Warning(message) | Self::Failed(message) => message.into(),
            Self::RateChanged { scale, reason } => {
                format!("learning rate now {scale} of the schedule's: {reason}").into()
            }
            Self::Saves(reason) => format!("asks for a checkpoint: {reason}").into(),
            Self::Stops(reason) => format!("ends the run: {reason}").into(),
            Self::Refused { why, reason } => format!("{why}; asked for as {reason}").into(),
        }
    }
}

/// So many images, in words.
pub(crate) fn images_of(count: usize) -> String {
    format!("{count} image{}", if count == 1 { "" } else { "s" })
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
    /// Images of a step.
    pub batch: usize,
    /// Floating-point operations of an image, forward and backward.
    pub flops_per_image: f64,
    /// The device, in words.
    pub device: String,
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
    /// How gradients were exchanged, where ranks share steps.
    pub communication: Option<CommunicationReport>,
    /// Time of clipping, update and moving average; on a GPU likewise.
    pub update_time: Duration,
    /// What the data path has done, on the steps that are logged.
    pub data: Option<DataReport>,
}

/// How long a rank exchanged gradients with others, waiting for these included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommunicationReport {
    /// While it did nothing else; a part of the time of forward and backward.
    pub waited: Duration,
    /// While it computed.
    pub hidden: Duration,
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
}

impl StepReport {
    /// Whether the step's gradients overflowed, so that it changed nothing.
    pub fn was_skipped(&self) -> bool {
        self.scaling.is_some_and(|scaling| scaling.skipped)
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
