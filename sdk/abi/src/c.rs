//! The boundary of a native plugin, as C sees it.
//!
//! A native plugin is a shared library that exports one symbol, [`ENTRY`]: a function that returns a
//! table of functions, [`Plugin`]. The host calls them with a table of its own, [`Host`].
//!
//! # Rules
//!
//! - **Ownership.** Every pointer that is passed belongs to the side that passes it, and is valid
//!   until the call returns. Whoever wants to keep something copies it. Only the table and the
//!   description that a plugin returns are valid for ever; a library is never unloaded.
//! - **Results** are handed over by calling the host's functions, which copy them.
//! - **Versions.** A table begins with its size and version. Fields are only ever appended; a side
//!   reads no field that lies beyond the other's size. A plugin loads if its major version is the
//!   host's and its minor version is not newer.
//! - **Errors.** A function that may fail calls `Host::fail` with a message and returns
//!   [`FAILED`]. No panic and no exception crosses the boundary.
//! - **Threads.** An instance is used by one thread at a time, not always the same. Instances know
//!   nothing of each other. The host's table is for the thread of the call it was given to.
//! - **Text** is UTF-8, without a terminating zero.
//! - Tags are numbers, and one that a side does not know is an error of that value, never undefined.

use std::ffi::c_void;

/// The name of the one symbol that a native plugin exports: an [`Entry`].
pub const ENTRY: &str = "vitral_plugin";

/// The exported function. It returns a table that is valid for ever.
pub type Entry = unsafe extern "C" fn() -> *const Plugin;

/// Major version of this contract.
pub const MAJOR: u16 = 1;
/// Minor version of this contract.
pub const MINOR: u16 = 1;

/// The call did what was asked.
pub const OK: u32 = 0;
/// The call failed; the host has been told why.
pub const FAILED: u32 = 1;
/// The plugin panicked; its instance must not be used again.
pub const PANICKED: u32 = 2;

/// `Plugin::kind`: changes one image in a data worker.
pub const IMAGE_AUGMENTATION: u32 = 0;
/// `Plugin::kind`: changes a batch, as a tensor program.
pub const BATCH_AUGMENTATION: u32 = 1;
/// `Plugin::kind`: a layer's attention, as a tensor program.
pub const ATTENTION: u32 = 2;
/// `Plugin::kind`: hears of what happens in a run.
pub const MONITOR: u32 = 3;

/// Borrowed items, one after the other. `data` may be null where `len` is 0.
#[repr(C)]
#[derive(Debug)]
pub struct List<T> {
    /// The first item.
    pub data: *const T,
    /// How many there are.
    pub len: usize,
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<T> {}

impl<T> List<T> {
    /// No items.
    pub const EMPTY: Self = Self { data: std::ptr::null(), len: 0 };
}

/// Borrowed UTF-8 text.
pub type Text = List<u8>;

/// `Value::tag`: `boolean` is set.
pub const BOOLEAN: u32 = 0;
/// `integer` is set.
pub const INTEGER: u32 = 1;
/// `number` is set.
pub const NUMBER: u32 = 2;
/// `text` is set.
pub const TEXT: u32 = 3;
/// `integers` is set.
pub const INTEGERS: u32 = 4;
/// `numbers` is set.
pub const NUMBERS: u32 = 5;
/// `ParameterType::tag` only: one of the words in `choices`.
pub const CHOICE: u32 = 6;

/// What a [`Value`] holds, by its tag.
#[repr(C)]
#[derive(Clone, Copy)]
pub union ValueData {
    /// 0 or 1.
    pub boolean: u8,
    /// An integer.
    pub integer: i64,
    /// A number.
    pub number: f64,
    /// Text.
    pub text: Text,
    /// A list of integers.
    pub integers: List<i64>,
    /// A list of numbers.
    pub numbers: List<f64>,
}

/// The value of a parameter or of an op's attribute.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Value {
    /// `BOOLEAN` to `NUMBERS`.
    pub tag: u32,
    /// The value.
    pub data: ValueData,
}

/// A parameter and its value, or an op's attribute and its value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Setting {
    /// The parameter's name.
    pub name: Text,
    /// Its value.
    pub value: Value,
}

/// Which values a parameter takes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ParameterType {
    /// `BOOLEAN` to `CHOICE`.
    pub tag: u32,
    /// Smallest integer, for `INTEGER` and `INTEGERS`.
    pub min_integer: i64,
    /// Largest integer.
    pub max_integer: i64,
    /// Smallest number, for `NUMBER` and `NUMBERS`.
    pub min_number: f64,
    /// Largest number.
    pub max_number: f64,
    /// The words of a `CHOICE`.
    pub choices: List<Text>,
}

