//! The tables of functions by which host and plugin call each other.

use std::ffi::c_void;

use super::{
    Action, Batch, Description, Event, Image, Initializer, Interests, Layer, List, Sample, Setting,
    Tensor, Text,
};

/// The name of the one symbol that a native plugin exports: an [`Entry`].
pub const ENTRY: &str = "vitral_plugin";

/// The exported function. It returns a table that is valid for ever.
pub type Entry = unsafe extern "C" fn() -> *const Plugin;

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
