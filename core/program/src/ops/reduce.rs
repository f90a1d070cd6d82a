//! Reductions along axes, and the running sum.

use super::call::Call;
use super::declare::{Rule, one, op};
use crate::array::{Array, lanes};
use crate::misfit::Misfit;
use crate::shape::{Dim, Shape};
use crate::types::{DType, TensorType};

macro_rules! reduce {
    ($($(#[doc = $doc:literal])+ $name:literal $Op:ident($dtypes:expr, $function:expr);)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name $Op(input: Required) {
                /// The axes to reduce, in ascending order.
                axes: Vec<usize>,
                /// Whether reduced dimensions stay, with size 1.
                keep_dimensions as "keepDimensions": bool = false,
            }
        }

        impl Rule for $Op {
            fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
                operands[0].expect("input", $dtypes)?;
                reduced(&operands[0], &self.axes, self.keep_dimensions)
            }

            fn run(&self, call: &Call<'_>) -> Vec<Array> {
                let function: fn(&[f64]) -> f64 = $function;
                let input = call.operands[0];
                let lane = |lane: Vec<usize>| -> f64 {
                    let values: Vec<_> = lane.into_iter().map(|at| input.values()[at]).collect();
                    function(&values)
                };
                call.one(lanes(input.shape(), &self.axes).into_iter().map(lane).collect())
            }
        }
    )*};
}

fn reduced(input: &TensorType, axes: &[usize], keep: bool) -> Result<Vec<TensorType>, Misfit> {
    input.axes(axes)?;
    let dims =
        input.dims().iter().enumerate().filter_map(|(axis, &dim)| match axes.contains(&axis) {
            true => keep.then_some(Dim::Fixed(1)),
            false => Some(dim),
        });
    one(input.with(Shape::new(dims.collect::<Vec<_>>())?))
}

const FLOAT: &[DType] = &[DType::F32];

fn sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

