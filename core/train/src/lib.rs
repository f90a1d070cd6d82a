//! Vitral's training loop.
//!
//! An [`Experiment`] says what is done, a [`Trainer`] does it and reports [`Event`]s. The parts are
//! one file each: losses, gradients, optimizers, parameter groups, schedules, mixing, averaging,
//! evaluation, checkpoints.

mod average;
pub mod batch;
pub mod batch_size;
pub mod checkpoint;
pub mod class_weights;
mod ema;
mod error;
mod evaluate;
mod evaluation;
mod event;
pub mod experiment;
pub mod figures;
mod flat;
mod footprint;
mod gradients;
pub mod groups;
mod hybrid_decoder;
mod image_size;
pub mod init;
mod learner;
pub mod logs;
pub mod loss;
mod loss_scale;
mod memory;
mod metrics_file;
mod metrics_line;
mod micro_batch;
pub mod mix;
mod monitor_use;
pub mod noted;
pub mod optimizer;
mod pictures;
mod place;
mod plan;
pub mod plugins;
pub mod precision;
mod predict;
mod predictions;
pub mod prune;
mod ranks;
mod read_back;
mod run_folder;
pub mod schedule;
mod statistics;
pub mod teacher;
mod trainer;
mod training_memory;

pub use average::Soup;
pub use error::Error;
pub use evaluate::evaluate;
pub use evaluation::{ClassAccuracy, Evaluation};
pub use event::{
    CommunicationReport, DataReport, Event, Observer, RunInfo, Said, ScalingReport, StepFigures,
    StepReport,
};
pub use experiment::Experiment;
pub use footprint::check_parameters;
pub use init::{Init, open_pretrained};
pub use learner::{BatchGradients, Learned, Learner, MemoryFault, Stage};
pub use loss_scale::LossScale;
pub use memory::memory;
pub use micro_batch::MicroBatch;
pub use monitor_use::MonitorUse;
pub use place::Place;
pub use predict::{EvaluateOptions, Evaluated, TrainedModel};
pub use predictions::{AttendedImage, PredictOptions, Predicted, Predictions};
pub use ranks::Ranks;
pub use run_folder::{holds_run, is_running};
pub use trainer::{
    Outcome, RatePoint, RateRange, SuggestedRate, Trainer, eval_loader, range_test, suggested_rate,
    train_loader,
};
pub use training_memory::TrainingMemory;
