//! Images, tensors, how parameters start, and levels of messages.

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

/// A symbolic tensor of the trace that is going on. Any number is safe to pass.
pub type Tensor = u64;

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

/// `Host::log`: for the plugin's author.
pub const DEBUG: u32 = 0;
/// `Host::log`: worth knowing.
pub const INFO: u32 = 1;
/// `Host::log`: something may be wrong.
pub const WARNING: u32 = 2;
/// `Host::log`: something is wrong.
pub const ERROR: u32 = 3;
