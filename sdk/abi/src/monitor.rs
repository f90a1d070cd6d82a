//! What monitors hear and ask for.

/// Counts of a distribution's magnitudes: below 1e-12, each decade up to 1e4, above.
pub const MAGNITUDES: usize = 18;

/// How often a monitor wants to hear, in optimizer steps; 0 is never. Of evaluations, checkpoints,
/// the data path, the start and the end it always hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interests {
    /// [`Event::Stepped`]
    pub steps: u32,
    /// [`Event::Layers`]
    pub layers: u32,
}

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Training starts, or goes on.
    Started(Run),
    /// An optimizer step was made.
    Stepped(Step),
    /// Statistics of every parameter, after a step's gradients and before its update.
    Layers(LayerReport),
    /// The model was evaluated.
    Evaluated(Evaluation),
    /// A checkpoint was written.
    Saved(Checkpoint),
    /// The run ends; the reason.
    Ended(String),
    /// What the data path has done since the report before; on the steps that are logged, before
    /// their [`Stepped`](Self::Stepped). Since contract 1.1.
    Data(DataReport),
}

/// What a monitor asks for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// A figure for the run's metrics.
    Metric {
        /// Its name, under the monitor's.
        name: String,
        /// Its value.
        value: f64,
    },
    /// Show this to the user.
    Warn(String),
    /// Change the learning rate from the next step on.
    ScaleLearningRate(RateChange),
    /// Save a checkpoint now; the reason.
    Save(String),
    /// Go back to the last checkpoint, and change the learning rate.
    RollBack(RateChange),
    /// End the run after this step; the reason.
    Stop(String),
}

/// A change of the learning rate.
#[derive(Clone, Debug, PartialEq)]
pub struct RateChange {
    /// The learning rate is multiplied by this.
    pub factor: f64,
    /// Why.
    pub reason: String,
}

/// What is known when a run starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Steps already made, by the run that is resumed.
    pub start_step: u64,
    /// Steps in all.
    pub total_steps: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Training images.
    pub train_images: u64,
    /// Validation images.
    pub val_images: u64,
    /// Images of a step.
    pub batch_size: u32,
    /// Trainable values of the model.
    pub parameters: u64,
    /// Floating-point operations of one image, forward and backward.
    pub flops_per_image: f64,
    /// What the device can do each second, where it is known.
    pub peak_flops: Option<f64>,
    /// The device, in words.
    pub device: String,
}

/// Where a step's time went, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timings {
    /// All of it.
    pub total: f64,
    /// Waiting for data.
    pub data_wait: f64,
    /// Forward and backward.
    pub gradients: f64,
    /// Clipping, optimizer, moving average.
    pub update: f64,
}

/// Memory in use, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The process's resident memory.
    pub host: u64,
    /// Its largest so far.
    pub host_peak: u64,
    /// Memory in use on the device, where it has its own.
    pub device: Option<u64>,
    /// Its largest so far.
    pub device_peak: Option<u64>,
}

/// What is read back from the device on the steps that are logged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Mean loss of the batch.
    pub loss: f64,
    /// Share of the batch that was classified right.
    pub accuracy: f64,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: f64,
}

/// One optimizer step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Steps made, this one included.
    pub step: u64,
    /// Epochs made.
    pub epoch: f64,
    /// Images of the step.
    pub images: u32,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// On the steps that are logged.
    pub figures: Option<Figures>,
    /// Where the time went.
    pub timings: Timings,
    /// Memory in use.
    pub memory: Memory,
}

/// How values are distributed.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Mean of the finite values.
    pub mean: f64,
    /// Standard deviation of the finite values.
    pub deviation: f64,
    /// L2 norm of the finite values.
    pub norm: f64,
    /// Largest absolute finite value.
    pub largest: f64,
    /// Zeros.
    pub zeros: u64,
    /// NaN or infinite values.
    pub non_finite: u64,
    /// How many of the others have magnitudes below 1e-12, then in each decade up to 1e4, then
    /// above.
    pub magnitudes: [u64; MAGNITUDES],
}

/// Statistics of one parameter of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterStatistics {
    /// As in `blocks.0.attn.qkv.weight`.
    pub name: String,
    /// Its values.
    pub elements: u64,
    /// Of its gradient, before clipping.
    pub gradient: Distribution,
    /// Of its values, before the update.
    pub weight: Distribution,
}

/// Statistics of every parameter at one step.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerReport {
    /// Steps made, this one included.
    pub step: u64,
    /// Epochs made.
    pub epoch: f64,
    /// In the model's order.
    pub parameters: Vec<ParameterStatistics>,
}

/// An evaluation of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Steps made.
    pub step: u64,
    /// Epochs made.
    pub epoch: f64,
    /// Mean loss.
    pub loss: f64,
    /// Share of the images whose class got the highest logit.
    pub top1: f64,
    /// Share of the images whose class is among the five highest.
    pub top5: f64,
    /// Whether no evaluation before was better.
    pub is_best: bool,
}

/// What the data path has done since the report before, or since training started or went on.
#[derive(Clone, Debug, PartialEq)]
pub struct DataReport {
    /// Steps made, the one that it comes with included.
    pub step: u64,
    /// Epochs made.
    pub epoch: f64,
    /// Seconds that the steps took, that one included.
    pub seconds: f64,
    /// How many of them the trainer waited for data.
    pub wait: f64,
    /// Worker threads now.
    pub workers: u32,
    /// Batches made ahead now.
    pub prefetch: u32,
    /// What workers spent their time on, in the order in which an image goes through it.
    pub stages: Vec<StageTime>,
}

/// The time of one stage of the data path.
#[derive(Clone, Debug, PartialEq)]
pub struct StageTime {
    /// `read`, `decode`, a transform or a plugin by its name in the experiment, `assemble`.
    pub name: String,
    /// Seconds that all workers together spent in it.
    pub seconds: f64,
}

/// A checkpoint that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Steps made.
    pub step: u64,
    /// Its folder's name.
    pub name: String,
}
