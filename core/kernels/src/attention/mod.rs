//! Softmax attention of each head, `softmax(scale * q kᵀ + bias) v`, forward and backward.
//!
//! Scores exist only for as many rows as the core's cache takes; backward computes them again from
//! each row's logarithm of its sum (Dao et al. 2022, FlashAttention).

use pulp::{Simd, WithSimd};

use crate::{
    convert::{convert_here, operand},
    element::Element,
    instances::instances,
    matmul::{Across, Epilogue, Left, Packed, Store, View, product},
    rows::{self, Shared},
    scratch,
    simd::{dispatch, each_vector, exp, load, store},
};

/// The sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Samples.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Queries of each sample.
    pub queries: usize,
    /// Keys, and values, of each sample.
    pub keys: usize,
    /// Width of a query and of a key.
    pub head_dim: usize,
    /// Width of a value.
    pub value_dim: usize,
    /// Multiplies the scores.
    pub scale: f32,
}

/// How the vectors of each head lie in memory: one vector's values follow each other.
#[derive(Clone, Copy, Debug)]
pub struct HeadStrides {
    /// From the start of the memory.
    pub offset: usize,
    /// From one sample to the next.
    pub batch: usize,
    /// From one head to the next.
    pub head: usize,
    /// From one token to the next.
    pub token: usize,
}

impl HeadStrides {
    /// `[batch, heads, tokens, dim]`
    pub fn heads_first(heads: usize, tokens: usize, dim: usize) -> Self {
        Self { offset: 0, batch: heads * tokens * dim, head: tokens * dim, token: dim }
    }

    /// Part `part` of `parts` in `[batch, tokens, parts, heads, dim]`, as a packed projection gives
    /// queries, keys and values.
    pub fn packed(part: usize, parts: usize, heads: usize, tokens: usize, dim: usize) -> Self {
        let token = parts * heads * dim;
        Self { offset: part * heads * dim, batch: tokens * token, head: dim, token }
    }

    fn at(&self, batch: usize, head: usize) -> usize {
        self.offset + batch * self.batch + head * self.head
    }

    fn view<'a, T>(
        &self,
        data: &'a [T],
        batch: usize,
        head: usize,
        rows: usize,
        dim: usize,
    ) -> View<'a, T> {
        View::strided(&data[self.at(batch, head)..], rows, dim, self.token)
    }
}

/// Vectors of each head.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a, T = f32> {
    /// Their memory.
    pub data: &'a [T],
    /// How they lie there.
    pub strides: HeadStrides,
}

/// Memory for vectors of each head.
#[derive(Debug)]
pub struct HeadsMut<'a, T = f32> {
    /// The memory.
    pub data: &'a mut [T],
    /// How they lie there.
    pub strides: HeadStrides,
}

/// What goes into an attention, which multiplies in that type. Scores and their softmax are in `f32`.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a, T = f32> {
    /// The sizes.
    pub shape: AttentionShape,
    /// Queries.
    pub q: Heads<'a, T>,
    /// Keys.
    pub k: Heads<'a, T>,
    /// Values.
    pub v: Heads<'a, T>,
    /// Added to the scores: `[heads, queries, keys]`.
    pub bias: Option<&'a [f32]>,
}

/// What backward needs of forward's results.
#[derive(Clone, Copy, Debug)]
pub struct AttentionResult<'a, T = f32> {
    /// The result.
    pub out: Heads<'a, T>,
    /// `[batch, heads, queries]`: the logarithm of each row's sum of exponentials.
    pub logsumexp: &'a [f32],
}

/// The gradients that backward finds.
#[derive(Debug)]
pub struct AttentionGradients<'a, T = f32> {
    /// Where those of queries, keys and values go.
    pub memory: QkvMemory<'a, T>,
    /// How each of the three lies there.
    pub strides: [HeadStrides; 3],
    /// Of the bias, if it is wanted: `[heads, queries, keys]`.
    pub bias: Option<&'a mut [f32]>,
}

