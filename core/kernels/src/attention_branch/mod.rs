//! The attention half of a block: `x + scale * gamma * (attention(layer_norm(x) Wqkv + b) Wproj + b)`.
//!
//! Queries, keys and values come from one packed projection and are read where they lie; the heads'
//! results are written where the next projection reads them. Backward needs the projection, the
//! heads' results and their sums.

mod backward;
mod forward;
#[cfg(test)]
mod tests;

use crate::{
    attention::{Attention, AttentionShape, HeadStrides, Heads},
    branch_norm::KeptNorm,
    instances::instances,
    layer_norm::LayerNormGradients,
    linear::{Linear, LinearGradients},
    residual::Residual,
    rows::Kept,
};

/// The parameters of an attention branch.
#[derive(Clone, Copy, Debug)]
pub struct AttentionBranch<'a> {
    /// What lies around it.
    pub residual: Residual<'a>,
    /// `[width, 3 * inner]`: queries, keys and values, each with its heads side by side.
    pub qkv: Linear<'a>,
    /// `[inner, width]`
    pub proj: Linear<'a>,
    /// Heads, which divide the inner width. That is the width, unless heads were pruned.
    pub heads: usize,
}

/// What forward leaves for backward.
#[derive(Debug)]
pub struct AttentionSaved<'a, T = f32> {
    /// `[kept_rows, 3 * inner]`
    pub qkv: &'a mut [T],
    /// `[kept_rows, inner]`: the heads' results.
    pub attended: &'a mut [T],
    /// `[kept_samples, heads, tokens]`
    pub logsumexp: &'a mut [f32],
    /// Where backward is not given `x`: of `kept_rows` rows. Never with `f32`.
    pub norm: Option<KeptNorm<'a, T>>,
}

/// The gradients of an attention branch's parameters.
#[derive(Debug)]
pub struct AttentionBranchGradients<'a> {
    /// Of the LayerNorm.
    pub norm: LayerNormGradients<'a>,
    /// Of the packed projection.
    pub qkv: LinearGradients<'a>,
    /// Of the projection of the heads' results.
    pub proj: LinearGradients<'a>,
    /// Of LayerScale, if there is one.
    pub layer_scale: Option<&'a mut [f32]>,
}

instances! {
    fn attention_branch_forward(
        branch: &AttentionBranch<'_>,
        x: &[f32],
        out: &mut [f32],
        saved: Option<AttentionSaved<'_, Self>>,
    ) => branch.forward_as(x, out, saved);
    fn attention_branch_backward(
        branch: &AttentionBranch<'_>,
        x: &[f32],
        saved: AttentionSaved<'_, Self>,
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: AttentionBranchGradients<'_>,
    ) => branch.backward_as(x, saved, gradient, x_gradient, gradients);
}

impl AttentionBranch<'_> {
    /// Width of all heads together.
    fn inner(&self) -> usize {
        self.proj.inputs
    }

    /// `x` to `out`, both `[batch, tokens, width]`. Fills what backward needs, if that is asked for.
    /// Products, and what is kept, are of type `T`.
    pub fn forward<T: Instances>(
        &self,
        x: &[f32],
        out: &mut [f32],
        saved: Option<AttentionSaved<'_, T>>,
    ) {
        T::attention_branch_forward(self, x, out, saved);
    }

    fn shape(&self, kept: &Kept) -> AttentionShape {
        let head_dim = self.inner() / self.heads;
        AttentionShape {
            batch: kept.samples.len(),
            heads: self.heads,
            queries: self.residual.tokens,
            keys: self.residual.tokens,
            head_dim,
            value_dim: head_dim,
            scale: (head_dim as f32).sqrt().recip(),
        }
    }

    /// Where queries, keys and values lie in the packed projection.
    fn strides(&self, shape: AttentionShape) -> [HeadStrides; 3] {
        [0, 1, 2].map(|part| {
            HeadStrides::packed(part, 3, self.heads, self.residual.tokens, shape.head_dim)
        })
    }

    fn attention<'q, T: Copy>(&self, kept: &Kept, qkv: &'q [T]) -> Attention<'q, T> {
        let shape = self.shape(kept);
        let [q, k, v] = self.strides(shape).map(|strides| Heads { data: qkv, strides });
        Attention { shape, q, k, v, bias: None }
    }

    /// Where the heads' results lie.
    fn attended_strides(&self) -> HeadStrides {
        let head_dim = self.inner() / self.heads;
        HeadStrides::packed(0, 1, self.heads, self.residual.tokens, head_dim)
    }

    /// From the gradient of the result to those of `x` and of the parameters. `x` is not looked at where
    /// its norm was saved.
    pub fn backward<T: Instances>(
        &self,
        x: &[f32],
        saved: AttentionSaved<'_, T>,
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: AttentionBranchGradients<'_>,
    ) {
        T::attention_branch_backward(self, x, saved, gradient, x_gradient, gradients);
    }
}
