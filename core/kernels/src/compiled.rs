//! What all kernels are compiled for.

use crate::{
    activation, attention, attention_branch, layer_norm, linear, mlp_branch, patch_embedding,
};

/// A type that every kernel is compiled for: `f32` or `bf16`.
pub trait Compiled:
    activation::Instances
    + attention::Instances
    + attention_branch::Instances
    + layer_norm::Instances
    + linear::Instances
    + mlp_branch::Instances
    + patch_embedding::Instances
{
}

impl<T> Compiled for T where
    T: activation::Instances
        + attention::Instances
        + attention_branch::Instances
        + layer_norm::Instances
        + linear::Instances
        + mlp_branch::Instances
        + patch_embedding::Instances
{
}
