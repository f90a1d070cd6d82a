//! Attention of one head, forward.

use pulp::{Simd, WithSimd};

use super::operands::Attention;
use crate::{
    element::Element,
    matmul::{Epilogue, Left, Packed, Store, product},
    scratch,
    simd::{exp, store},
};

/// One head of one sample.
pub(super) struct Forward<'a, T> {
    pub(super) attention: &'a Attention<'a, T>,
    pub(super) sample: usize,
    pub(super) head: usize,
    pub(super) out: *mut T,
    pub(super) out_stride: usize,
    pub(super) logsumexp: &'a mut [f32],
}

impl<T: Element> WithSimd for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Attention { shape, q, k, v, bias } = *self.attention;
        let (sample, head) = (self.sample, self.head);
        let width = shape.width::<S, T>();
        let block = shape.block(width);
        let key_len = Packed::<T>::len::<S>(shape.head_dim, shape.keys);
        let value_len = Packed::<T>::len::<S>(shape.keys, shape.value_dim);
        let mut memory = scratch::take::<f32>(key_len + value_len + block * (width + 1));
        let (keys, rest) = memory.split_at_mut(key_len);
        let (values, rest) = rest.split_at_mut(value_len);
        let (scores, inverse_sums) = rest.split_at_mut(block * width);
        let mut brief = scratch::take::<T>(if T::BRIEF { block * width } else { 0 });
        // In `f32` weights take the place of their scores.
        let scores = scores.as_mut_ptr();
        let weights = if T::BRIEF { brief.as_mut_ptr() } else { scores.cast() };
        let view = k.strides.view(k.data, sample, head, shape.keys, shape.head_dim);
        let keys = Packed::<T>::new(simd, view.transposed(), keys);
        let view = v.strides.view(v.data, sample, head, shape.keys, shape.value_dim);
        let values = Packed::<T>::new(simd, view, values);
        let queries = q.strides.view(q.data, sample, head, shape.queries, shape.head_dim);
        for first in (0..shape.queries).step_by(block) {
            let rows = block.min(shape.queries - first);
            // SAFETY: blocks are as large as the products, and the result's rows are this task's.
            unsafe {
                let data = queries.data.as_ptr().add(first * queries.row_stride);
                let row_stride = queries.row_stride;
                let left = Left { data, rows, row_stride, padded: false };
                product(
                    simd,
                    left,
                    &keys,
                    &Store { to: scores, row_stride: width, factor: shape.scale, add: false },
                );
                for row in 0..rows {
                    let bias = bias.map(|bias| {
                        &bias[(head * shape.queries + first + row) * shape.keys..][..shape.keys]
                    });
                    let (scores, to) = (scores.add(row * width), weights.add(row * width));
                    let (largest, sum) = exponentials(simd, scores, [shape.keys, width], bias, to);
                    inverse_sums[row] = 1.0 / sum;
                    self.logsumexp[first + row] = largest + sum.ln();
                }
                let weights = std::slice::from_raw_parts(weights.cast_const(), rows * width);
                product(
                    simd,
                    Left { padded: true, ..Left::rows(weights, width) },
                    &values,
                    &ScaleRows {
                        factors: inverse_sums.as_ptr(),
                        to: self.out.add(first * self.out_stride),
                        row_stride: self.out_stride,
                    },
                );
            }
        }
    }
}

/// Writes the exponentials of a row of scores less the largest, and zeros as far as the row is wide: whole
/// vectors. Returns the largest and the sum.
///
/// # Safety
/// The row must be as wide as `width` says, and there must be place for as many values; it may be the row.
#[inline(always)]
unsafe fn exponentials<S: Simd, T: Element>(
    simd: S,
    scores: *mut f32,
    [keys, width]: [usize; 2],
    bias: Option<&[f32]>,
    to: *mut T,
) -> (f32, f32) {
    let vectors = keys.div_ceil(S::F32_LANES);
    // SAFETY: as the caller says.
    unsafe {
        for (at, bias) in bias.into_iter().flatten().enumerate() {
            *scores.add(at) += bias;
        }
        for at in keys..vectors * S::F32_LANES {
            *scores.add(at) = f32::MIN;
        }
        let scores = scores.cast::<S::f32s>();
        let mut largest = simd.splat_f32s(f32::MIN);
        for at in 0..vectors {
            largest = simd.max_f32s(largest, scores.add(at).read_unaligned());
        }
        let largest = simd.reduce_max_f32s(largest);
        let shift = simd.splat_f32s(largest);
        let mut sum = simd.splat_f32s(0.0);
        for at in 0..vectors {
            let value = exp(simd, simd.sub_f32s(scores.add(at).read_unaligned(), shift));
            store(simd, to.add(at * S::F32_LANES), S::F32_LANES, value);
            sum = simd.add_f32s(sum, value);
        }
        let rest = vectors * S::F32_LANES;
        to.add(rest).write_bytes(0, width - rest);
        (largest, simd.reduce_sum_f32s(sum))
    }
}

/// Multiplies each row with a factor of its own and writes.
struct ScaleRows<T> {
    factors: *const f32,
    to: *mut T,
    row_stride: usize,
}

impl<T: Element> Epilogue for ScaleRows<T> {
    #[inline(always)]
    unsafe fn take<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
        sums: S::f32s,
    ) {
        // SAFETY: memory is as large as the product, and there is a factor for each row.
        unsafe {
            let value = simd.mul_f32s(sums, simd.splat_f32s(*self.factors.add(row)));
            store(simd, self.to.add(row * self.row_stride + column), count, value);
        }
    }
}
