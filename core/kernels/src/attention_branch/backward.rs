//! The attention branch, backward.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{AttentionBranch, AttentionBranchGradients, AttentionSaved};
use crate::{
    attention::{AttentionGradients, AttentionResult, Heads, QkvMemory},
    branch_norm::{NormBackward, NormOf},
    convert::{converted, operand, operand_len},
    element::Element,
    linear::{column_sums, column_sums_of_block},
    matmul::{Left, Packed, Store, View, outer::outer, product},
    residual::layer_scale_gradients,
    rows::{self, Shared, sum_partials},
    scratch,
    simd::dispatch,
};

impl AttentionBranch<'_> {
    /// Sums of each block: of LayerNorm's two gradients and of the packed projection's bias.
    fn sums(&self) -> usize {
        2 * self.residual.width() + 3 * self.inner()
    }

    pub(crate) fn backward_as<T: Element>(
        &self,
        x: &[f32],
        saved: AttentionSaved<'_, T>,
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: AttentionBranchGradients<'_>,
    ) {
        let len = self.residual.len();
        assert_eq!((gradient.len(), x_gradient.len()), (len, len));
        assert!(saved.norm.is_some() || x.len() == len);
        let kept = self.residual.kept::<T>();
        let (width, inner) = (self.residual.width(), self.inner());
        for rows in &kept.dropped {
            let rows = rows.start * width..rows.end * width;
            x_gradient[rows.clone()].copy_from_slice(&gradient[rows]);
        }
        let mut memory = scratch::take(self.residual.branch_gradient_len(&kept));
        let branch_gradient = self.residual.branch_gradient(&kept, gradient, &mut memory);
        let mut incoming = scratch::take::<T>(operand_len::<f32, T>(branch_gradient));

        // Through the projection of the heads' results; LayerScale goes into its weights.
        let mut attended_gradient = scratch::take::<T>(kept.rows * inner);
        let (shared, shared_incoming) =
            (Shared::new(&mut attended_gradient), Shared::new(&mut incoming));
        Packed::<T>::lend(self.proj.view().transposed(), self.residual.layer_scale, |proj| {
            let blocks = rows::blocks::<T>(kept.rows);
            rows::for_each(blocks.len(), |task| {
                let rows = &blocks[task];
                let left = &branch_gradient[rows.start * width..rows.end * width];
                let len = operand_len::<f32, T>(left);
                let start = if len > 0 { rows.start * width } else { 0 };
                dispatch(Plain {
                    left,
                    // SAFETY: each task has rows of its own.
                    memory: unsafe { shared_incoming.slice(start, len) },
                    right: proj,
                    // SAFETY: each task has rows of its own.
                    to: unsafe { shared.at(rows.start * inner) },
                    width: inner,
                });
            });
        });
        outer::<T, _, _>(
            View::new(saved.attended, kept.rows, inner),
            View::new(converted(branch_gradient, &incoming), kept.rows, width),
            gradients.proj.weight,
        );
        let mut proj_bias = scratch::take(width);
        column_sums(branch_gradient, &mut proj_bias);
        if let (Some(layer_scale), Some(out)) = (self.residual.layer_scale, gradients.layer_scale) {
            let (weight, bias) = (self.proj.weight, self.proj.bias);
            let proj_weight = &mut *gradients.proj.weight;
            layer_scale_gradients(layer_scale, weight, bias, proj_weight, &mut proj_bias, out);
        }
        if let Some(bias) = gradients.proj.bias {
            bias.copy_from_slice(&proj_bias);
        }

        // Through the attention.
        let mut qkv_gradient = scratch::take::<T>(kept.rows * 3 * inner);
        let attention = self.attention(&kept, saved.qkv);
        let strides = self.attended_strides();
        attention.backward_as(
            AttentionResult {
                out: Heads { data: saved.attended, strides },
                logsumexp: saved.logsumexp,
            },
            Heads { data: &attended_gradient, strides },
            AttentionGradients {
                memory: QkvMemory::Packed(&mut qkv_gradient),
                strides: self.strides(attention.shape),
                bias: None,
            },
        );

        // Through the packed projection and the LayerNorm.
        let len = if saved.norm.is_some() { 0 } else { kept.rows * width };
        let mut memory = scratch::take::<T>(len);
        let norm = saved.norm.map(|norm| norm.into_parts(kept.rows, width));
        let (normalized, statistics) = match norm {
            Some((units, statistics)) => (units, Some(&*statistics)),
            None => (&mut *memory, None),
        };
        let mut sums = scratch::take(kept.blocks.len() * self.sums());
        let shared_normalized = Shared::new(normalized);
        let [shared_out, shared_sums] = [x_gradient, &mut sums[..]].map(Shared::new);
        Packed::<T>::lend(self.qkv.view().transposed(), None, |weight| {
            rows::for_each(kept.blocks.len(), |task| {
                let (rows, first) = kept.blocks[task].clone();
                dispatch(BackIn {
                    branch: self,
                    x,
                    gradient,
                    qkv_gradient: &qkv_gradient,
                    rows,
                    first,
                    task,
                    weight,
                    normalized: shared_normalized,
                    statistics,
                    x_gradient: shared_out,
                    sums: shared_sums,
                });
            });
        });
        outer::<T, _, _>(
            View::new(normalized, kept.rows, width),
            View::new(&qkv_gradient, kept.rows, 3 * inner),
            gradients.qkv.weight,
        );
        let mut total = scratch::take(self.sums());
        sum_partials(&sums, &mut total);
        let (norm_weight, rest) = total.split_at(width);
        let (norm_bias, qkv_bias) = rest.split_at(width);
        gradients.norm.weight.copy_from_slice(norm_weight);
        gradients.norm.bias.copy_from_slice(norm_bias);
        if let Some(bias) = gradients.qkv.bias {
            bias.copy_from_slice(qkv_bias);
        }
    }
}

