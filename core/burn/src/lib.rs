//! What Vitral computes in Burn: the ops of tensor programs, and the parts of a model for which
//! `vitral-kernels` has a kernel, both with automatic differentiation and on any device.
//!
//! [`program`] runs a program's ops, [`kernels`] says which [`Composite`] has a kernel for which device and
//! type, [`compute`] what is rounded in `bf16` and `f16`, and [`device`] where all of it runs. Nothing here
//! knows what a model is made of.

#![recursion_limit = "256"]

pub mod composite;
pub mod compute;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
#[cfg(any(feature = "cuda", test))]
mod kernel_cache;
pub mod kernels;
#[cfg(feature = "cuda")]
pub mod nccl;
mod padding;
pub mod program;
pub mod recording;

pub use composite::Composite;
pub use compute::Compute;
pub use padding::same_padding;
