//! The MLP branch, backward.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{MlpBranch, MlpGradients, MlpSaved};
use crate::{
    activation::Activation,
    branch_norm::{NormBackward, NormOf},
    convert::{converted, operand, operand_len},
    element::Element,
    linear::{Biased, column_sums_of_block},
    matmul::{Epilogue, Left, Packed, Store, View, outer::outer, product},
    residual::layer_scale_gradients,
    rows::{self, Kept, Shared, sum_partials},
    scratch,
    simd::{dispatch, load, store},
};

impl MlpBranch<'_> {
    pub(crate) fn backward_as<T: Element>(
        &self,
        x: &[f32],
        saved: Option<MlpSaved<'_, T>>,
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: MlpGradients<'_>,
    ) {
        let len = self.residual.len();
        assert_eq!((gradient.len(), x_gradient.len()), (len, len));
        let kept = self.residual.kept::<T>();
        let (width, hidden) = (self.residual.width(), self.hidden());
        for rows in &kept.dropped {
            let rows = rows.start * width..rows.end * width;
            x_gradient[rows.clone()].copy_from_slice(&gradient[rows]);
        }
        let mut memory = scratch::take(self.residual.branch_gradient_len(&kept));
        let branch_gradient = self.residual.branch_gradient(&kept, gradient, &mut memory);
        let mut incoming = scratch::take::<T>(operand_len::<f32, T>(branch_gradient));
        let recompute = saved.is_none();
        let mut anew = scratch::take(if recompute { kept.rows * hidden } else { 0 });
        let (activated, norm) = match saved {
            Some(saved) => (saved.hidden, saved.norm),
            None => (&mut *anew, None),
        };
        assert_eq!(activated.len(), kept.rows * hidden);
        assert!(norm.is_some() || x.len() == len);
        let mut hidden_gradient = scratch::take::<T>(kept.rows * hidden);
        let len = if norm.is_some() { 0 } else { kept.rows * width };
        let mut memory = scratch::take::<T>(len);
        let (normalized, statistics) = match norm.map(|norm| norm.into_parts(kept.rows, width)) {
            Some((units, statistics)) => (units, Some(&*statistics)),
            None => (&mut *memory, None),
        };
        let mut sums = scratch::take(kept.blocks.len() * self.partial_len());
        self.rows_backward(
            &kept,
            x,
            gradient,
            branch_gradient,
            &mut incoming,
            recompute,
            activated,
            &mut hidden_gradient,
            normalized,
            statistics,
            x_gradient,
            &mut sums,
        );
        outer::<T, _, _>(
            View::new(activated, kept.rows, hidden),
            View::new(converted(branch_gradient, &incoming), kept.rows, width),
            gradients.fc2.weight,
        );
        outer::<T, _, _>(
            View::new(normalized, kept.rows, width),
            View::new(&hidden_gradient, kept.rows, hidden),
            gradients.fc1.weight,
        );
        let mut total = scratch::take(self.partial_len());
        sum_partials(&sums, &mut total);
        let (norm_weight, rest) = total.split_at_mut(width);
        let (norm_bias, rest) = rest.split_at_mut(width);
        let (fc2_bias, fc1_bias) = rest.split_at_mut(width);
        gradients.norm.weight.copy_from_slice(norm_weight);
        gradients.norm.bias.copy_from_slice(norm_bias);
        if let (Some(layer_scale), Some(out)) = (self.residual.layer_scale, gradients.layer_scale) {
            let (weight, bias) = (self.fc2.weight, self.fc2.bias);
            layer_scale_gradients(layer_scale, weight, bias, gradients.fc2.weight, fc2_bias, out);
        }
        if let Some(bias) = gradients.fc1.bias {
            bias.copy_from_slice(fc1_bias);
        }
        if let Some(bias) = gradients.fc2.bias {
            bias.copy_from_slice(fc2_bias);
        }
    }

    /// Sums of each block: of LayerNorm's two gradients and of both biases.
    fn partial_len(&self) -> usize {
        3 * self.residual.width() + self.hidden()
    }

    #[allow(clippy::too_many_arguments)]
    fn rows_backward<T: Element>(
        &self,
        kept: &Kept,
        x: &[f32],
        gradient: &[f32],
        branch_gradient: &[f32],
        incoming: &mut [T],
        recompute: bool,
        activated: &mut [T],
        hidden_gradient: &mut [T],
        normalized: &mut [T],
        statistics: Option<&[f32]>,
        x_gradient: &mut [f32],
        sums: &mut [f32],
    ) {
        let [incoming, activated, hidden_gradient, normalized] =
            [incoming, activated, hidden_gradient, normalized].map(Shared::new);
        let [x_gradient, sums] = [x_gradient, sums].map(Shared::new);
        // LayerScale goes into the weights, so that the gradient need not be scaled.
        Packed::<T>::lend(self.fc2.view().transposed(), self.residual.layer_scale, |fc2_back| {
            Packed::<T>::lend(self.fc1.view().transposed(), None, |fc1_back| {
                let run = |fc1: Option<Packed<'_, T>>| {
                    rows::for_each(kept.blocks.len(), |task| {
                        let (rows, first) = kept.blocks[task].clone();
                        dispatch(Backward {
                            mlp: self,
                            x,
                            gradient,
                            branch_gradient,
                            incoming,
                            rows,
                            first,
                            task,
                            fc1,
                            fc1_back,
                            fc2_back,
                            activated,
                            hidden_gradient,
                            normalized,
                            statistics,
                            x_gradient,
                            sums,
                        });
                    });
                };
                match recompute {
                    true => Packed::lend(self.fc1.view(), None, |fc1| run(Some(fc1))),
                    false => run(None),
                }
            });
        });
    }
}

