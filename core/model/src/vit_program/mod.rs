//! The whole model as a tensor program, in evaluation mode: what writers of exchange formats lower.
//!
//! [`vit_program`] goes the way of [`ViT::forward`] and records ops in place of computing them. Parameters have the names and shapes of
//! [`parameters::infos`](crate::parameters::infos); a plugin's attention is taken over op by op.
//! The batch is symbolic; the image size is the model's, or any ([`vit_program_of_any_size`]).

mod any_size;
pub(crate) mod trace;

use vitral_program::{Program, TraceErrors, ops as op};

use crate::{Mode, ViT, ops::Ops};
use trace::Trace;

pub use any_size::{AnySizeProgram, ImageDim, vit_program_of_any_size};

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

impl Default for Interface {
    /// Normalised images to logits, as [`ViT::forward`].
    fn default() -> Self {
        Self { normalize: None, output: Output::Logits }
    }
}

/// Why a model is no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VitProgramError {
    /// A plugin's attention draws random numbers for each sample of a batch, in evaluation too.
    #[error(
        "the attention of layer {layer} (plugin `{plugin}`) draws random numbers for each image, \
         which is no function of the image"
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

/// Traces a model in evaluation mode.
///
/// # Errors
/// A plugin's attention that draws random numbers for each image, and sizes beyond what a program
/// can have.
pub fn vit_program(model: &ViT, interface: &Interface) -> Result<Program, VitProgramError> {
    model.program(Trace::new(model), interface)
}

impl ViT {
    /// Records the model between what goes in and what comes out.
    fn program(&self, mut trace: Trace, interface: &Interface) -> Result<Program, VitProgramError> {
        let images = trace.images();
        let images = match &interface.normalize {
            Some((mean, std)) => trace.normalized(images, mean, std),
            None => images,
        };
        let logits = self.logits(&mut trace, images, Mode::Eval);
        let output = match interface.output {
            Output::Logits => logits,
            Output::Softmax => trace.apply(op::Softmax { axis: 1 }, [logits]),
            Output::Sigmoid => trace.apply(op::Sigmoid {}, [logits]),
        };
        trace.finish(interface.output.name(), output)
    }
}
