//! What lies around the two branches of a block: LayerNorm, LayerScale, drop path, the residual.

use burn::{backend::flex::FlexTensor, tensor::Tensor};
use vitral_kernels::{layer_norm::LayerNorm, residual::Residual};

use super::operation::{Input, from_last, optional_values, values};

/// What lies around a residual branch.
pub(crate) struct ResidualParts {
    /// LayerNorm's factors, `[width]`.
    pub(crate) norm_weight: Tensor<1>,
    /// LayerNorm's summands, `[width]`.
    pub(crate) norm_bias: Tensor<1>,
    /// Added to LayerNorm's variance.
    pub(crate) eps: f64,
    /// LayerScale, `[width]`.
    pub(crate) layer_scale: Option<Tensor<1>>,
    /// Drop path's factor of each sample.
    pub(crate) sample_scales: Option<Vec<f32>>,
}

impl ResidualParts {
    /// The parameters, LayerNorm's two and LayerScale, as inputs of an operation; and the rest.
    pub(super) fn split(self) -> ([Input; 3], Settings) {
        let inputs = [
            Input::new(self.norm_weight),
            Input::new(self.norm_bias),
            Input::optional(self.layer_scale),
        ];
        let settings = Settings { eps: self.eps as f32, sample_scales: self.sample_scales };
        (inputs, settings)
    }
}

/// What lies around a residual branch and is not a tensor.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    eps: f32,
    sample_scales: Option<Vec<f32>>,
}

impl Settings {
    /// The kernel's view of what lies around a branch of `x`, `[batch, tokens, width]`.
    pub(super) fn around<'a>(
        &'a self,
        x: &FlexTensor,
        norm: [&'a FlexTensor; 2],
        layer_scale: &'a FlexTensor,
    ) -> Residual<'a> {
        let [weight, bias] = norm.map(values);
        Residual {
            batch: from_last(x, 2),
            tokens: from_last(x, 1),
            norm: LayerNorm { weight, bias, eps: self.eps },
            layer_scale: optional_values(layer_scale),
            sample_scales: self.sample_scales.as_deref(),
        }
    }
}
