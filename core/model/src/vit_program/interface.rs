//! What a model's program takes and gives, and why there is none.

use vitral_program::TraceErrors;

/// The name of the program's input, `f32[B, height, width, channels]`.
pub const IMAGES: &str = "images";

/// What the program takes and gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    /// Mean and standard deviation of each channel, for values scaled to 0 to 1: the program takes
    /// pixels from 0 to 255. Without them it takes normalised images.
    pub normalize: Option<(Vec<f32>, Vec<f32>)>,
    /// What it gives.
    pub output: Output,
}

impl Default for Interface {
    /// Normalised images to logits, as [`ViT::forward`](crate::ViT::forward).
    fn default() -> Self {
        Self { normalize: None, output: Output::Logits }
    }
}

/// What a model gives for each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Logits.
    Logits,
    /// Probabilities that sum to 1, of a model trained with softmax cross-entropy.
    Softmax,
    /// A probability for each class on its own, of a model trained with sigmoid cross-entropy.
    Sigmoid,
}

impl Output {
    /// The name of the program's output, `f32[B, classes]`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Softmax | Self::Sigmoid => "probabilities",
        }
    }
}

/// Why a model is no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VitProgramError {
    /// A plugin's attention draws random numbers for each sample of a batch, in evaluation too.
    #[error(
        "the attention of layer {layer} (plugin `{plugin}`) draws random numbers for each image, \
         which is not a function of the image"
    )]
    Random {
        /// The layer.
        layer: usize,
        /// The plugin.
        plugin: String,
    },
    /// A part of the model is made for its own image size, and the program is to take any.
    #[error("{part} for images of any size: it is made for the model's own image size")]
    ImageSize {
        /// The part.
        part: String,
    },
    /// A part of the model does not fit the rules of programs.
    #[error("{0}")]
    Trace(#[from] TraceErrors),
}
