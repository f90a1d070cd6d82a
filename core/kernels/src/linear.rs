//! Linear layers: `x W + b`, with `W` stored `[inputs, outputs]`.

use pulp::{Simd, WithSimd};

use crate::{
    convert::{operand, operand_len},
    element::{
        Element,
        stored::{Values, ValuesMut},
    },
    instances::{instances, with_type},
    matmul::{Epilogue, Left, Packed, Store, View, outer::outer, product},
    rows::{self, Shared, sum_partials},
    scratch,
    simd::{dispatch, each_vector, load, store},
};

/// The parameters of a linear layer.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// `[inputs, outputs]`
    pub weight: &'a [f32],
    /// `[outputs]`
    pub bias: Option<&'a [f32]>,
    /// Values of a row that comes in.
    pub inputs: usize,
    /// Values of a row that goes out.
    pub outputs: usize,
}

/// The gradients of a linear layer's parameters.
#[derive(Debug)]
pub struct LinearGradients<'a> {
    /// `[inputs, outputs]`
    pub weight: &'a mut [f32],
    /// `[outputs]`; there if the layer has a bias.
    pub bias: Option<&'a mut [f32]>,
}

instances! {
    fn linear_forward(linear: &Linear<'_>, x: &[Self], out: ValuesMut<'_>) =>
        with_type!(ValuesMut, out, linear.forward_as(x, out));
    fn linear_input_gradient(linear: &Linear<'_>, gradient: Values<'_>, out: &mut [Self]) =>
        with_type!(Values, gradient, linear.input_gradient_as::<Self, _, Self>(gradient, out));
    fn linear_gradients(
        linear: &Linear<'_>,
        x: &[Self],
        gradient: Values<'_>,
        gradients: LinearGradients<'_>,
    ) => with_type!(Values, gradient, linear.gradients_as(x, gradient, gradients));
}

impl<'a> Linear<'a> {
    /// The weights as a right operand.
    pub(crate) fn view(&self) -> View<'a> {
        View::new(self.weight, self.inputs, self.outputs)
    }

    /// `x`, `[rows, inputs]`, to `out`, `[rows, outputs]`. Multiplies in the type of `x`.
    pub fn forward<T: Instances, Y: Element>(&self, x: &[T], out: &mut [Y]) {
        T::linear_forward(self, x, Y::values_mut(out));
    }

    pub(crate) fn forward_as<T: Element, Y: Element>(&self, x: &[T], out: &mut [Y]) {
        let rows = x.len() / self.inputs;
        assert_eq!((x.len(), out.len()), (rows * self.inputs, rows * self.outputs));
        let shared = Shared::new(out);
        Packed::<T>::lend(self.view(), None, |weight| {
            let blocks = rows::blocks::<T>(rows);
            rows::for_each(blocks.len(), |task| {
                let (first, count) = (blocks[task].start, blocks[task].len());
                dispatch(Forward {
                    x: &x[first * self.inputs..][..count * self.inputs],
                    weight,
                    out: Biased {
                        bias: self.bias,
                        // SAFETY: each task has rows of its own.
                        to: unsafe { shared.at(first * self.outputs) },
                        width: self.outputs,
                    },
                });
            });
        });
    }

    /// From the gradient of the result, `[rows, outputs]`, to those of the parameters and, where it
    /// is wanted, of `x`.
    pub fn backward<T: Instances, Y: Element>(
        &self,
        x: &[T],
        gradient: &[Y],
        x_gradient: Option<&mut [T]>,
        gradients: LinearGradients<'_>,
    ) {
        if let Some(out) = x_gradient {
            self.input_gradient(gradient, out);
        }
        T::linear_gradients(self, x, Y::values(gradient), gradients);
    }

    /// From the gradient of the result to that of what went in alone. Multiplies in the latter's
    /// type.
    pub fn input_gradient<T: Instances, Y: Element>(&self, gradient: &[Y], x_gradient: &mut [T]) {
        T::linear_input_gradient(self, Y::values(gradient), x_gradient);
    }

    pub(crate) fn gradients_as<T: Element, Y: Element>(
        &self,
        x: &[T],
        gradient: &[Y],
        gradients: LinearGradients<'_>,
    ) {
        let rows = x.len() / self.inputs;
        assert_eq!((x.len(), gradient.len()), (rows * self.inputs, rows * self.outputs));
        let gradient_view = View::new(gradient, rows, self.outputs);
        outer::<T, _, _>(View::new(x, rows, self.inputs), gradient_view, gradients.weight);
        if let Some(bias) = gradients.bias {
            column_sums(gradient, bias);
        }
    }

    /// `out = gradient Wᵀ`, multiplied in type `T`.
    pub(crate) fn input_gradient_as<T: Element, G: Element, X: Element>(
        &self,
        gradient: &[G],
        out: &mut [X],
    ) {
        let rows = gradient.len() / self.outputs;
        assert_eq!(out.len(), rows * self.inputs);
        let shared = Shared::new(out);
        Packed::<T>::lend(self.view().transposed(), None, |weight| {
            let blocks = rows::blocks::<T>(rows);
            rows::for_each(blocks.len(), |task| {
                let (first, count) = (blocks[task].start, blocks[task].len());
                dispatch(Forward {
                    x: &gradient[first * self.outputs..][..count * self.outputs],
                    weight,
                    out: Store {
                        // SAFETY: each task has rows of its own.
                        to: unsafe { shared.at(first * self.inputs) },
                        row_stride: self.inputs,
                        factor: 1.0,
                        add: false,
                    },
                });
            });
        });
    }
}

