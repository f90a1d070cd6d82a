//! The feed-forward half of a block: `x + scale * gamma * (act(layer_norm(x) W1 + b1) W2 + b2)`.
//!
//! Forward takes a block of rows through all of it while it lies in the core's cache. Backward needs
//! what came out of `W1`; it is either kept, or computed anew (activation checkpointing, Chen et al.
//! 2016).

mod backward;
mod forward;
#[cfg(test)]
mod tests;

use crate::{
    activation::Activation,
    branch_norm::KeptNorm,
    instances::instances,
    layer_norm::LayerNormGradients,
    linear::{Linear, LinearGradients},
    residual::Residual,
};

/// The parameters of an MLP branch.
#[derive(Clone, Copy, Debug)]
pub struct MlpBranch<'a> {
    /// What lies around it.
    pub residual: Residual<'a>,
    /// `[width, hidden]`
    pub fc1: Linear<'a>,
    /// `[hidden, width]`
    pub fc2: Linear<'a>,
    /// Between the two.
    pub activation: Activation,
}

/// What forward leaves for backward.
#[derive(Debug)]
pub struct MlpSaved<'a, T = f32> {
    /// `[kept_rows, hidden]`: what goes into the activation. Backward overwrites it.
    pub hidden: &'a mut [T],
    /// Where backward is not given `x`: of `kept_rows` rows. Never with `f32`.
    pub norm: Option<KeptNorm<'a, T>>,
}

/// The gradients of an MLP branch's parameters.
#[derive(Debug)]
pub struct MlpGradients<'a> {
    /// Of the LayerNorm.
    pub norm: LayerNormGradients<'a>,
    /// Of the first layer.
    pub fc1: LinearGradients<'a>,
    /// Of the second layer.
    pub fc2: LinearGradients<'a>,
    /// Of LayerScale, if there is one.
    pub layer_scale: Option<&'a mut [f32]>,
}

instances! {
    fn mlp_branch_forward(
        branch: &MlpBranch<'_>,
        x: &[f32],
        out: &mut [f32],
        saved: Option<MlpSaved<'_, Self>>,
    ) => branch.forward_as(x, out, saved);
    fn mlp_branch_backward(
        branch: &MlpBranch<'_>,
        x: &[f32],
        saved: Option<MlpSaved<'_, Self>>,
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: MlpGradients<'_>,
    ) => branch.backward_as(x, saved, gradient, x_gradient, gradients);
}

impl MlpBranch<'_> {
    fn hidden(&self) -> usize {
        self.fc1.outputs
    }

    /// `x` to `out`, both `[batch, tokens, width]`. Fills what backward needs, if that is asked for.
    /// Products, and what is kept, are of type `T`.
    pub fn forward<T: Instances>(
        &self,
        x: &[f32],
        out: &mut [f32],
        saved: Option<MlpSaved<'_, T>>,
    ) {
        T::mlp_branch_forward(self, x, out, saved);
    }

    /// From the gradient of the result to those of `x` and of the parameters. Without `saved`, what
    /// forward computed is computed again; `x` is not looked at where its norm was saved.
    pub fn backward<T: Instances>(
        &self,
        x: &[f32],
        saved: Option<MlpSaved<'_, T>>,
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: MlpGradients<'_>,
    ) {
        T::mlp_branch_backward(self, x, saved, gradient, x_gradient, gradients);
    }
}
