//! What is asked of whoever writes a graph, and what was written.

use vitral_model::vit_program::Interface;

/// What is written along with a model, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphOptions {
    /// What the graph takes and gives. With normalisation it takes `u8` pixels.
    pub interface: Interface,
    /// The classes' names, in the order of the logits.
    pub class_names: Vec<String>,
    /// Whether weights are kept in 16 bits. They are computed with in 32.
    pub f16: bool,
    /// Whether the graph takes images of any size whose sides are multiples of the patch size, with
    /// positions resized inside of it as [`ViT::forward`](vitral_model::ViT::forward) does it, rather than those of the model's.
    pub any_image_size: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Ops in the graph.
    pub nodes: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Told how many bytes of weights are written, and how many there are.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64);