/// Memory for queries, keys and values.
#[derive(Debug)]
pub enum QkvMemory<'a, T = f32> {
    /// All three lie in one, as a packed projection has them.
    Packed(&'a mut [T]),
    /// Each has its own.
    Apart([&'a mut [T]; 3]),
}

/// Values of scores that a core holds at once.
const SCORES: usize = 48 * 1024;

impl AttentionShape {
    /// Rows of scores that are computed at once.
    fn block(&self, width: usize) -> usize {
        (SCORES / width.max(1) / 12 * 12).clamp(12, self.queries.max(12))
    }
}

instances! {
    fn attention_forward(
        attention: &Attention<'_, Self>,
        out: HeadsMut<'_, Self>,
        logsumexp: &mut [f32],
    ) => attention.forward_as(out, logsumexp);
    fn attention_backward(
        attention: &Attention<'_, Self>,
        result: AttentionResult<'_, Self>,
        gradient: Heads<'_, Self>,
        gradients: AttentionGradients<'_, Self>,
    ) => attention.backward_as(result, gradient, gradients);
}

impl<T: Instances> Attention<'_, T> {
    /// Computes `out`, and each row's logarithm of its sum, `[batch, heads, queries]`.
    pub fn forward(&self, out: HeadsMut<'_, T>, logsumexp: &mut [f32]) {
        T::attention_forward(self, out, logsumexp);
    }

    /// From the gradient of the result to those of what went in.
    pub fn backward(
        &self,
        result: AttentionResult<'_, T>,
        gradient: Heads<'_, T>,
        gradients: AttentionGradients<'_, T>,
    ) {
        T::attention_backward(self, result, gradient, gradients);
    }
}

impl<T: Element> Attention<'_, T> {
    pub(crate) fn forward_as(&self, out: HeadsMut<'_, T>, logsumexp: &mut [f32]) {
        let AttentionShape { batch, heads, queries, .. } = self.shape;
        assert_eq!(logsumexp.len(), batch * heads * queries);
        let strides = out.strides;
        let (out, logsumexp) = (Shared::new(out.data), Shared::new(logsumexp));
        rows::for_each(batch * heads, |task| {
            let (sample, head) = (task / heads, task % heads);
            // SAFETY: each head of each sample has vectors and sums of its own.
            let (out, logsumexp) = unsafe {
                (out.at(strides.at(sample, head)), logsumexp.slice(task * queries, queries))
            };
            dispatch(Forward {
                attention: self,
                sample,
                head,
                out,
                out_stride: strides.token,
                logsumexp,
            });
        });
    }

    pub(crate) fn backward_as(
        &self,
        result: AttentionResult<'_, T>,
        gradient: Heads<'_, T>,
        gradients: AttentionGradients<'_, T>,
    ) {
        let AttentionShape { batch, heads, queries, keys, .. } = self.shape;
        let memory = match gradients.memory {
            QkvMemory::Packed(memory) => [Shared::new(memory); 3],
            QkvMemory::Apart(memories) => memories.map(Shared::new),
        };
        let strides = gradients.strides;
        let run = |sample: usize, head: usize, bias: Option<&mut [f32]>| {
            dispatch(Backward {
                attention: self,
                result,
                gradient,
                sample,
                head,
                memory,
                strides,
                bias,
            });
        };
        match gradients.bias {
            // The bias's gradient sums over samples: a head's samples take turns.
            Some(bias) => {
                assert_eq!(bias.len(), heads * queries * keys);
                bias.fill(0.0);
                let bias = Shared::new(bias);
                rows::for_each(heads, |head| {
                    for sample in 0..batch {
                        // SAFETY: each head has a part of its own.
                        let bias = unsafe { bias.slice(head * queries * keys, queries * keys) };
                        run(sample, head, Some(bias));
                    }
                });
            }
            None => rows::for_each(batch * heads, |task| run(task / heads, task % heads, None)),
        }
    }
}

struct Forward<'a, T> {
    attention: &'a Attention<'a, T>,
    sample: usize,
    head: usize,
    out: *mut T,
    out_stride: usize,
    logsumexp: &'a mut [f32],
}

