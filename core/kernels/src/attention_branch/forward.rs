//! The attention branch, forward.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{AttentionBranch, AttentionSaved};
use crate::{
    attention::HeadsMut,
    branch_norm::SharedNorm,
    element::Element,
    layer_norm::normalize,
    linear::Biased,
    matmul::{Left, Packed, product},
    residual::AddResidual,
    rows::{self, Kept, Shared},
    scratch,
    simd::dispatch,
};

impl AttentionBranch<'_> {
    pub(crate) fn forward_as<T: Element>(
        &self,
        x: &[f32],
        out: &mut [f32],
        saved: Option<AttentionSaved<'_, T>>,
    ) {
        assert_eq!((x.len(), out.len()), (self.residual.len(), self.residual.len()));
        let kept = self.residual.kept::<T>();
        let (width, inner) = (self.residual.width(), self.inner());
        for rows in &kept.dropped {
            let rows = rows.start * width..rows.end * width;
            out[rows.clone()].copy_from_slice(&x[rows]);
        }
        let (mut memory, mut sums);
        let saved = match saved {
            Some(saved) => saved,
            None => {
                memory = scratch::take(kept.rows * 4 * inner);
                sums = scratch::take(kept.rows * self.heads);
                let (qkv, attended) = memory.split_at_mut(kept.rows * 3 * inner);
                AttentionSaved { qkv, attended, logsumexp: &mut sums, norm: None }
            }
        };
        let AttentionSaved { qkv, attended, logsumexp, norm } = saved;
        let norm = norm.map(|norm| norm.shared(kept.rows, width));
        self.attend(&kept, x, qkv, attended, logsumexp, norm);
        let out = Shared::new(out);
        let attended = &*attended;
        Packed::<T>::lend(self.proj.view(), None, |proj| {
            rows::for_each(kept.blocks.len(), |task| {
                let (rows, first) = kept.blocks[task].clone();
                dispatch(ProjectOut { branch: self, x, attended, rows, first, proj, out });
            });
        });
    }

    /// From `x` to the heads' results.
    fn attend<T: Element>(
        &self,
        kept: &Kept,
        x: &[f32],
        qkv: &mut [T],
        attended: &mut [T],
        logsumexp: &mut [f32],
        norm: Option<SharedNorm<T>>,
    ) {
        let inner = self.inner();
        assert_eq!((qkv.len(), attended.len()), (kept.rows * 3 * inner, kept.rows * inner));
        let shared = Shared::new(qkv);
        Packed::<T>::lend(self.qkv.view(), None, |weight| {
            rows::for_each(kept.blocks.len(), |task| {
                let (rows, first) = kept.blocks[task].clone();
                dispatch(ProjectIn { branch: self, x, rows, first, weight, qkv: shared, norm });
            });
        });
        let strides = self.attended_strides();
        self.attention(kept, qkv).forward_as(HeadsMut { data: attended, strides }, logsumexp);
    }
}

/// A block of rows normalised and projected to queries, keys and values.
struct ProjectIn<'a, T> {
    branch: &'a AttentionBranch<'a>,
    x: &'a [f32],
    rows: Range<usize>,
    first: usize,
    weight: Packed<'a, T>,
    qkv: Shared<T>,
    norm: Option<SharedNorm<T>>,
}

impl<T: Element> WithSimd for ProjectIn<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let norm = self.branch.residual.norm;
        let (width, rows) = (norm.width(), self.rows.len());
        let projected = 3 * self.branch.inner();
        let mut normalized = scratch::take::<T>(rows * width);
        let mut statistics = scratch::take(rows * 2);
        let x = &self.x[self.rows.start * width..self.rows.end * width];
        // SAFETY: each block has rows of its own.
        let kept = self.norm.map(|norm| unsafe { norm.rows(self.first, rows, width) });
        let (units, statistics) = match kept {
            Some((units, statistics)) => (Some(units), statistics),
            None => (None, &mut *statistics),
        };
        normalize(simd, norm, x, &mut normalized, statistics, units);
        // SAFETY: each block has rows of its own, as large as the product.
        unsafe {
            product(
                simd,
                Left::rows(&normalized, width),
                &self.weight,
                &Biased {
                    bias: self.branch.qkv.bias,
                    to: self.qkv.at(self.first * projected),
                    width: projected,
                },
            );
        }
    }
}

/// A block of the heads' results, projected and added to the residual.
struct ProjectOut<'a, T> {
    branch: &'a AttentionBranch<'a>,
    x: &'a [f32],
    attended: &'a [T],
    rows: Range<usize>,
    first: usize,
    proj: Packed<'a, T>,
    out: Shared,
}

impl<T: Element> WithSimd for ProjectOut<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let residual = &self.branch.residual;
        let (width, start) = (residual.width(), self.rows.start * residual.width());
        let inner = self.branch.inner();
        let attended = &self.attended[self.first * inner..][..self.rows.len() * inner];
        // SAFETY: each block has rows of its own, as large as the product.
        unsafe {
            product(
                simd,
                Left::rows(attended, inner),
                &self.proj,
                &AddResidual {
                    bias: self.branch.proj.bias,
                    layer_scale: residual.layer_scale,
                    factor: residual.factor(self.rows.start),
                    x: self.x[start..self.rows.end * width].as_ptr(),
                    to: self.out.at(start),
                    width,
                },
            );
        }
    }
}
