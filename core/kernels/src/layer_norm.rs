//! Layer normalisation over a row (Ba, Kiros and Hinton 2016), forward and backward.

use pulp::{Simd, WithSimd};

use crate::{
    element::{
        Element,
        stored::{Values, ValuesMut},
    },
    instances::{instances, with_type},
    rows::{self, Shared, sum_partials},
    scratch,
    simd::{dispatch, each_vector, load, store},
};

/// The parameters of a LayerNorm, each of a row's width.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// Factors.
    pub weight: &'a [f32],
    /// Summands.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub eps: f32,
}

/// The gradients of a LayerNorm's parameters.
#[derive(Debug)]
pub struct LayerNormGradients<'a> {
    /// Of the factors.
    pub weight: &'a mut [f32],
    /// Of the summands.
    pub bias: &'a mut [f32],
}

instances! {
    fn layer_norm_forward(
        norm: &LayerNorm<'_>,
        x: &[Self],
        out: ValuesMut<'_>,
        statistics: &mut [f32],
    ) => with_type!(ValuesMut, out, norm.forward_as(x, out, statistics));
    fn layer_norm_backward(
        norm: &LayerNorm<'_>,
        x: &[Self],
        statistics: &[f32],
        gradient: Values<'_>,
        x_gradient: &mut [Self],
        gradients: LayerNormGradients<'_>,
    ) => with_type!(
        Values,
        gradient,
        norm.backward_as(x, statistics, gradient, x_gradient, gradients)
    );
}

impl LayerNorm<'_> {
    /// Width of a row.
    pub(crate) fn width(&self) -> usize {
        self.weight.len()
    }

    /// Normalises `x` into `out`, both `[rows, width]`. `statistics`, `[rows, 2]`, gets each row's
    /// mean and the inverse of its deviation, which backward wants.
    pub fn forward<X: Instances, Y: Element>(
        &self,
        x: &[X],
        out: &mut [Y],
        statistics: &mut [f32],
    ) {
        X::layer_norm_forward(self, x, Y::values_mut(out), statistics);
    }

    pub(crate) fn forward_as<X: Element, Y: Element>(
        &self,
        x: &[X],
        out: &mut [Y],
        statistics: &mut [f32],
    ) {
        let width = self.width();
        let rows = x.len() / width;
        assert_eq!((x.len(), out.len(), statistics.len()), (rows * width, x.len(), rows * 2));
        let (out, statistics) = (Shared::new(out), Shared::new(statistics));
        let blocks = rows::blocks::<f32>(rows);
        rows::for_each(blocks.len(), |task| {
            let (first, count) = (blocks[task].start, blocks[task].len());
            // SAFETY: each task has rows of its own.
            unsafe {
                dispatch(Forward {
                    norm: *self,
                    x: &x[first * width..][..count * width],
                    out: out.slice(first * width, count * width),
                    statistics: statistics.slice(first * 2, count * 2),
                });
            }
        });
    }

    /// From the gradient of the result, `[rows, width]`, to those of `x` and of the parameters.
    pub fn backward<X: Instances, Y: Element>(
        &self,
        x: &[X],
        statistics: &[f32],
        gradient: &[Y],
        x_gradient: &mut [X],
        gradients: LayerNormGradients<'_>,
    ) {
        let gradient = Y::values(gradient);
        X::layer_norm_backward(self, x, statistics, gradient, x_gradient, gradients);
    }

    pub(crate) fn backward_as<X: Element, Y: Element>(
        &self,
        x: &[X],
        statistics: &[f32],
        gradient: &[Y],
        x_gradient: &mut [X],
        gradients: LayerNormGradients<'_>,
    ) {
        let width = self.width();
        let rows = x.len() / width;
        assert_eq!((gradient.len(), x_gradient.len()), (x.len(), x.len()));
        let blocks = rows::blocks::<f32>(rows);
        let tasks = blocks.len();
        let mut partial = scratch::take(2 * tasks * width);
        let (weights, biases) = partial.split_at_mut(tasks * width);
        let (shared_weights, shared_biases) = (Shared::new(weights), Shared::new(biases));
        let out = Shared::new(x_gradient);
        rows::for_each(tasks, |task| {
            let (first, count) = (blocks[task].start, blocks[task].len());
            // SAFETY: each task has rows of its own.
            unsafe {
                dispatch(Backward {
                    norm: *self,
                    x: &x[first * width..][..count * width],
                    statistics: &statistics[first * 2..][..count * 2],
                    gradient: &gradient[first * width..][..count * width],
                    out: out.slice(first * width, count * width),
                    weight: shared_weights.slice(task * width, width),
                    bias: shared_biases.slice(task * width, width),
                });
            }
        });
        sum_partials(weights, gradients.weight);
        sum_partials(biases, gradients.bias);
    }
}

struct Forward<'a, X, Y> {
    norm: LayerNorm<'a>,
    x: &'a [X],
    out: &'a mut [Y],
    statistics: &'a mut [f32],
}

