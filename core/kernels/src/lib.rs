//! Fused CPU kernels of a Vision Transformer: forward and backward, each next to the other, on every
//! core.
//!
//! Everything works on plain slices, row after row, and knows nothing of tensors or automatic
//! differentiation; `vitral-burn` hangs it on Burn. What a layer does is fused as far as its data
//! fits into the caches: a block of rows is normalised, multiplied, activated and added to its
//! residual before the next block is read, and attention never stores its scores for backward
//! (Dao et al. 2022, FlashAttention).
//!
//! Products are in `f32` or in `bf16`, whichever type what they read, or keep for backward, has:
//! operands and kept activations are rounded, while sums, softmax, LayerNorm, activations and the
//! residual stream are in `f32`, and so are parameters and their gradients.
//!
//! * [`element`]: the two types, [`convert`]: from one to the other.
//! * [`layer_norm`], [`linear`], [`activation`], [`attention`]: the parts, each on its own.
//! * [`mlp_branch`], [`attention_branch`]: a whole residual branch at once, with the LayerNorm before it
//!   ([`branch_norm`]).
//! * [`patch_embedding`]: images to tokens.
//! * [`class_attention`], [`token_reorganization`]: where the class token looks, and fewer tokens by that;
//!   [`kept_tokens`]: those that patch dropout keeps.
//! * [`cross_entropy`]: softmax and cross-entropy of logits.
//! * [`optimizer`]: AdamW, SGD and Lion over all parameters in one pass.
//! * [`muon`]: orthogonalised momentum of weight matrices.
//! * [`simd`]: the instruction sets, one of which is chosen at run time.
//!
//! Below them, `matmul` has products with an epilogue, the micro-kernel and its packed operands;
//! `rows` cuts work into tasks, `scratch` lends each thread its memory, and `instances` has each
//! kernel compiled for both types.
//!
//! # Determinism
//! Work is cut by the shapes alone and sums have a fixed order, so that results are the same with
//! any number of threads. They differ between instruction sets, within rounding.
#![warn(missing_docs)]

pub mod activation;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
pub mod attention;
pub mod attention_branch;
pub mod branch_norm;
pub mod class_attention;
mod compiled;
pub mod convert;
pub mod cross_entropy;
pub mod element;
mod instances;
pub mod kept_tokens;
pub mod layer_norm;
pub mod linear;
mod matmul;
pub mod mlp_branch;
pub mod muon;
pub mod optimizer;
pub mod patch_embedding;
pub mod residual;
mod rows;
mod scratch;
pub mod simd;
pub mod token_reorganization;

pub use compiled::Compiled;

#[cfg(test)]
mod testing;
