//! What augmentations and attention variants are called with.

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

/// One image's place in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The only source of randomness: derived from the run's seed, the epoch, the sample and the
    /// stage.
    pub seed: u64,
    /// Epochs made.
    pub epoch: u32,
    /// Side of the model's input, in pixels.
    pub size: u32,
}

/// The layer whose attention is traced. It has `prefix_tokens + grid_height * grid_width` tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
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

impl Layer {
    /// All tokens.
    pub const fn tokens(&self) -> u32 {
        self.prefix_tokens + self.grid_height * self.grid_width
    }
}

/// The batches for which a batch augmentation is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// One attribute of an op.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Its name, as the op declares it.
    pub name: String,
    /// Its value.
    pub value: AttributeValue,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    /// Yes or no.
    Boolean(bool),
    /// An integer: a size, an axis.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A list of integers.
    Integers(Vec<i64>),
    /// A list of numbers.
    Numbers(Vec<f64>),
    /// A word, a dimension (`4B`), a shape (`[B, 49]`) or a type (`f32[B,49]`).
    Text(String),
}

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
