//! Models in and out: weights and graphs in the formats of others.
//!
//! Nothing here knows of training. What comes in becomes a [`vitral_model::ViTConfig`] with the
//! values of its parameters ([`read`]); what goes out starts from a [`vitral_model::ViT`].

mod adapt;
mod architecture;
mod array;
mod dialect;
mod error;
mod file;
mod graph;
mod grid;
mod hints;
mod layout;
mod names;
mod onnx;
mod output;
mod pattern;
mod positions;
mod preprocessing;
mod protobuf;
mod read;
mod saved_model;
mod settings;
mod write;

pub use adapt::{AdaptOptions, Adapted, adapt, to_task};
pub use array::Array;
pub use error::{InterchangeError, Mismatches};
pub use graph::{GraphFormat, GraphOptions, Progress, Verified, Written, verify};
pub use hints::Hints;
pub use names::Dialect;
pub use onnx::{OnnxOptions, write_onnx};
pub use positions::{Resize, resize_positions, resize_relative_bias};
pub use preprocessing::{Fit, Interpolation, Preprocessing};
pub use read::{Pretrained, describe, read};
pub use saved_model::write_saved_model;
pub use write::{write_published, write_timm};