impl<X: Element, Y: Element> WithSimd for Forward<'_, X, Y> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        normalize(simd, self.norm, self.x, self.out, self.statistics, None);
    }
}

struct Backward<'a, X, Y> {
    norm: LayerNorm<'a>,
    x: &'a [X],
    statistics: &'a [f32],
    gradient: &'a [Y],
    out: &'a mut [X],
    weight: &'a mut [f32],
    bias: &'a mut [f32],
}

impl<X: Element, Y: Element> WithSimd for Backward<'_, X, Y> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { norm, x, statistics, gradient, out, weight, bias } = self;
        weight.fill(0.0);
        bias.fill(0.0);
        let units = OfInput(x);
        differentiate(simd, norm, units, statistics, gradient, None, out, weight, bias);
    }
}

/// Normalises rows on this thread. `units` gets the values before they are scaled and shifted.
#[inline(always)]
pub(crate) fn normalize<S: Simd, X: Element, Y: Element>(
    simd: S,
    norm: LayerNorm<'_>,
    x: &[X],
    out: &mut [Y],
    statistics: &mut [f32],
    mut units: Option<&mut [Y]>,
) {
    let width = norm.width();
    let share = 1.0 / width as f32;
    for (row, statistics) in statistics.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let x = x[row * width..][..width].as_ptr();
        let out = out[row * width..][..width].as_mut_ptr();
        let units = units.as_mut().map(|units| units[row * width..][..width].as_mut_ptr());
        // SAFETY: rows and parameters are `width` long.
        unsafe {
            let mut sum = simd.splat_f32s(0.0);
            each_vector!(S, width, |at, count| {
                sum = simd.add_f32s(sum, load(simd, x.add(at), count));
            });
            let mean = simd.reduce_sum_f32s(sum) * share;
            let means = simd.splat_f32s(mean);
            let mut sum = simd.splat_f32s(0.0);
            each_vector!(S, width, |at, count| {
                let off = simd.sub_f32s(load(simd, x.add(at), count), means);
                let square = simd.mul_f32s(off, off);
                // What does not exist is not part of the variance.
                sum = simd.add_f32s(
                    sum,
                    if count < S::F32_LANES { masked(simd, square, count) } else { square },
                );
            });
            let variance = simd.reduce_sum_f32s(sum) * share;
            let inverse = 1.0 / (variance + norm.eps).sqrt();
            let inverses = simd.splat_f32s(inverse);
            each_vector!(S, width, |at, count| {
                let off = simd.sub_f32s(load(simd, x.add(at), count), means);
                let weight = load(simd, norm.weight.as_ptr().add(at), count);
                let bias = load(simd, norm.bias.as_ptr().add(at), count);
                let unit = simd.mul_f32s(off, inverses);
                if let Some(units) = units {
                    store(simd, units.add(at), count, unit);
                }
                let value = simd.mul_add_e_f32s(unit, weight, bias);
                store(simd, out.add(at), count, value);
            });
            *statistics = [mean, inverse];
        }
    }
}

/// The first `count` values, the others zero.
#[inline(always)]
fn masked<S: Simd>(simd: S, values: S::f32s, count: usize) -> S::f32s {
    let mut memory = [0.0f32; 16];
    let memory = &mut memory[..S::F32_LANES];
    simd.partial_store_f32s(&mut memory[..count], values);
    simd.partial_load_f32s(&memory[..count])
}

/// Scales and shifts rows that are normalised, in place on this thread.
#[inline(always)]
pub(crate) fn scale_units<S: Simd, T: Element>(simd: S, norm: LayerNorm<'_>, units: &mut [T]) {
    let width = norm.width();
    for row in units.chunks_exact_mut(width) {
        let row = row.as_mut_ptr();
        each_vector!(S, width, |at, count| {
            // SAFETY: rows and parameters are `width` long.
            unsafe {
                let weight = load(simd, norm.weight.as_ptr().add(at), count);
                let bias = load(simd, norm.bias.as_ptr().add(at), count);
                let unit = load(simd, row.add(at), count);
                store(simd, row.add(at), count, simd.mul_add_e_f32s(unit, weight, bias));
            }
        });
    }
}

/// What a LayerNorm's backward finds normalised values in.
pub(crate) trait Units: Copy {
    /// How many there are.
    fn len(&self) -> usize;

    /// Those from `at` on, `count` of which exist, of a row with this mean and inverse deviation.
    ///
    /// # Safety
    /// They must be among those that there are.
    unsafe fn at<S: Simd>(
        &self,
        simd: S,
        at: usize,
        count: usize,
        means: S::f32s,
        inverses: S::f32s,
    ) -> S::f32s;
}

/// In what went in.
#[derive(Clone, Copy)]
pub(crate) struct OfInput<'a, X>(pub(crate) &'a [X]);

