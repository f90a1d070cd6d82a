//! What every residual branch of a block has: `x + scale * gamma * f(layer_norm(x))`.

use pulp::{Simd, WithSimd};

use crate::{
    element::Element,
    layer_norm::LayerNorm,
    matmul::Epilogue,
    rows::{self, Kept, Shared},
    simd::{dispatch, load, store},
};

/// The parts of a residual branch around what it computes.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// Samples.
    pub batch: usize,
    /// Rows of each sample.
    pub tokens: usize,
    /// The LayerNorm before it.
    pub norm: LayerNorm<'a>,
    /// LayerScale: a factor for each channel (Touvron et al. 2021, CaiT).
    pub layer_scale: Option<&'a [f32]>,
    /// Drop path: a factor for each sample; samples with zero cost nothing (Huang et al. 2016).
    pub sample_scales: Option<&'a [f32]>,
}

impl Residual<'_> {
    /// Values of a row.
    pub(crate) fn width(&self) -> usize {
        self.norm.width()
    }

    /// Values of a batch.
    pub(crate) fn len(&self) -> usize {
        self.batch * self.tokens * self.width()
    }

    /// The rows that the branch works on, cut for products in type `T`.
    pub(crate) fn kept<T: Element>(&self) -> Kept {
        Kept::of::<T>(self.batch, self.tokens, self.sample_scales)
    }

    /// The factor of the sample that `row` is of.
    pub(crate) fn factor(&self, row: usize) -> f32 {
        self.sample_scales.map_or(1.0, |scales| scales[row / self.tokens])
    }

    /// How many rows the branch works on, which is how many its saved values have.
    pub fn kept_rows(&self) -> usize {
        self.kept::<f32>().rows
    }

    /// How many samples the branch works on.
    pub fn kept_samples(&self) -> usize {
        self.kept::<f32>().samples.len()
    }

    /// The gradient of the branch's result for the rows that it keeps, close together in `memory`;
    /// without drop path that is `gradient` as it lies.
    pub(crate) fn branch_gradient<'a>(
        &self,
        kept: &Kept,
        gradient: &'a [f32],
        memory: &'a mut [f32],
    ) -> &'a [f32] {
        if self.sample_scales.is_none() {
            return gradient;
        }
        let width = self.width();
        let shared = Shared::new(memory);
        rows::for_each(kept.blocks.len(), |task| {
            let (rows, first) = &kept.blocks[task];
            let from = &gradient[rows.start * width..rows.end * width];
            // SAFETY: each block has rows of its own.
            let to = unsafe { shared.slice(first * width, from.len()) };
            let factor = self.factor(rows.start);
            to.iter_mut().zip(from).for_each(|(to, from)| *to = from * factor);
        });
        memory
    }

    /// How large the memory of [`Residual::branch_gradient`] must be.
    pub(crate) fn branch_gradient_len(&self, kept: &Kept) -> usize {
        if self.sample_scales.is_some() { kept.rows * self.width() } else { 0 }
    }
}

/// Adds the bias, scales, adds the residual and writes.
pub(crate) struct AddResidual<'a> {
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) layer_scale: Option<&'a [f32]>,
    pub(crate) factor: f32,
    pub(crate) x: *const f32,
    pub(crate) to: *mut f32,
    pub(crate) width: usize,
}

impl Epilogue for AddResidual<'_> {
    #[inline(always)]
    unsafe fn take<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
        sums: S::f32s,
    ) {
        // SAFETY: memory is as large as the product, parameters are as wide.
        unsafe {
            let mut value = sums;
            if let Some(bias) = self.bias {
                value = simd.add_f32s(value, load(simd, bias.as_ptr().add(column), count));
            }
            if let Some(scale) = self.layer_scale {
                value = simd.mul_f32s(value, load(simd, scale.as_ptr().add(column), count));
            }
            let at = row * self.width + column;
            let residual = load(simd, self.x.add(at), count);
            let value = simd.mul_add_e_f32s(value, simd.splat_f32s(self.factor), residual);
            store(simd, self.to.add(at), count, value);
        }
    }
}

/// Turns the gradients of the last linear layer without LayerScale into those with it, and finds
/// LayerScale's own.
///
/// With `p = hᵀ g` and `s` the column sums of `g`, where the branch is `gamma * (h W + b)`, the
/// weights' gradient is `p * gamma`, the bias's `s * gamma`, and that of `gamma` is the sum of
/// `p * W` over the rows, and `s * b`: the branch's result is not needed again.
pub(crate) fn layer_scale_gradients(
    layer_scale: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    weight_gradient: &mut [f32],
    bias_gradient: &mut [f32],
    out: &mut [f32],
) {
    dispatch(LayerScaleGradients {
        layer_scale,
        weight,
        bias,
        weight_gradient,
        bias_gradient,
        out,
    });
}

struct LayerScaleGradients<'a> {
    layer_scale: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    weight_gradient: &'a mut [f32],
    bias_gradient: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for LayerScaleGradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.layer_scale.len();
        for (column, out) in self.out.iter_mut().enumerate() {
            let bias = self.bias.map_or(0.0, |bias| bias[column]);
            *out = self.bias_gradient[column] * bias;
            self.bias_gradient[column] *= self.layer_scale[column];
        }
        let rows = self.weight_gradient.chunks_exact_mut(width);
        for (gradient, weight) in rows.zip(self.weight.chunks_exact(width)) {
            for (column, gradient) in gradient.iter_mut().enumerate() {
                self.out[column] += *gradient * weight[column];
                *gradient *= self.layer_scale[column];
            }
        }
    }
}
