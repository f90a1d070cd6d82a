//! What runs of a pipeline: stages with checked settings and opened plugins.
//!
//! A stage first decides what becomes of an image, by its size alone; then that is done, to pixels
//! (`stages.rs`) or to what is decoded of a file (`plan.rs`), down to coefficients (`coded.rs`).

use std::fmt;
use std::sync::Arc;

use vitral_seed::Seed;

use super::cut::Cut;
use super::hybrid::Hybrid;
use super::interpolation::Interpolation;
use super::plugin::{PluginFailure, PluginStage};
use super::resample;
use crate::decode::Request;
use crate::error::{DataError, DecodeError, TransformError};
use crate::pixels::{Channels, ImageView};

/// A stage of image processing, ready to run. A copy is the same stage.
#[derive(Clone, Debug)]
pub struct Stage {
    pub(super) name: String,
    pub(super) operation: Arc<dyn Operation>,
}

impl Stage {
    /// Its name as in an experiment; a plugin's own.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// An image that comes to a stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passing {
    pub width: u32,
    pub height: u32,
    pub channels: Channels,
    /// Side of the model's square input.
    pub model: u32,
}

/// What a stage does.
pub(crate) trait Operation: fmt::Debug + Send + Sync {
    /// Checks what the ranges of single settings do not say.
    fn check(&self) -> Result<(), DataError> {
        Ok(())
    }

    /// Whether images of a size stay where they lie, whatever is decided. A plugin may have them stay; it
    /// tells if it does not.
    fn works_in_place(&self, size: (u32, u32), model: u32) -> bool;

    /// Decides what becomes of an image; at random by `seed` only.
    ///
    /// # Errors
    /// The result would be too large an image.
    fn step(&self, image: Passing, seed: Seed) -> Result<Step<'_>, TransformError>;

    /// What is left of it where there are no pixels yet.
    fn hybrid(&self) -> Hybrid {
        Hybrid::NeedsPixels
    }

    /// Why it is no longer used, if it is not.
    fn disabled(&self) -> Option<&str> {
        None
    }

    /// Whether it calls the system for what computing does not need.
    fn needs_system(&self) -> bool {
        false
    }
}

/// What becomes of one image.
#[derive(Debug)]
pub(crate) enum Step<'s> {
    /// It is mirrored left and right, or stays as it is.
    Mirror(bool),
    /// It is drawn anew.
    Redraw(Redraw),
    /// A plugin changes it.
    Plugin(&'s PluginStage),
}

/// An image that is made of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redraw {
    /// A part, resized.
    Resize(Request, Interpolation),
    /// A part as it is, perhaps with a border.
    Cut(Cut),
}

impl Redraw {
    /// Width and height of the result.
    pub fn size(&self) -> (u32, u32) {
        match self {
            Self::Resize(request, _) => (request.width, request.height),
            Self::Cut(cut) => (cut.width, cut.height),
        }
    }

    /// Whether the result is the image of this size itself.
    pub fn changes_nothing(&self, (width, height): (u32, u32)) -> bool {
        match self {
            Self::Resize(request, _) => *request == Request::whole(width, height),
            Self::Cut(cut) => cut.is_whole(width, height),
        }
    }

    /// Draws into `out`, which has the length of an image of [`size`](Self::size). What was in it does not
    /// matter.
    pub fn draw(&self, image: ImageView<'_>, out: &mut [u8]) -> Result<(), TransformError> {
        match self {
            Self::Resize(Request { part, width, height }, interpolation) => {
                resample::area_into(image, part.area(), (*width, *height), *interpolation, out)
            }
            Self::Cut(cut) => {
                cut.draw(image, out);
                Ok(())
            }
        }
    }
}

impl Operation for PluginStage {
    fn works_in_place(&self, _: (u32, u32), _: u32) -> bool {
        true
    }

    fn step(&self, _: Passing, _: Seed) -> Result<Step<'_>, TransformError> {
        Ok(Step::Plugin(self))
    }

    fn disabled(&self) -> Option<&str> {
        Self::disabled(self)
    }

    fn needs_system(&self) -> bool {
        Self::needs_system(self)
    }
}

/// One image's way through the pipeline.
pub(super) struct Job {
    /// The sample's own seed.
    pub seed: Seed,
    pub epoch: u64,
    pub size: u32,
}

impl Job {
    pub fn seed_of(&self, stage: usize) -> Seed {
        self.seed.indexed(stage as u64)
    }
}

/// Why an image could not be processed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// The image's file is damaged, or no image that can be used.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A stage of this program.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// A plugin's stage.
    #[error(transparent)]
    Plugin(#[from] PluginFailure),
}
