//! Vitral's training loop.
//!
//! An [`Experiment`] says what is done, a [`Trainer`] does it and reports [`Event`]s. The parts are
//! one file each: losses, gradients, optimizers, parameter groups, schedules, mixing, averaging,
//! evaluation, checkpoints.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use vitral_bundle::Trust;
//! use vitral_config::Document;
//! use vitral_model::device::DeviceChoice;
//! use vitral_train::{Event, Experiment, TrainedModel, Trainer, checkpoint, plugins::Registry};
//!
//! let text = r#"(
//!     model: (image_size: 28, channels: 1, patch_size: 14, width: 16, depth: 1, heads: 2),
//!     data: (
//!         train: Idx(
//!             images: "../../examples/data/fashion-mnist-subset/train-images-idx3-ubyte.gz",
//!             labels: "../../examples/data/fashion-mnist-subset/train-labels-idx1-ubyte.gz",
//!         ),
//!         val: Split(0.1),
//!     ),
//!     train: (steps: 4, batch: 16, warmup_steps: 1),
//! )"#;
//! let mut experiment: Experiment = Document::new("experiment.ron", text).parse()?;
//! # let folder = tempfile::tempdir()?;
//! experiment.output = folder.path().join("run");
//!
//! // Without plugins, on the CPU.
//! let registry = Registry::new(Vec::new(), Trust::new(None, []), None);
//! let device = DeviceChoice::Cpu.open()?;
//! let mut trainer = Trainer::new(experiment, &registry, &device)?;
//! let mut top1 = None;
//! let mut observe = |event: &Event| {
//!     if let Event::Evaluated { evaluation, .. } = event {
//!         top1 = Some(evaluation.top1);
//!     }
//! };
//! let outcome = trainer.run(&mut observe, &AtomicBool::new(false))?;
//! assert_eq!(outcome.step, 4);
//! assert!(top1.is_some_and(|top1| (0.0..=1.0).contains(&top1)));
//!
//! let found = checkpoint::find(&outcome.run.join("best"))?;
//! let model = TrainedModel::new(checkpoint::Checkpoint::load(&found)?, &device)?;
//! assert_eq!(model.class_names().len(), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod average;
pub mod batch;
pub mod batch_size;
pub mod checkpoint;
pub mod class_weights;
mod device_exchange;
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
pub use learner::{BatchGradients, Launches, Learned, Learner, MemoryFault, Stage};
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