impl<X: Element> Units for OfInput<'_, X> {
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    unsafe fn at<S: Simd>(
        &self,
        simd: S,
        at: usize,
        count: usize,
        means: S::f32s,
        inverses: S::f32s,
    ) -> S::f32s {
        // SAFETY: as the caller says.
        let x = unsafe { load(simd, self.0.as_ptr().add(at), count) };
        simd.mul_f32s(simd.sub_f32s(x, means), inverses)
    }
}

/// Backward of some rows on this thread. `residual`'s values are added to the gradient of `x`, the
/// parameters' gradients to what is there.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
pub(crate) fn differentiate<S: Simd, X: Element, Y: Element>(
    simd: S,
    norm: LayerNorm<'_>,
    units: impl Units,
    statistics: &[f32],
    gradient: &[Y],
    residual: Option<&[X]>,
    x_gradient: &mut [X],
    weight_gradient: &mut [f32],
    bias_gradient: &mut [f32],
) {
    let width = norm.width();
    let share = 1.0 / width as f32;
    let weight = norm.weight.as_ptr();
    let (weight_sum, bias_sum) = (weight_gradient.as_mut_ptr(), bias_gradient.as_mut_ptr());
    assert_eq!(units.len(), statistics.len() / 2 * width);
    for (row, &[mean, inverse]) in statistics.as_chunks::<2>().0.iter().enumerate() {
        let (means, inverses) = (simd.splat_f32s(mean), simd.splat_f32s(inverse));
        let first = row * width;
        let gradient = gradient[row * width..][..width].as_ptr();
        let to = x_gradient[row * width..][..width].as_mut_ptr();
        let residual = residual.map(|values| values[row * width..][..width].as_ptr());
        // SAFETY: rows and parameters are `width` long.
        unsafe {
            let (mut sum, mut product) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
            each_vector!(S, width, |at, count| {
                let unit = units.at(simd, first + at, count, means, inverses);
                let incoming = load(simd, gradient.add(at), count);
                let weight = load(simd, weight.add(at), count);
                let scaled = simd.mul_f32s(incoming, weight);
                sum = simd.add_f32s(sum, scaled);
                product = simd.mul_add_e_f32s(scaled, unit, product);
                let sums = load(simd, weight_sum.add(at), count);
                store(simd, weight_sum.add(at), count, simd.mul_add_e_f32s(incoming, unit, sums));
                let sums = load(simd, bias_sum.add(at), count);
                store(simd, bias_sum.add(at), count, simd.add_f32s(incoming, sums));
            });
            let mean_gradient = simd.splat_f32s(simd.reduce_sum_f32s(sum) * share);
            let mean_product = simd.splat_f32s(simd.reduce_sum_f32s(product) * share);
            each_vector!(S, width, |at, count| {
                let unit = units.at(simd, first + at, count, means, inverses);
                let scaled = simd.mul_f32s(
                    load(simd, gradient.add(at), count),
                    load(simd, weight.add(at), count),
                );
                let centered = simd.sub_f32s(scaled, mean_gradient);
                let straight = simd.sub_f32s(centered, simd.mul_f32s(unit, mean_product));
                let mut value = simd.mul_f32s(straight, inverses);
                if let Some(residual) = residual {
                    value = simd.add_f32s(value, load(simd, residual.add(at), count));
                }
                store(simd, to.add(at), count, value);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, all_differences, assert_close, on_each_instruction_set, values};

    #[test]
    fn values_and_gradients_are_exact() {
        on_each_instruction_set(|set| {
            for (rows, width) in [(1, 1), (3, 7), (100, 16), (2, 37)] {
                let x = values(rows * width, 1);
                let (weight, bias) = (values(width, 2), values(width, 3));
                let gradient = values(rows * width, 4);
                let norm = LayerNorm { weight: &weight, bias: &bias, eps: 1e-3 };
                let (mut out, mut statistics) = (vec![0.0; x.len()], vec![0.0; rows * 2]);
                norm.forward(&x, &mut out, &mut statistics);
                let name = format!("{set:?} {rows}x{width}");
                let inputs = [&x[..], &weight, &bias];
                let exact = |inputs: &[Vec<f64>]| {
                    testing::layer_norm(&inputs[0], &inputs[1], &inputs[2], f64::from(1e-3f32))
                };
                assert_close(&name, &out, &exact(&inputs.map(testing::wide)), 2e-6);
                let (mut dx, mut dweight, mut dbias) =
                    (vec![0.0; x.len()], vec![0.0; width], vec![0.0; width]);
                norm.backward(
                    &x,
                    &statistics,
                    &gradient,
                    &mut dx,
                    LayerNormGradients { weight: &mut dweight, bias: &mut dbias },
                );
                let expected = all_differences(&inputs, &gradient, exact);
                for (what, (got, exact)) in
                    ["x", "weight", "bias"].iter().zip([dx, dweight, dbias].iter().zip(&expected))
                {
                    assert_close(&format!("{name} {what}"), got, exact, 1e-5);
                }
            }
        });
    }
}
