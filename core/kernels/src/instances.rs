//! Kernels for each type of element, compiled in this crate and not again in each that calls them.

use half::bf16;

use crate::{
    activation::Activation,
    attention::{Attention, AttentionGradients, AttentionResult, Heads, HeadsMut},
    attention_branch::{AttentionBranch, AttentionBranchGradients, AttentionSaved},
    element::convert_as,
    layer_norm::{LayerNorm, LayerNormGradients},
    linear::{Linear, LinearGradients},
    mlp_branch::{MlpBranch, MlpGradients, MlpSaved},
    patch_embedding::{PatchEmbedding, PatchEmbeddingGradients},
};

/// Values of one of the types.
#[derive(Debug)]
pub enum Values<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

/// Memory for values of one of the types.
#[derive(Debug)]
pub enum ValuesMut<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [bf16]),
}

/// Runs `$body` with `$values` of the type that they have.
macro_rules! with_type {
    ($kind:ident, $values:ident, $body:expr) => {
        match $values {
            $kind::F32($values) => $body,
            $kind::Bf16($values) => $body,
        }
    };
}

macro_rules! instances {
    ($(fn $function:ident($($argument:ident: $kind:ty),* $(,)?) => $body:expr;)*) => {
        /// The kernels that multiply in this type, or whose input is of it.
        pub trait Instances: Sized {
            fn values(values: &[Self]) -> Values<'_>;
            fn values_mut(values: &mut [Self]) -> ValuesMut<'_>;
            $(fn $function($($argument: $kind),*);)*
        }

        instances!(f32, F32, $(fn $function($($argument: $kind),*) => $body;)*);
        instances!(bf16, Bf16, $(fn $function($($argument: $kind),*) => $body;)*);
    };
    ($element:ty, $variant:ident, $(fn $function:ident($($argument:ident: $kind:ty),*) => $body:expr;)*) => {
        impl Instances for $element {
            fn values(values: &[Self]) -> Values<'_> {
                Values::$variant(values)
            }

            fn values_mut(values: &mut [Self]) -> ValuesMut<'_> {
                ValuesMut::$variant(values)
            }

            $(fn $function($($argument: $kind),*) {
                $body
            })*
        }
    };
}

instances! {
    fn convert(from: &[Self], to: ValuesMut<'_>) => with_type!(ValuesMut, to, convert_as(from, to));
    fn linear_forward(linear: &Linear<'_>, x: &[Self], out: ValuesMut<'_>) =>
        with_type!(ValuesMut, out, linear.forward_as(x, out));
    fn linear_input_gradient(linear: &Linear<'_>, gradient: Values<'_>, out: &mut [Self]) =>
        with_type!(Values, gradient, linear.input_gradient_as::<Self, _, Self>(gradient, out));
    fn linear_gradients(
        linear: &Linear<'_>,
        x: &[Self],
        gradient: Values<'_>,
        gradients: LinearGradients<'_>,
    ) => with_type!(Values, gradient, linear.gradients_as(x, gradient, gradients));
    fn layer_norm_forward(
        norm: &LayerNorm<'_>,
        x: &[Self],
        out: ValuesMut<'_>,
        statistics: &mut [f32],
    ) => with_type!(ValuesMut, out, norm.forward_as(x, out, statistics));
    fn layer_norm_backward(
        norm: &LayerNorm<'_>,
        x: &[Self],
        statistics: &[f32],
        gradient: Values<'_>,
        x_gradient: &mut [Self],
        gradients: LayerNormGradients<'_>,
    ) => with_type!(
        Values,
        gradient,
        norm.backward_as(x, statistics, gradient, x_gradient, gradients)
    );
    fn activation_forward(activation: Activation, x: &[Self], out: &mut [Self]) =>
        activation.run(x, None, out);
    fn activation_backward(
        activation: Activation,
        x: &[Self],
        gradient: &[Self],
        x_gradient: &mut [Self],
    ) => activation.run(x, Some(gradient), x_gradient);
    fn attention_forward(
        attention: &Attention<'_, Self>,
        out: HeadsMut<'_, Self>,
        logsumexp: &mut [f32],
    ) => attention.forward_as(out, logsumexp);
    fn attention_backward(
        attention: &Attention<'_, Self>,
        result: AttentionResult<'_, Self>,
        gradient: Heads<'_, Self>,
        gradients: AttentionGradients<'_, Self>,
    ) => attention.backward_as(result, gradient, gradients);
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
    fn patch_embedding_forward(embedding: &PatchEmbedding<'_>, images: &[Self], out: &mut [f32]) =>
        embedding.forward_as(images, out);
    fn patch_embedding_backward(
        embedding: &PatchEmbedding<'_>,
        images: &[Self],
        gradient: &[f32],
        image_gradient: Option<&mut [Self]>,
        gradients: PatchEmbeddingGradients<'_>,
    ) => embedding.backward_as(images, gradient, image_gradient, gradients);
}