/// Sums the rows of `values` into `out`, whose length is theirs.
pub(crate) fn column_sums<T: Element>(values: &[T], out: &mut [f32]) {
    let width = out.len();
    let blocks = rows::blocks::<f32>(values.len() / width);
    let mut partial = scratch::take(blocks.len() * width);
    let shared = Shared::new(&mut partial);
    rows::for_each(blocks.len(), |task| {
        let rows = &blocks[task];
        // SAFETY: each task has a row of sums of its own.
        let out = unsafe { shared.slice(task * width, width) };
        dispatch(ColumnSums { values: &values[rows.start * width..rows.end * width], out });
    });
    sum_partials(&partial, out);
}

struct ColumnSums<'a, T> {
    values: &'a [T],
    out: &'a mut [f32],
}

impl<T: Element> WithSimd for ColumnSums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        column_sums_of_block(simd, self.values, self.out);
    }
}

/// Sums rows on this thread.
#[inline(always)]
pub(crate) fn column_sums_of_block<S: Simd, T: Element>(simd: S, values: &[T], out: &mut [f32]) {
    out.fill(0.0);
    let width = out.len();
    for row in values.chunks_exact(width) {
        each_vector!(S, width, |at, count| {
            // SAFETY: a row is `width` long, and so is `out`.
            unsafe {
                let to = out.as_mut_ptr().add(at);
                let value = load(simd, row.as_ptr().add(at), count);
                store(simd, to, count, simd.add_f32s(load(simd, to, count), value));
            }
        });
    }
}

struct Forward<'a, X, T, E> {
    x: &'a [X],
    weight: Packed<'a, T>,
    out: E,
}

impl<X: Element, T: Element, E: Epilogue> WithSimd for Forward<'_, X, T, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let depth = self.weight.depth;
        let mut memory = scratch::take(operand_len::<X, T>(self.x));
        let x = operand(simd, self.x, &mut memory);
        // SAFETY: a row of `x` is as long as the weights are deep, and `out` was made for both.
        unsafe { product(simd, Left::rows(x, depth), &self.weight, &self.out) };
    }
}

/// Adds a bias and writes.
pub(crate) struct Biased<'a, T> {
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) to: *mut T,
    pub(crate) width: usize,
}

impl<T: Element> Epilogue for Biased<'_, T> {
    #[inline(always)]
    unsafe fn take<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
        sums: S::f32s,
    ) {
        // SAFETY: the memory is as large as the product, and the bias as wide.
        unsafe {
            let value = match self.bias {
                Some(bias) => simd.add_f32s(sums, load(simd, bias.as_ptr().add(column), count)),
                None => sums,
            };
            store(simd, self.to.add(row * self.width + column), count, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::testing::{
        self, all_differences, assert_close, brief, on_each_instruction_set, values,
    };

    #[test]
    fn values_and_gradients_are_exact() {
        on_each_instruction_set(|set| {
            for (rows, inputs, outputs) in [(1, 1, 1), (5, 3, 17), (13, 9, 40), (101, 4, 2)] {
                let x = values(rows * inputs, 1);
                let (weight, bias) = (values(inputs * outputs, 2), values(outputs, 3));
                let gradient = values(rows * outputs, 4);
                let linear = Linear { weight: &weight, bias: Some(&bias), inputs, outputs };
                let mut out = vec![0.0; rows * outputs];
                linear.forward(&x, &mut out);
                let name = format!("{set:?} {rows}x{inputs}x{outputs}");
                let all = [&x[..], &weight, &bias];
                let exact = |all: &[Vec<f64>]| testing::linear(&all[0], &all[1], &all[2]);
                assert_close(&name, &out, &exact(&all.map(testing::wide)), 1e-6);
                let (mut dx, mut dweight, mut dbias) =
                    (vec![0.0; x.len()], vec![0.0; weight.len()], vec![0.0; outputs]);
                linear.backward(
                    &x,
                    &gradient,
                    Some(&mut dx),
                    LinearGradients { weight: &mut dweight, bias: Some(&mut dbias) },
                );
                let expected = all_differences(&all, &gradient, exact);
                for (what, (got, exact)) in
                    ["x", "weight", "bias"].iter().zip([dx, dweight, dbias].iter().zip(&expected))
                {
                    assert_close(&format!("{name} {what}"), got, exact, 2e-6);
                }
            }
        });
    }

    /// Operands are rounded, and nothing else: the sums are those of exact products.
    #[test]
    fn brief_operands_are_multiplied_exactly_and_summed_in_f32() {
        on_each_instruction_set(|set| {
            for (rows, inputs, outputs) in
                [(1, 1, 1), (5, 3, 17), (13, 9, 40), (101, 4, 2), (29, 333, 70), (96, 64, 64)]
            {
                let (x, weight) = (brief(&values(rows * inputs, 1)), values(inputs * outputs, 2));
                let bias = values(outputs, 3);
                let gradient = brief(&values(rows * outputs, 4));
                let linear = Linear { weight: &weight, bias: Some(&bias), inputs, outputs };
                let name = format!("{set:?} {rows}x{inputs}x{outputs}");
                let rounded = testing::wide(&brief(&weight));
                let mut out = vec![f32::NAN; rows * outputs];
                linear.forward(&x, &mut out);
                let exact = testing::linear(&testing::wide(&x), &rounded, &testing::wide(&bias));
                assert_close(&name, &out, &exact, 1e-6);
                let mut dx = vec![f32::NAN; rows * inputs];
                linear.input_gradient_as::<bf16, _, _>(&gradient, &mut dx);
                let transposed: Vec<f64> = (0..outputs * inputs)
                    .map(|at| rounded[at % inputs * outputs + at / inputs])
                    .collect();
                let zeros = vec![0.0; inputs];
                let exact = testing::linear(&testing::wide(&gradient), &transposed, &zeros);
                assert_close(&format!("{name} x"), &dx, &exact, 1e-6);
            }
        });
    }
}
