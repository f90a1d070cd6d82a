//! What lies around the two branches of a block: LayerNorm, LayerScale, drop path, the residual.

use burn::backend::flex::FlexTensor;
use vitral_kernels::{layer_norm::LayerNorm, residual::Residual};

use crate::composite::Around;

use super::operation::{from_last, optional_values, values};

/// What lies around a residual branch and is not a tensor.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    eps: f32,
    sample_scales: Option<Vec<f32>>,
}

impl Settings {
    pub(super) fn new(around: Around) -> Self {
        Self { eps: around.eps as f32, sample_scales: around.sample_scales }
    }

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
