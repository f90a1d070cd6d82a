//! Models in and out: weights and graphs in the formats of others.
//!
//! Nothing here knows of training. What comes in becomes a [`vitral_model::ViTConfig`] with the
//! values of its parameters ([`read`]); what goes out starts from a [`vitral_model::ViT`].
//!
//! ```
//! use std::path::Path;
//!
//! use vitral_interchange::{Hints, Resize, describe, read, to_task};
//!
//! // A folder as the Hugging Face hub has them: `model.safetensors` and `config.json`.
//! let vit = read(Path::new("../../tests/fixtures/huggingface/vit"), &Hints::default())?;
//! println!("{}", describe(&vit.config));
//!
//! // The same model for images of twice the side and 5 classes of one's own.
//! let size = 2 * vit.config.image_size;
//! let own = to_task(vit, Some(size), Some(5), Resize::Bicubic)?;
//! assert_eq!((own.config.image_size, own.config.classes), (size, 5));
//! own.notes.iter().for_each(|note| println!("{note}"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
