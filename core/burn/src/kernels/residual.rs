//! What lies around the two branches of a block: LayerNorm, LayerScale, drop path, the residual.

use burn::backend::flex::FlexTensor;
use vitral_kernels::{branch_norm::KeptNorm, layer_norm::LayerNorm, residual::Residual};

use crate::composite::Around;

use super::{
    memory::{Buffer, Stored},
    operation::{from_last, optional_values, values},
};

/// What lies around a residual branch and is not a tensor.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    eps: f32,
    sample_scales: Option<Vec<f32>>,
}

impl Settings {
    pub(super) fn new(around: Around) -> Self {
        Self {
            eps: around.eps as f32,
            sample_scales: around.sample_scales.map(|drawn| drawn.values),
        }
    }

    /// The kernel's view of what lies around a branch of `x`, `[batch, tokens, width]`, or of anything of
    /// that shape.
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

/// What a branch keeps of its LayerNorm in the place of its input.
#[derive(Clone, Debug)]
pub(super) struct NormKept {
    units: FlexTensor,
    statistics: FlexTensor,
}

/// Memory for a [`NormKept`].
pub(super) struct NormMemory<T> {
    rows: usize,
    units: Buffer<T>,
    statistics: Buffer<f32>,
}

impl<T: Stored> NormMemory<T> {
    /// For rows of `width` values, if the type is one that is kept so.
    pub(super) fn new(rows: usize, width: usize) -> Option<Self> {
        T::KEEPS_NORM.then(|| Self {
            rows,
            units: Buffer::new(rows * width),
            statistics: Buffer::new(rows * 2),
        })
    }

    /// For a kernel to write.
    pub(super) fn lend(&mut self) -> KeptNorm<'_, T> {
        KeptNorm { units: &mut self.units, statistics: &mut self.statistics }
    }

    pub(super) fn into_kept(self) -> NormKept {
        let width = self.units.len() / self.rows.max(1);
        NormKept {
            units: self.units.into_tensor([self.rows, width]),
            statistics: self.statistics.into_tensor([self.rows, 2]),
        }
    }
}

impl NormKept {
    /// For a kernel to read.
    pub(super) fn lend<T: Stored>(&mut self) -> KeptNorm<'_, T> {
        KeptNorm { units: self.units.storage_mut(), statistics: self.statistics.storage_mut() }
    }
}