/// A parameter that users may set.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Parameter {
    /// Lower-case words joined by `_`.
    pub name: Text,
    /// What it does, in a sentence or two.
    pub doc: Text,
    /// Which values it takes.
    pub r#type: ParameterType,
    /// Its default; null where users must set it.
    pub default_value: *const Value,
}

/// A documented configuration.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Example {
    /// What it shows.
    pub title: Text,
    /// What differs from the defaults.
    pub settings: List<Setting>,
}

/// What a plugin says of itself.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Description {
    /// Lower-case words joined by `-`.
    pub name: Text,
    /// A semantic version.
    pub version: Text,
    /// One line.
    pub summary: Text,
    /// What users may set.
    pub parameters: List<Parameter>,
    /// Documented configurations.
    pub examples: List<Example>,
}

/// An image: rows from top to bottom, pixels from left to right, channels innermost.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 1 or 3.
    pub channels: u32,
    /// `width * height * channels` bytes, which the plugin may change in place.
    pub pixels: *mut u8,
}

/// One image's place in a run.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The only source of randomness: derived from the run's seed, the epoch, the sample and the
    /// stage.
    pub seed: u64,
    /// Epochs made.
    pub epoch: u32,
    /// Side of the model's input, in pixels.
    pub size: u32,
}

/// A symbolic tensor of the trace that is going on. Any number is safe to pass.
pub type Tensor = u64;

/// The batches for which a batch augmentation is traced.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Rows of an image.
    pub height: u32,
    /// Pixels of a row.
    pub width: u32,
    /// Channels of a pixel.
    pub channels: u32,
    /// Width of a target.
    pub classes: u32,
}

/// The layer whose attention is traced. It has `prefix_tokens + grid_height * grid_width` tokens.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// Which layer it is, from 0.
    pub index: u32,
    /// Layers of the model.
    pub depth: u32,
    /// Attention heads.
    pub heads: u32,
    /// Width of one head.
    pub head_width: u32,
    /// Class and register tokens, which come before the patches.
    pub prefix_tokens: u32,
    /// Rows of patches.
    pub grid_height: u32,
    /// Patches of a row.
    pub grid_width: u32,
    /// The experiment's dropout of attention weights.
    pub dropout: f64,
}

/// `Initializer::tag`: `a` everywhere.
pub const CONSTANT: u32 = 0;
/// Normal around zero with deviation `a`.
pub const NORMAL: u32 = 1;
/// Normal cut at two deviations and rescaled to deviation `a`.
pub const TRUNCATED_NORMAL: u32 = 2;
/// Uniform between plus and minus `a`.
pub const UNIFORM: u32 = 3;
/// Uniform with limit `sqrt(6 / (a + b))`, where `a` and `b` are inputs and outputs of each unit.
pub const XAVIER_UNIFORM: u32 = 4;

/// How a trainable parameter starts.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Initializer {
    /// `CONSTANT` to `XAVIER_UNIFORM`.
    pub tag: u32,
    /// See the tags.
    pub a: f64,
    /// See the tags.
    pub b: f64,
}

/// How often a monitor wants to hear, in optimizer steps; 0 is never.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Interests {
    /// `STEPPED`
    pub steps: u32,
    /// `LAYERS`
    pub layers: u32,
}

/// What is known when a run starts.
#[repr(C)]
#[derive(Clone, Copy)]
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
    /// What the device can do each second; NaN where it is not known.
    pub peak_flops: f64,
    /// The device, in words.
    pub device: Text,
}

/// Where a step's time went, in seconds.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
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

/// Memory in use, in bytes; `UINT64_MAX` is unknown.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The process's resident memory.
    pub host: u64,
    /// Its largest so far.
    pub host_peak: u64,
    /// Memory in use on the device, where it has its own.
    pub device: u64,
    /// Its largest so far.
    pub device_peak: u64,
}

/// One optimizer step. Loss, accuracy and gradient norm are NaN on steps that are not logged, which
/// `has_figures` tells.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Steps made, this one included.
    pub step: u64,
    /// Epochs made.
    pub epoch: f64,
    /// Images of the step.
    pub images: u32,
    /// 1 if loss, accuracy and gradient norm are known.
    pub has_figures: u32,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Mean loss of the batch.
    pub loss: f64,
    /// Share of the batch that was classified right.
    pub accuracy: f64,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Where the time went.
    pub timings: Timings,
    /// Memory in use.
    pub memory: Memory,
}

