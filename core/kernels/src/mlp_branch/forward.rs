//! The MLP branch, forward.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{MlpBranch, MlpSaved};
use crate::{
    activation::Activation,
    branch_norm::SharedNorm,
    element::Element,
    layer_norm::normalize,
    matmul::{Epilogue, Left, Packed, product},
    residual::AddResidual,
    rows::{self, Shared},
    scratch,
    simd::{dispatch, load, store},
};

impl MlpBranch<'_> {
    pub(crate) fn forward_as<T: Element>(
        &self,
        x: &[f32],
        out: &mut [f32],
        saved: Option<MlpSaved<'_, T>>,
    ) {
        assert_eq!((x.len(), out.len()), (self.residual.len(), self.residual.len()));
        let kept = self.residual.kept::<T>();
        let width = self.residual.width();
        for rows in &kept.dropped {
            let rows = rows.start * width..rows.end * width;
            out[rows.clone()].copy_from_slice(&x[rows]);
        }
        let (hidden, norm) = saved.map(|saved| (saved.hidden, saved.norm)).unzip();
        let hidden = hidden.map(|hidden| {
            assert_eq!(hidden.len(), kept.rows * self.hidden());
            Shared::new(hidden)
        });
        let norm = norm.flatten().map(|norm| norm.shared(kept.rows, width));
        let out = Shared::new(out);
        Packed::<T>::lend(self.fc1.view(), None, |fc1| {
            Packed::<T>::lend(self.fc2.view(), None, |fc2| {
                rows::for_each(kept.blocks.len(), |task| {
                    let (rows, first) = kept.blocks[task].clone();
                    dispatch(Forward { mlp: self, x, rows, first, hidden, norm, out, fc1, fc2 });
                });
            });
        });
    }
}

/// One block of rows, forward.
struct Forward<'a, T> {
    mlp: &'a MlpBranch<'a>,
    x: &'a [f32],
    rows: Range<usize>,
    first: usize,
    hidden: Option<Shared<T>>,
    norm: Option<SharedNorm<T>>,
    out: Shared,
    fc1: Packed<'a, T>,
    fc2: Packed<'a, T>,
}

impl<T: Element> WithSimd for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let residual = &self.mlp.residual;
        let (width, hidden, rows) = (residual.width(), self.mlp.hidden(), self.rows.len());
        let x = &self.x[self.rows.start * width..self.rows.end * width];
        let mut memory = scratch::take::<T>(rows * (width + hidden));
        let (normalized, activated) = memory.split_at_mut(rows * width);
        let mut statistics = scratch::take(rows * 2);
        // SAFETY: each block has rows of its own.
        let kept = self.norm.map(|norm| unsafe { norm.rows(self.first, rows, width) });
        let (units, statistics) = match kept {
            Some((units, statistics)) => (Some(units), statistics),
            None => (None, &mut *statistics),
        };
        normalize(simd, residual.norm, x, normalized, statistics, units);
        // SAFETY: each block has rows of its own, and memory is as large as the products.
        unsafe {
            product(
                simd,
                Left::rows(normalized, width),
                &self.fc1,
                &Activate {
                    bias: self.mlp.fc1.bias,
                    activation: self.mlp.activation,
                    before: self.hidden.map(|memory| memory.at(self.first * hidden)),
                    to: activated.as_mut_ptr(),
                    width: hidden,
                },
            );
            product(
                simd,
                Left::rows(activated, hidden),
                &self.fc2,
                &AddResidual {
                    bias: self.mlp.fc2.bias,
                    layer_scale: residual.layer_scale,
                    factor: residual.factor(self.rows.start),
                    x: x.as_ptr(),
                    to: self.out.at(self.rows.start * width),
                    width,
                },
            );
        }
    }
}

/// Adds the bias, keeps that where backward wants it, and activates.
struct Activate<'a, T> {
    bias: Option<&'a [f32]>,
    activation: Activation,
    before: Option<*mut T>,
    to: *mut T,
    width: usize,
}

impl<T: Element> Epilogue for Activate<'_, T> {
    #[inline(always)]
    unsafe fn take<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
        sums: S::f32s,
    ) {
        // SAFETY: memory is as large as the product, and the bias as wide.
        unsafe {
            let mut value = sums;
            if let Some(bias) = self.bias {
                value = simd.add_f32s(value, load(simd, bias.as_ptr().add(column), count));
            }
            let at = row * self.width + column;
            if let Some(before) = self.before {
                store(simd, before.add(at), count, value);
            }
            store(simd, self.to.add(at), count, self.activation.value(simd, value));
        }
    }
}
