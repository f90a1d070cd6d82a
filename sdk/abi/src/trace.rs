//! What augmentations and attention variants are called with.

use crate::plain::{Layer, Setting};
use crate::value::Value;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Error,
}

impl Layer {
    /// All tokens.
    pub const fn tokens(&self) -> u32 {
        self.prefix_tokens + self.grid_height * self.grid_width
    }
}

/// One attribute of an op, by the name that the op declares.
pub type Attribute = Setting;

/// The value of an attribute.
pub type AttributeValue = Value;

/// How a trainable parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// The same value everywhere.
    Constant(f64),
    /// Normal around zero with this deviation.
    Normal(f64),
    /// Normal cut at two deviations and rescaled to this deviation.
    TruncatedNormal(f64),
    /// Uniform between plus and minus this.
    Uniform(f64),
    /// Uniform with limit `sqrt(6 / (inputs + outputs))` (Glorot and Bengio 2010).
    XavierUniform {
        /// Inputs of each unit.
        inputs: u32,
        /// Outputs of each unit.
        outputs: u32,
    },
}