/// How values are distributed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
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
    pub magnitudes: [u64; 18],
}

/// Statistics of one parameter of the model.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ParameterStatistics {
    /// As in `blocks.0.attn.qkv.weight`.
    pub name: Text,
    /// Its values.
    pub elements: u64,
    /// Of its gradient, before clipping.
    pub gradient: Distribution,
    /// Of its values, before the update.
    pub weight: Distribution,
}

/// Statistics of every parameter at one step.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LayerReport {
    /// Steps made, this one included.
    pub step: u64,
    /// Epochs made.
    pub epoch: f64,
    /// In the model's order.
    pub parameters: List<ParameterStatistics>,
}

/// An evaluation of the model.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
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
    /// 1 if no evaluation before was better.
    pub is_best: u8,
}

/// A checkpoint that was written.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Checkpoint {
    /// Steps made.
    pub step: u64,
    /// Its folder's name.
    pub name: Text,
}

/// The time of one stage of the data path.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StageTime {
    /// `read`, `decode`, a transform or a plugin by its name in the experiment, `assemble`.
    pub name: Text,
    /// Seconds that all workers together spent in it.
    pub seconds: f64,
}

/// What the data path has done since the report before, or since training started or went on.
#[repr(C)]
#[derive(Clone, Copy)]
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
    pub stages: List<StageTime>,
}

/// `Event::tag`: `started` is set.
pub const STARTED: u32 = 0;
/// `stepped` is set.
pub const STEPPED: u32 = 1;
/// `layers` is set.
pub const LAYERS: u32 = 2;
/// `evaluated` is set.
pub const EVALUATED: u32 = 3;
/// `saved` is set.
pub const SAVED: u32 = 4;
/// `ended` is set: the reason.
pub const ENDED: u32 = 5;
/// `data` is set. Since contract 1.1.
pub const DATA: u32 = 6;

/// What happened in an [`Event`], by its tag.
#[repr(C)]
#[derive(Clone, Copy)]
pub union EventData {
    /// Training starts, or goes on.
    pub started: Run,
    /// An optimizer step was made.
    pub stepped: Step,
    /// Statistics of every parameter.
    pub layers: LayerReport,
    /// The model was evaluated.
    pub evaluated: Evaluation,
    /// A checkpoint was written.
    pub saved: Checkpoint,
    /// The run ends; the reason.
    pub ended: Text,
    /// What the data path has done since the report before.
    pub data: DataReport,
}

/// Something that happened in a run. A plugin ignores tags that it does not know.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    /// `STARTED` to `DATA`.
    pub tag: u32,
    /// What happened.
    pub data: EventData,
}

/// `Action::tag`: a figure for the run's metrics, `text` its name and `number` its value.
pub const METRIC: u32 = 0;
/// Show `text` to the user.
pub const WARN: u32 = 1;
/// Multiply the learning rate by `number`, because of `text`.
pub const SCALE_LEARNING_RATE: u32 = 2;
/// Save a checkpoint, because of `text`.
pub const SAVE: u32 = 3;
/// Go back to the last checkpoint and multiply the learning rate by `number`, because of `text`.
pub const ROLL_BACK: u32 = 4;
/// End the run after this step, because of `text`.
pub const STOP: u32 = 5;

/// What a monitor asks for.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Action {
    /// `METRIC` to `STOP`.
    pub tag: u32,
    /// See the tags.
    pub text: Text,
    /// See the tags.
    pub number: f64,
}

/// `Host::log`: for the plugin's author.
pub const DEBUG: u32 = 0;
/// `Host::log`: worth knowing.
pub const INFO: u32 = 1;
/// `Host::log`: something may be wrong.
pub const WARNING: u32 = 2;
/// `Host::log`: something is wrong.
pub const ERROR: u32 = 3;

