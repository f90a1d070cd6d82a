//! The Vision Transformer (Dosovitskiy et al. 2021) in Burn, with the options that the field has
//! added since, the MLP-Mixer (Tolstikhin et al. 2021) and hybrids with a ResNet among them: one file
//! per part, each with timm's and vit_jax's name for it.
//!
//! Images enter as `[batch, height, width, channels]`, tokens flow as `[batch, tokens, width]`, and
//! logits leave as `[batch, classes]`. [`ViTConfig`] says what is built, [`ViT::forward`] runs it,
//! and [`parameters`] is the flat view on its weights that optimizers and files work with.
//!
//! ```
//! use burn::tensor::Tensor;
//! use vitral_model::{Mode, ViT, ViTConfig, device::DeviceChoice, parameters};
//! use vitral_seed::Seed;
//!
//! let published = ViTConfig { classes: 1000, ..ViTConfig::of_variant("B/16".parse()?) };
//! let shapes = parameters::of_config(&published);
//! let count: usize = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
//! assert_eq!(count, 86_567_656);
//!
//! let small = ViTConfig {
//!     image_size: 32,
//!     patch_size: Some(8),
//!     depth: Some(2),
//!     classes: 10,
//!     ..ViTConfig::of_variant("Ti/16".parse()?)
//! };
//! let device = DeviceChoice::Cpu.open()?;
//! let model = ViT::new(&small, Seed::new(0), &device)?;
//! let logits = model.forward(Tensor::zeros([4, 32, 32, 3], &device), Mode::Eval);
//! assert_eq!(logits.dims(), [4, 10]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![recursion_limit = "256"]

pub mod activation_checkpointing;
pub mod attention;
pub mod attention_maps;
mod bicubic;
pub mod block;
pub mod config;
mod costs;
pub mod drop;
mod eager;
mod grid;
pub mod init;
pub mod layers;
pub mod mlp;
mod ops;
pub mod parameters;
pub mod patch_embed;
pub mod pool;
pub mod position;
pub mod program_attention;
mod recompute;
pub mod resized_positions;
pub mod resnet;
pub mod summary;
mod tables;
pub mod token_merging;
pub mod token_mixing;
pub mod token_reorganization;
pub mod variant;
mod vit;
pub mod vit_program;
mod waves;

pub use activation_checkpointing::ActivationCheckpointing;
pub use config::{ConfigProblem, ViTConfig};
pub use costs::Costs;
pub use drop::Mode;
pub use program_attention::AttentionPrograms;
pub use variant::Variant;
pub use vit::ViT;
/// Where a model runs, and in which precision.
pub use vitral_burn::{Compute, device};
