//! What a caller can say of a model that its file does not tell.

use crate::Resize;

/// What the caller knows better than the file.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Attention heads.
    pub heads: Option<usize>,
    /// Which of several models in the file, by a part of what stands before its names: `teacher`.
    pub part: Option<String>,
    /// Side of the square images that the model is wanted for. A file whose images were not square needs
    /// it: models here have square ones, so its positions are resized.
    pub image_size: Option<usize>,
    /// How positions of images that were not square are resized.
    pub positions: Resize,
}