/// What the host offers during a call. Functions take `context` as their first argument. Those that
/// do not make sense in a call (tracing while an image is augmented) report that as its error.
#[repr(C)]
pub struct Host {
    /// Size of this table in bytes.
    pub struct_size: usize,
    /// Major version of the contract that the host speaks.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
    /// To be handed back with each call.
    pub context: *mut c_void,
    /// A message for the user, at a level from `DEBUG` to `ERROR`.
    pub log: unsafe extern "C" fn(context: *mut c_void, level: u32, message: Text),
    /// Why the call is about to fail.
    pub fail: unsafe extern "C" fn(context: *mut c_void, message: Text),
    /// Tracing: applies an op, writes at most `capacity` of its results and returns how many there
    /// are. Always succeeds: what does not fit is reported when the trace ends, and its results are
    /// poisoned.
    pub apply: unsafe extern "C" fn(
        context: *mut c_void,
        op: Text,
        attributes: List<Setting>,
        operands: List<Tensor>,
        label: Text,
        results: *mut Tensor,
        capacity: usize,
    ) -> usize,
    /// Tracing: declares a trainable `f32` parameter. `decay` is 1 if weight decay applies to it.
    pub parameter: unsafe extern "C" fn(
        context: *mut c_void,
        name: Text,
        shape: List<u32>,
        initializer: Initializer,
        decay: u8,
    ) -> Tensor,
    /// Tracing: writes at most `capacity` bytes of a tensor's type, as in `f32[B,4,49,16]`, and
    /// returns its whole length; 0 if the tensor follows from an error.
    pub tensor_type: unsafe extern "C" fn(
        context: *mut c_void,
        tensor: Tensor,
        buffer: *mut u8,
        capacity: usize,
    ) -> usize,
    /// Tracing: names the next result of the trace. An attention has one, a batch augmentation two:
    /// images, then targets.
    pub result: unsafe extern "C" fn(context: *mut c_void, tensor: Tensor),
    /// Augmenting: room for an image of another size, all zero, which becomes the result in place of
    /// the given image. It belongs to the host. Null if it would be too large.
    pub new_image: unsafe extern "C" fn(
        context: *mut c_void,
        width: u32,
        height: u32,
        channels: u32,
    ) -> *mut u8,
    /// Monitoring: asks for something.
    pub act: unsafe extern "C" fn(context: *mut c_void, action: *const Action),
    /// Monitoring: the state that `Plugin::save` is asked for.
    pub state: unsafe extern "C" fn(context: *mut c_void, bytes: List<u8>),
}

/// What a native plugin offers. `describe`, `create` and `destroy` are always there, others where
/// the kind has them; the rest is null.
#[repr(C)]
pub struct Plugin {
    /// Size of this table in bytes.
    pub struct_size: usize,
    /// Major version of the contract that the plugin was built for.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
    /// `IMAGE_AUGMENTATION` to `MONITOR`.
    pub kind: u32,
    /// What the plugin says of itself; valid for ever.
    pub describe: Option<unsafe extern "C" fn() -> *const Description>,
    /// Makes an instance with every parameter set, and writes it to `instance`, which is null
    /// before. For monitors also writes `interests`, which is null for other kinds.
    pub create: Option<
        unsafe extern "C" fn(
            host: *const Host,
            settings: List<Setting>,
            instance: *mut *mut c_void,
            interests: *mut Interests,
        ) -> u32,
    >,
    /// Frees an instance, also one that panicked.
    pub destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    /// Image augmentations: changes an image in place, or makes another with `Host::new_image`.
    pub augment: Option<
        unsafe extern "C" fn(
            instance: *mut c_void,
            host: *const Host,
            image: *const Image,
            sample: *const Sample,
        ) -> u32,
    >,
    /// Batch augmentations: `images` are `f32[B,height,width,channels]`, normalised; `targets` are
    /// `f32[B,classes]`, each row a distribution. Gives two results of the same types.
    pub trace_batch: Option<
        unsafe extern "C" fn(
            instance: *mut c_void,
            host: *const Host,
            batch: *const Batch,
            images: Tensor,
            targets: Tensor,
        ) -> u32,
    >,
    /// Attentions: queries, keys and values are `f32[B,heads,tokens,head_width]`. Gives one result
    /// of the same type.
    pub trace_attention: Option<
        unsafe extern "C" fn(
            instance: *mut c_void,
            host: *const Host,
            layer: *const Layer,
            query: Tensor,
            key: Tensor,
            value: Tensor,
        ) -> u32,
    >,
    /// Monitors: something happened.
    pub observe: Option<
        unsafe extern "C" fn(instance: *mut c_void, host: *const Host, event: *const Event) -> u32,
    >,
    /// Monitors: hands what a resumed run needs to `Host::state`.
    pub save: Option<unsafe extern "C" fn(instance: *mut c_void, host: *const Host) -> u32>,
    /// Monitors: takes up a saved state.
    pub restore: Option<
        unsafe extern "C" fn(instance: *mut c_void, host: *const Host, state: List<u8>) -> u32,
    >,
}

// SAFETY: a table is never written after it was made, and its functions may be called from any
// thread.
unsafe impl Sync for Plugin {}
// SAFETY: as above.
unsafe impl Send for Plugin {}
