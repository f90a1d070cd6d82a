//! Models in and out: weights and graphs in the formats of others.
//!
//! Nothing here knows of training. What comes in becomes a [`vitral_model::ViTConfig`] with the
//! values of its parameters; what goes out starts from a [`vitral_model::ViT`].

mod error;

pub use error::InterchangeError;