impl<T: Element> WithSimd for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Attention { shape, q, k, v, bias } = *self.attention;
        let (sample, head) = (self.sample, self.head);
        let width = shape.keys.next_multiple_of(S::F32_LANES);
        let block = shape.block(width);
        let key_len = Packed::<T>::len::<S>(shape.head_dim, shape.keys);
        let value_len = Packed::<T>::len::<S>(shape.keys, shape.value_dim);
        let mut memory = scratch::take(key_len + value_len + block * (width + 1));
        let (keys, rest) = memory.split_at_mut(key_len);
        let (values, rest) = rest.split_at_mut(value_len);
        let (scores, inverse_sums) = rest.split_at_mut(block * width);
        let mut weights = scratch::take(if T::BRIEF { block * width } else { 0 });
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
                let left = Left { data, rows, row_stride: queries.row_stride };
                product(
                    simd,
                    left,
                    &keys,
                    &Store {
                        to: scores.as_mut_ptr(),
                        row_stride: width,
                        factor: shape.scale,
                        add: false,
                    },
                );
                for row in 0..rows {
                    let scores = &mut scores[row * width..][..width];
                    let bias = bias.map(|bias| {
                        &bias[(head * shape.queries + first + row) * shape.keys..][..shape.keys]
                    });
                    let (largest, sum) = exponentials(simd, scores, shape.keys, bias);
                    inverse_sums[row] = 1.0 / sum;
                    self.logsumexp[first + row] = largest + sum.ln();
                }
                let weights = operand::<S, f32, T>(simd, &scores[..rows * width], &mut weights);
                product(
                    simd,
                    Left::rows(weights, width),
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

/// Replaces a row of scores, padded to whole vectors, by their exponentials after subtracting the
/// largest. Returns the largest and the sum.
#[inline(always)]
fn exponentials<S: Simd>(
    simd: S,
    scores: &mut [f32],
    keys: usize,
    bias: Option<&[f32]>,
) -> (f32, f32) {
    if let Some(bias) = bias {
        scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
    }
    scores[keys..].fill(f32::MIN);
    let scores = scores.as_mut_ptr().cast::<S::f32s>();
    let vectors = keys.div_ceil(S::F32_LANES);
    // SAFETY: the row has that many whole vectors.
    unsafe {
        let mut largest = simd.splat_f32s(f32::MIN);
        for at in 0..vectors {
            largest = simd.max_f32s(largest, scores.add(at).read_unaligned());
        }
        let largest = simd.reduce_max_f32s(largest);
        let shift = simd.splat_f32s(largest);
        let mut sum = simd.splat_f32s(0.0);
        for at in 0..vectors {
            let value = exp(simd, simd.sub_f32s(scores.add(at).read_unaligned(), shift));
            scores.add(at).write_unaligned(value);
            sum = simd.add_f32s(sum, value);
        }
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

struct Backward<'a, T> {
    attention: &'a Attention<'a, T>,
    result: AttentionResult<'a, T>,
    gradient: Heads<'a, T>,
    sample: usize,
    head: usize,
    memory: [Shared<T>; 3],
    strides: [HeadStrides; 3],
    bias: Option<&'a mut [f32]>,
}

impl<T: Element> WithSimd for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Attention { shape, q, k, v, bias } = *self.attention;
        let AttentionShape { heads, queries, keys, head_dim, value_dim, scale, .. } = shape;
        let (sample, head) = (self.sample, self.head);
        let width = keys.next_multiple_of(S::F32_LANES);
        let block = shape.block(width);
        let lens = [
            Packed::<T>::len::<S>(head_dim, keys),
            Packed::<T>::len::<S>(value_dim, keys),
            Packed::<T>::len::<S>(keys, head_dim),
            Packed::<T>::len::<S>(block, head_dim),
            Packed::<T>::len::<S>(block, value_dim),
            Across::<T>::len(block, width),
            Across::<T>::len(block, width),
            block,
            if T::BRIEF { block * width } else { 0 },
            if T::BRIEF { keys * (head_dim + value_dim) } else { 0 },
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
            key_sums,
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
        // In `f32`, rows lie as well where they are read across; `bf16` has them apart, the weights
        // as they were before they were rounded.
        let (weight_rows, score_rows) = match T::BRIEF {
            true => (exact_weights.as_mut_ptr(), brief_scores.as_mut_ptr()),
            false => (weights.as_mut_ptr(), scores.as_mut_ptr().cast::<T>()),
        };
        let (weights, scores) = (Across::<T>::new(weights, width), Across::<T>::new(scores, width));
        let (k_sums, v_sums) = key_sums.split_at_mut(if T::BRIEF { keys * head_dim } else { 0 });
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
                    Left { data: score_rows.cast_const(), rows, row_stride: width },
                    &keys_straight,
                    &Store {
                        to: dq.0.add(first * dq.1),
                        row_stride: dq.1,
                        factor: scale,
                        add: false,
                    },
                );
                let add = first > 0;
                let len = Packed::<T>::len::<S>(rows, value_dim);
                let right = Packed::new(simd, gradient_rows, &mut gradient_block[..len]);
                add_to(simd, weights, keys, &right, dv, v_sums, 1.0, add);
                let len = Packed::<T>::len::<S>(rows, head_dim);
                let right = Packed::new(simd, q_rows, &mut q_block[..len]);
                add_to(simd, scores, keys, &right, dk, k_sums, scale, add);
            }
        }
        if T::BRIEF {
            for (sums, (to, stride), dim) in [(k_sums, dk, head_dim), (v_sums, dv, value_dim)] {
                for (key, sums) in sums.chunks_exact(dim).enumerate() {
                    // SAFETY: the gradients' rows are this task's.
                    let to = unsafe { std::slice::from_raw_parts_mut(to.add(key * stride), dim) };
                    convert_here(simd, sums, to);
                }
            }
        }
    }
}

/// Adds the product of the first `rows` columns of `left` and of `right` to what blocks before gave:
/// in place, or for `bf16` in `sums`, so that it is rounded once.
///
/// # Safety
/// See [`Across::product`]; memory must be as large as the product.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn add_to<S: Simd, T: Element>(
    simd: S,
    left: Across<T>,
    rows: usize,
    right: &Packed<'_, T>,
    (to, row_stride): (*mut T, usize),
    sums: &mut [f32],
    factor: f32,
    add: bool,
) {
    // SAFETY: as the caller says.
    unsafe {
        if const { T::BRIEF } {
            let to = sums.as_mut_ptr();
            let epilogue = Store { to, row_stride: right.columns, factor, add };
            left.product(simd, rows, right, &epilogue);
        } else {
            left.product(simd, rows, right, &Store { to, row_stride, factor, add });
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

#[cfg(test)]
mod tests;