/// A product without anything more.
struct Plain<'a, T> {
    left: &'a [f32],
    /// For the rows as an operand, if that is of another type.
    memory: &'a mut [T],
    right: Packed<'a, T>,
    to: *mut T,
    width: usize,
}

impl<T: Element> WithSimd for Plain<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let out = Store { to: self.to, row_stride: self.width, factor: 1.0, add: false };
        let left = operand(simd, self.left, self.memory);
        // SAFETY: the rows are as long as the other operand is deep, the memory as the product.
        unsafe { product(simd, Left::rows(left, self.right.depth), &self.right, &out) };
    }
}

/// A block of rows, from the gradients of queries, keys and values to that of `x`.
struct BackIn<'a, T> {
    branch: &'a AttentionBranch<'a>,
    x: &'a [f32],
    gradient: &'a [f32],
    qkv_gradient: &'a [T],
    rows: Range<usize>,
    first: usize,
    task: usize,
    weight: Packed<'a, T>,
    /// Where what went into the projection goes; it may have been saved there without its scale.
    normalized: Shared<T>,
    /// Those of the LayerNorm's rows, if that was saved.
    statistics: Option<&'a [f32]>,
    x_gradient: Shared,
    sums: Shared,
}

impl<T: Element> WithSimd for BackIn<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let norm = self.branch.residual.norm;
        let (width, rows) = (norm.width(), self.rows.len());
        let whole = self.rows.start * width..self.rows.end * width;
        let projected = 3 * self.branch.inner();
        let qkv_gradient = &self.qkv_gradient[self.first * projected..][..rows * projected];
        let mut memory = scratch::take(rows * (width + 2));
        let (normalized_gradient, new_statistics) = memory.split_at_mut(rows * width);
        // SAFETY: each block has rows, and sums, of its own.
        let (normalized, x_gradient, sums) = unsafe {
            (
                self.normalized.slice(self.first * width, rows * width),
                self.x_gradient.slice(whole.start, whole.len()),
                self.sums.slice(self.task * self.branch.sums(), self.branch.sums()),
            )
        };
        let known = match self.statistics {
            Some(statistics) => NormOf::Saved(&statistics[self.first * 2..][..rows * 2]),
            None => NormOf::Input(&self.x[whole.clone()], new_statistics),
        };
        let norm = NormBackward::begin(simd, norm, known, normalized, None);
        // SAFETY: memory is as large as the product.
        unsafe {
            product(
                simd,
                Left::rows(qkv_gradient, projected),
                &self.weight,
                &Store {
                    to: normalized_gradient.as_mut_ptr(),
                    row_stride: width,
                    factor: 1.0,
                    add: false,
                },
            );
        }
        let (norm_weight, rest) = sums.split_at_mut(width);
        let (norm_bias, qkv_bias) = rest.split_at_mut(width);
        norm_weight.fill(0.0);
        norm_bias.fill(0.0);
        let residual = &self.gradient[whole];
        norm.finish(simd, normalized_gradient, residual, x_gradient, norm_weight, norm_bias);
        column_sums_of_block(simd, qkv_gradient, qkv_bias);
    }
}