/// One block of rows, backward.
struct Backward<'a, T> {
    mlp: &'a MlpBranch<'a>,
    x: &'a [f32],
    gradient: &'a [f32],
    branch_gradient: &'a [f32],
    /// Where it goes as an operand, if that is of another type.
    incoming: Shared<T>,
    rows: Range<usize>,
    first: usize,
    task: usize,
    fc1: Option<Packed<'a, T>>,
    fc1_back: Packed<'a, T>,
    fc2_back: Packed<'a, T>,
    activated: Shared<T>,
    hidden_gradient: Shared<T>,
    /// Where what went into the first layer goes; it may have been saved there without its scale.
    normalized: Shared<T>,
    /// Those of the LayerNorm's rows, if that was saved.
    statistics: Option<&'a [f32]>,
    x_gradient: Shared,
    sums: Shared,
}

impl<T: Element> WithSimd for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let residual = &self.mlp.residual;
        let (width, hidden, rows) = (residual.width(), self.mlp.hidden(), self.rows.len());
        let whole = self.rows.start * width..self.rows.end * width;
        let mut memory = scratch::take(rows * (width + 2));
        let (normalized_gradient, new_statistics) = memory.split_at_mut(rows * width);
        // SAFETY: each block has rows, and sums, of its own.
        let (activated, hidden_gradient, normalized, x_gradient, sums) = unsafe {
            let len = self.mlp.partial_len();
            (
                self.activated.slice(self.first * hidden, rows * hidden),
                self.hidden_gradient.slice(self.first * hidden, rows * hidden),
                self.normalized.slice(self.first * width, rows * width),
                self.x_gradient.slice(whole.start, whole.len()),
                self.sums.slice(self.task * len, len),
            )
        };
        let known = match self.statistics {
            Some(statistics) => NormOf::Saved(&statistics[self.first * 2..][..rows * 2]),
            None => NormOf::Input(&self.x[whole.clone()], new_statistics),
        };
        // In `f32` the normalised values are the operand.
        let again = T::BRIEF && self.fc1.is_some();
        let mut operand_memory = scratch::take::<T>(if again { rows * width } else { 0 });
        let operand_of_fc1 = again.then_some(&mut *operand_memory);
        let norm = NormBackward::begin(simd, residual.norm, known, normalized, operand_of_fc1);
        let branch_gradient = match residual.sample_scales {
            Some(_) => &self.branch_gradient[self.first * width..][..rows * width],
            None => &self.branch_gradient[whole.clone()],
        };
        // SAFETY: each block has rows of its own.
        let memory = unsafe {
            let len = operand_len::<f32, T>(branch_gradient);
            self.incoming.slice(if len > 0 { self.first * width } else { 0 }, len)
        };
        let incoming = operand::<S, f32, T>(simd, branch_gradient, memory);
        // SAFETY: memory is as large as the products.
        unsafe {
            if let Some(fc1) = self.fc1 {
                product(
                    simd,
                    Left::rows(if again { &operand_memory } else { norm.normalized() }, width),
                    &fc1,
                    &Biased { bias: self.mlp.fc1.bias, to: activated.as_mut_ptr(), width: hidden },
                );
            }
            product(
                simd,
                Left::rows(incoming, width),
                &self.fc2_back,
                &Differentiate {
                    activation: self.mlp.activation,
                    hidden: activated.as_mut_ptr(),
                    to: hidden_gradient.as_mut_ptr(),
                    width: hidden,
                },
            );
            product(
                simd,
                Left::rows(hidden_gradient, hidden),
                &self.fc1_back,
                &Store {
                    to: normalized_gradient.as_mut_ptr(),
                    row_stride: width,
                    factor: 1.0,
                    add: false,
                },
            );
        }
        let (norm_weight, rest) = sums.split_at_mut(width);
        let (norm_bias, rest) = rest.split_at_mut(width);
        let (fc2_bias, fc1_bias) = rest.split_at_mut(width);
        norm_weight.fill(0.0);
        norm_bias.fill(0.0);
        let residual = &self.gradient[whole];
        norm.finish(simd, normalized_gradient, residual, x_gradient, norm_weight, norm_bias);
        column_sums_of_block(simd, branch_gradient, fc2_bias);
        column_sums_of_block(simd, hidden_gradient, fc1_bias);
    }
}

/// Multiplies with the activation's derivative, and puts the activation in the place of what went
/// into it.
struct Differentiate<T> {
    activation: Activation,
    hidden: *mut T,
    to: *mut T,
    width: usize,
}

impl<T: Element> Epilogue for Differentiate<T> {
    #[inline(always)]
    unsafe fn take<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
        sums: S::f32s,
    ) {
        // SAFETY: memory is as large as the product.
        unsafe {
            let at = row * self.width + column;
            let hidden = load(simd, self.hidden.add(at), count);
            let (value, derivative) = self.activation.with_derivative(simd, hidden);
            store(simd, self.hidden.add(at), count, value);
            store(simd, self.to.add(at), count, simd.mul_f32s(sums, derivative));
        }
    }
}
