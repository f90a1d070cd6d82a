//! Attention of one head, backward.

use pulp::{Simd, WithSimd};

use super::operands::{Attention, AttentionResult, AttentionShape, HeadStrides, Heads};
use crate::{
    element::Element,
    matmul::{Across, Epilogue, Left, Packed, Store, SumsAcross, View, product},
    rows::Shared,
    scratch,
    simd::{each_vector, exp, load, store},
};

/// One head of one sample.
pub(super) struct Backward<'a, T> {
    pub(super) attention: &'a Attention<'a, T>,
    pub(super) result: AttentionResult<'a, T>,
    pub(super) gradient: Heads<'a, T>,
    pub(super) sample: usize,
    pub(super) head: usize,
    pub(super) memory: [Shared<T>; 3],
    pub(super) strides: [HeadStrides; 3],
    pub(super) bias: Option<&'a mut [f32]>,
}

impl<T: Element> WithSimd for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Attention { shape, q, k, v, bias } = *self.attention;
        let AttentionShape { heads, queries, keys, head_dim, value_dim, scale, .. } = shape;
        let (sample, head) = (self.sample, self.head);
        let width = shape.width::<S, T>();
        let block = shape.block(width);
        let lens = [
            Packed::<T>::len::<S>(head_dim, keys),
            Packed::<T>::len::<S>(value_dim, keys),
            Packed::<T>::len::<S>(keys, head_dim),
            SumsAcross::<T>::operand_len::<S>(block, head_dim),
            SumsAcross::<T>::operand_len::<S>(block, value_dim),
            Across::<T>::len(block, width),
            Across::<T>::len(block, width),
            block,
            if T::BRIEF { block * width } else { 0 },
            SumsAcross::<T>::len(keys, head_dim),
            SumsAcross::<T>::len(keys, value_dim),
        ];
        let mut brief_scores = scratch::take::<T>(if T::BRIEF { block * width } else { 0 });
        let mut memory = scratch::take(lens.iter().sum());
        let mut rest = &mut memory[..];
        let [
            keys_back,
            values_back,
            keys_straight,
            q_block,
            gradient_block,
            weights,
            scores,
            deltas,
            exact_weights,
            k_sums,
            v_sums,
        ] = lens.map(|len| {
            let (part, left) = std::mem::take(&mut rest).split_at_mut(len);
            rest = left;
            part
        });
        let key_view = k.strides.view(k.data, sample, head, keys, head_dim);
        let value_view = v.strides.view(v.data, sample, head, keys, value_dim);
        let keys_back = Packed::<T>::new(simd, key_view.transposed(), keys_back);
        let values_back = Packed::<T>::new(simd, value_view.transposed(), values_back);
        let keys_straight = Packed::<T>::new(simd, key_view, keys_straight);
        if T::BRIEF && width > keys {
            brief_scores.chunks_exact_mut(width).for_each(|row| row[keys..].fill(T::default()));
        }
        // In `f32`, rows lie as well where they are read across; `bf16` has them apart, the weights
        // as they were before they were rounded.
        let (weight_rows, score_rows) = match T::BRIEF {
            true => (exact_weights.as_mut_ptr(), brief_scores.as_mut_ptr()),
            false => (weights.as_mut_ptr(), scores.as_mut_ptr().cast::<T>()),
        };
        let (weights, scores) = (Across::<T>::new(weights, width), Across::<T>::new(scores, width));
        let query_view = q.strides.view(q.data, sample, head, queries, head_dim);
        let Heads { data, strides } = self.gradient;
        let gradient_view = strides.view(data, sample, head, queries, value_dim);
        let Heads { data, strides } = self.result.out;
        let out_view = strides.view(data, sample, head, queries, value_dim);
        let logsumexp = &self.result.logsumexp[(sample * heads + head) * queries..][..queries];
        let [dq, dk, dv] = [0, 1, 2].map(|which| {
            let strides = self.strides[which];
            // SAFETY: each head of each sample has vectors of its own.
            (unsafe { self.memory[which].at(strides.at(sample, head)) }, strides.token)
        });
        let mut dk = SumsAcross {
            to: dk.0,
            row_stride: dk.1,
            rows: keys,
            columns: head_dim,
            factor: scale,
            sums: k_sums,
            operand: q_block,
        };
        let mut dv = SumsAcross {
            to: dv.0,
            row_stride: dv.1,
            rows: keys,
            columns: value_dim,
            factor: 1.0,
            sums: v_sums,
            operand: gradient_block,
        };
        for first in (0..queries).step_by(block) {
            let rows = block.min(queries - first);
            let part = |view: View<'_, T>, columns: usize| View {
                // SAFETY: the view's own memory from row `first` on, which it has.
                data: unsafe {
                    std::slice::from_raw_parts(
                        view.data.as_ptr().add(first * view.row_stride),
                        (rows - 1) * view.row_stride + columns,
                    )
                },
                rows,
                ..view
            };
            let q_rows = part(query_view, head_dim);
            let gradient_rows = part(gradient_view, value_dim);
            let out_rows = part(out_view, value_dim);
            for (row, delta) in deltas[..rows].iter_mut().enumerate() {
                let gradient = &gradient_rows.data[row * gradient_rows.row_stride..][..value_dim];
                let out = &out_rows.data[row * out_rows.row_stride..][..value_dim];
                *delta = dot(simd, gradient, out);
            }
            let left = |view: View<'_, T>| Left {
                data: view.data.as_ptr(),
                rows,
                row_stride: view.row_stride,
                padded: false,
            };
            let bias = bias.map(|bias| &bias[(head * queries + first) * keys..][..rows * keys]);
            let bias_gradient =
                self.bias.as_mut().map(|bias| bias[first * keys..][..rows * keys].as_mut_ptr());
            // SAFETY: blocks are as large as the products, the gradients' rows are this task's.
            unsafe {
                product(
                    simd,
                    left(q_rows),
                    &keys_back,
                    &Weights {
                        scale,
                        bias: bias.map(|bias| bias.as_ptr()),
                        keys,
                        logsumexp: logsumexp[first..].as_ptr(),
                        rows: weight_rows,
                        to: weights,
                        width,
                    },
                );
                product(
                    simd,
                    left(gradient_rows),
                    &values_back,
                    &ScoreGradients {
                        weights: weight_rows,
                        deltas: deltas.as_ptr(),
                        bias: bias_gradient,
                        keys,
                        rows: score_rows,
                        to: scores,
                        width,
                    },
                );
                product(
                    simd,
                    Left { data: score_rows.cast_const(), rows, row_stride: width, padded: true },
                    &keys_straight,
                    &Store {
                        to: dq.0.add(first * dq.1),
                        row_stride: dq.1,
                        factor: scale,
                        add: false,
                    },
                );
                dv.add(simd, weights, gradient_rows, first > 0);
                dk.add(simd, scores, q_rows, first > 0);
            }
        }
        // SAFETY: the gradients' rows are this task's.
        unsafe {
            dk.finish(simd);
            dv.finish(simd);
        }
    }
}