fn square_sum(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

fn min(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// `log(sum(exp(x)))`, with the largest taken out so that nothing overflows.
fn log_sum_exp(values: &[f64]) -> f64 {
    let largest = max(values);
    if largest.is_infinite() {
        return largest;
    }
    largest + values.iter().map(|value| (value - largest).exp()).sum::<f64>().ln()
}

reduce! {
    /// The sum of absolute values along axes, `f32`, whose dimensions vanish or become 1.
    "reduceL1" ReduceL1(FLOAT, |values| values.iter().map(|value| value.abs()).sum());
    /// The Euclidean norm along axes, `f32`, whose dimensions vanish or become 1.
    "reduceL2" ReduceL2(FLOAT, |values| square_sum(values).sqrt());
    /// The logarithm of the sum along axes, `f32`, whose dimensions vanish or become 1.
    "reduceLogSum" ReduceLogSum(FLOAT, |values| sum(values).ln());
    /// The logarithm of the sum of exponentials along axes, `f32`, whose dimensions vanish or
    /// become 1. Large elements do not overflow.
    "reduceLogSumExp" ReduceLogSumExp(FLOAT, log_sum_exp);
    /// The largest along axes, `f32` or `i32`, whose dimensions vanish or become 1.
    "reduceMax" ReduceMax(DType::NUMBERS, max);
    /// The mean along axes, `f32`, whose dimensions vanish or become 1.
    "reduceMean" ReduceMean(FLOAT, |values| sum(values) / values.len() as f64);
    /// The smallest along axes, `f32` or `i32`, whose dimensions vanish or become 1.
    "reduceMin" ReduceMin(DType::NUMBERS, min);
    /// The product along axes, `f32`, whose dimensions vanish or become 1.
    "reduceProduct" ReduceProduct(FLOAT, |values| values.iter().product());
    /// The sum along axes, `f32` or `i32` (which wraps around), whose dimensions vanish or become
    /// 1.
    "reduceSum" ReduceSum(DType::NUMBERS, sum);
    /// The sum of squares along axes, `f32`, whose dimensions vanish or become 1.
    "reduceSumSquare" ReduceSumSquare(FLOAT, square_sum);
}

op! {
    /// Each element replaced by the sum of all up to it along an axis, `f32` or `i32` (which wraps
    /// around) of any shape to the same.
    "cumulativeSum" CumulativeSum(input: Required) {
        /// The axis to sum along.
        axis: usize,
        /// Whether an element is left out of its own sum.
        exclusive: bool = false,
        /// Whether to sum from the end.
        reversed: bool = false,
    }
}

impl Rule for CumulativeSum {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        operands[0].expect("input", DType::NUMBERS)?;
        operands[0].axis(self.axis)?;
        one(operands[0].clone())
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let input = call.operands[0];
        let mut values = vec![0.0; input.values().len()];
        for mut lane in lanes(input.shape(), &[self.axis]) {
            if self.reversed {
                lane.reverse();
            }
            let mut sum = 0.0;
            for at in lane {
                let before = sum;
                sum += input.values()[at];
                values[at] = if self.exclusive { before } else { sum };
            }
        }
        call.one(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{f32, fits, gives, i32, misfits};

    macro_rules! reduces {
        ($Op:ident, $rows:expr, $columns:expr, $all:expr) => {
            let x = || [f32(&[2, 3], &[1.0, -2.0, 3.0, 0.5, 4.0, -1.0])];
            for keep_dimensions in [false, true] {
                gives($Op { axes: vec![1], keep_dimensions }, &x(), &$rows);
                gives($Op { axes: vec![0], keep_dimensions }, &x(), &$columns);
                gives($Op { axes: vec![0, 1], keep_dimensions }, &x(), &[$all]);
            }
        };
    }

    #[test]
    #[expect(clippy::approx_constant, reason = "as NumPy prints them")]
    fn values_are_numpys() {
        reduces!(ReduceL1, [6.0, 5.5], [1.5, 6.0, 4.0], 11.5);
        reduces!(
            ReduceL2,
            [3.74165739, 4.15331193],
            [1.11803399, 4.47213595, 3.16227766],
            5.59016994
        );
        let columns = [0.405465108, 0.693147181, 0.693147181];
        reduces!(ReduceLogSum, [0.693147181, 1.25276297], columns, 1.70474809);
        let columns = [1.47407698, 4.00247569, 3.01814993];
        reduces!(ReduceLogSumExp, [3.13284523, 4.03626957], columns, 4.37643484);
        reduces!(ReduceMax, [3.0, 4.0], [1.0, 4.0, 3.0], 4.0);
        reduces!(ReduceMean, [0.666666667, 1.16666667], [0.75, 1.0, 1.0], 0.916666667);
        reduces!(ReduceMin, [-2.0, -1.0], [0.5, -2.0, -1.0], -2.0);
        reduces!(ReduceProduct, [-6.0, -2.0], [0.5, -8.0, -3.0], 12.0);
        reduces!(ReduceSum, [2.0, 3.5], [1.5, 2.0, 2.0], 5.5);
        reduces!(ReduceSumSquare, [14.0, 17.25], [1.25, 20.0, 10.0], 31.25);
    }

    #[test]
    fn large_elements_do_not_overflow() {
        let op = |axes: &[usize]| ReduceLogSumExp { axes: axes.to_vec(), keep_dimensions: false };
        gives(op(&[0]), &[f32(&[2], &[1000.0, 1000.0])], &[1000.693147181]);
        gives(op(&[0]), &[f32(&[2], &[f64::NEG_INFINITY; 2])], &[f64::NEG_INFINITY]);
        let sum = ReduceSum { axes: vec![0], keep_dimensions: false };
        gives(sum, &[i32(&[2], &[2_147_483_647.0, 1.0])], &[-2_147_483_648.0]);
    }

    #[test]
    fn reduced_dimensions_vanish_or_become_one() {
        let sum =
            |axes: &[usize], keep_dimensions| ReduceSum { axes: axes.to_vec(), keep_dimensions };
        fits(sum(&[1], false), &["f32[B,3,4]"], "f32[B,4]");
        fits(sum(&[0, 2], true), &["i32[B,3,4]"], "i32[1,3,1]");
        fits(sum(&[0], false), &["f32[4B]"], "f32[]");
        misfits(
            sum(&[3], false),
            &["f32[B,3,4]"],
            "there is no axis 3: axes of [B, 3, 4] are 0 to 2",
        );
        let wants = "axes are [2, 1], but must be at least one, in ascending order";
        misfits(sum(&[2, 1], false), &["f32[B,3,4]"], wants);
        misfits(sum(&[], false), &["f32[B]"], "at least one");
        misfits(sum(&[0], false), &["bool[B]"], "input is bool, but must be f32 or i32");
        let mean = ReduceMean { axes: vec![0], keep_dimensions: false };
        misfits(mean, &["i32[B]"], "input is i32, but must be f32");
    }

    #[test]
    fn running_sums_go_either_way_with_or_without_the_element() {
        let op = |axis, exclusive, reversed| CumulativeSum { axis, exclusive, reversed };
        let x = || [f32(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])];
        gives(op(1, false, false), &x(), &[1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
        gives(op(1, true, false), &x(), &[0.0, 1.0, 3.0, 0.0, 4.0, 9.0]);
        gives(op(1, false, true), &x(), &[6.0, 5.0, 3.0, 15.0, 11.0, 6.0]);
        gives(op(1, true, true), &x(), &[5.0, 3.0, 0.0, 11.0, 6.0, 0.0]);
        gives(op(0, false, false), &x(), &[1.0, 2.0, 3.0, 5.0, 7.0, 9.0]);
        fits(op(0, false, false), &["i32[B,2]"], "i32[B,2]");
        misfits(op(2, false, false), &["f32[B,2]"], "there is no axis 2");
        misfits(op(0, false, false), &["bool[B]"], "input is bool");
    }
}
