//! The whole model as a tensor program, in evaluation mode: what writers of exchange formats lower.
//!
//! [`vit_program`] goes the way of [`ViT::forward`](crate::ViT::forward) and records ops in place of computing them. Parameters have the names and shapes of
//! [`parameters::infos`](crate::parameters::infos); a plugin's attention is taken over op by op.
//! The batch is symbolic; the image size is the model's, or any ([`vit_program_of_any_size`]).

mod any_size;
mod interface;
mod one_size;
mod trace;

pub use any_size::{AnySizeProgram, ImageDim, vit_program_of_any_size};
pub use interface::{IMAGES, Interface, Output, VitProgramError};
pub use one_size::vit_program;