/// The sum of products of two vectors.
#[inline(always)]
fn dot<S: Simd, T: Element>(simd: S, left: &[T], right: &[T]) -> f32 {
    let mut sum = simd.splat_f32s(0.0);
    let len = left.len().min(right.len());
    each_vector!(S, len, |at, count| {
        // SAFETY: both are at least `len` long.
        unsafe {
            let left = load(simd, left.as_ptr().add(at), count);
            sum = simd.mul_add_e_f32s(left, load(simd, right.as_ptr().add(at), count), sum);
        }
    });
    simd.reduce_sum_f32s(sum)
}

/// Attention weights from scores and each row's logarithm of its sum.
struct Weights<T> {
    scale: f32,
    bias: Option<*const f32>,
    keys: usize,
    logsumexp: *const f32,
    rows: *mut f32,
    to: Across<T>,
    width: usize,
}

impl<T: Element> Epilogue for Weights<T> {
    #[inline(always)]
    unsafe fn take<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
        sums: S::f32s,
    ) {
        // SAFETY: memory is as large as the product, and there is a sum for each row.
        unsafe {
            let shift = simd.splat_f32s(-*self.logsumexp.add(row));
            let mut score = simd.mul_add_e_f32s(sums, simd.splat_f32s(self.scale), shift);
            if let Some(bias) = self.bias {
                score = simd.add_f32s(score, load(simd, bias.add(row * self.keys + column), count));
            }
            let weights = exp(simd, score);
            if const { T::BRIEF } {
                store(simd, self.rows.add(row * self.width + column), count, weights);
            }
            self.to.write(simd, row, column, count, weights);
        }
    }
}

/// Gradients of scores from those of weights: `weight * (gradient - delta)`, where `delta` is the
/// sum of the result times its gradient.
struct ScoreGradients<T> {
    weights: *const f32,
    deltas: *const f32,
    bias: Option<*mut f32>,
    keys: usize,
    rows: *mut T,
    to: Across<T>,
    width: usize,
}

impl<T: Element> Epilogue for ScoreGradients<T> {
    #[inline(always)]
    unsafe fn take<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
        sums: S::f32s,
    ) {
        // SAFETY: memory is as large as the product, and there is a delta for each row.
        unsafe {
            let at = row * self.width + column;
            let centered = simd.sub_f32s(sums, simd.splat_f32s(*self.deltas.add(row)));
            let value = simd.mul_f32s(load(simd, self.weights.add(at), count), centered);
            if const { T::BRIEF } {
                store(simd, self.rows.add(at), count, value);
            }
            self.to.write(simd, row, column, count, value);
            if let Some(bias) = self.bias {
                let to = bias.add(row * self.keys + column);
                store(simd, to, count, simd.add_f32s(load(simd, to, count), value));
            }
        }
    }
}
