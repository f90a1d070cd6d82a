//! Ops that take elements by index, and the one that finds the indices of the largest.

use super::call::Call;
use super::declare::{Rule, one, op};
use crate::array::{Array, fill, lanes};
use crate::misfit::Misfit;
use crate::shape::{Dim, Shape};
use crate::types::{DType, TensorType};

op! {
    /// Slices of the input by index along an axis: any type `[a.., n, b..]` and `i32` indices
    /// `[i..]` to `[a.., i.., b..]`. Indices are from `-n` to `n - 1`, negative ones counted from
    /// the end; others are taken as the nearest of these.
    "gather" Gather(input: Required, indices: Required) {
        /// The input's axis that the indices are for.
        axis: usize = 0,
    }
}

impl Rule for Gather {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let (input, indices) = (&operands[0], &operands[1]);
        input.axis(self.axis)?;
        indices.expect("indices", &[DType::I32])?;
        let (before, after) = (&input.dims()[..self.axis], &input.dims()[self.axis + 1..]);
        one(input.with(Shape::new([before, indices.dims(), after].concat())?))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let (input, indices) = (call.operands[0], call.operands[1]);
        let size = input.shape()[self.axis];
        call.one(fill(call.shape(), |index| {
            let (before, rest) = index.split_at(self.axis);
            let (at, after) = rest.split_at(indices.shape().len());
            let position = position(indices.at(at), size);
            input.at(&[before, &[position], after].concat())
        }))
    }
}

op! {
    /// Elements of the input by index along an axis: any type and `i32` indices of the same rank,
    /// to the indices' shape. Except along the axis, both have equal dimensions. The result at
    /// `[a.., i, b..]` is the input at `[a.., indices[a.., i, b..], b..]`; indices are as in
    /// `gather`.
    "gatherElements" GatherElements(input: Required, indices: Required) {
        /// The input's axis that the indices are for.
        axis: usize = 0,
    }
}

impl Rule for GatherElements {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let (input, indices) = (&operands[0], &operands[1]);
        indices.expect("indices", &[DType::I32])?;
        let dim = input.axis(self.axis)?;
        let alike = indices.rank() == input.rank()
            && indices.shape.replaced(self.axis, dim).is_ok_and(|shape| shape == input.shape);
        if !alike {
            let problem = format!(
                "indices are {}, but must be like {} except along axis {}",
                indices.shape, input.shape, self.axis
            );
            return Err(Misfit::new(problem));
        }
        one(input.with(indices.shape.clone()))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let (input, indices) = (call.operands[0], call.operands[1]);
        let mut from = vec![0; call.shape().len()];
        call.one(fill(call.shape(), |index| {
            from.copy_from_slice(index);
            from[self.axis] = position(indices.at(index), input.shape()[self.axis]);
            input.at(&from)
        }))
    }
}

/// The position that an index means among `size` elements.
fn position(index: f64, size: usize) -> usize {
    let (index, size) = (index as i64, size as i64);
    let index = if index < 0 { index + size } else { index };
    index.clamp(0, size - 1) as usize
}

op! {
    /// The `k` largest elements along an axis, in descending order: `f32` or `i32`, to two results
    /// with `k` elements along the axis, the values and their `i32` indices. Of equal elements, the
    /// first comes first. Along a multiple of the batch, `k` is one as well: with `k` the whole
    /// dimension this sorts, and sorting random numbers gives a random order.
    "topK" TopK(input: Required) {
        /// How many elements to keep, as a dimension: `8` or `B`.
        k: Dim,
        /// The axis to look along.
        axis: usize,
    }
}

impl Rule for TopK {
    fn results(&self) -> usize {
        2
    }

    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let input = &operands[0];
        input.expect("input", DType::NUMBERS)?;
        let dim = input.axis(self.axis)?;
        if !self.k.within(dim) {
            let (k, axis) = (self.k, self.axis);
            let problem = format!("k is {k}, but there are {dim} elements along axis {axis}");
            return Err(Misfit::new(problem));
        }
        let values = input.with(input.shape.replaced(self.axis, self.k)?);
        let indices = TensorType::new(DType::I32, values.shape.clone());
        Ok(vec![values, indices])
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let input = call.operands[0];
        let shape = call.shape();
        let sources = lanes(input.shape(), &[self.axis]);
        let targets = lanes(shape, &[self.axis]);
        let count = shape.iter().product();
        let (mut values, mut indices) = (vec![0.0; count], vec![0.0; count]);
        for (source, target) in sources.iter().zip(targets) {
            let mut order: Vec<_> = (0..source.len()).collect();
            let value = |&at: &usize| input.values()[source[at]];
            order.sort_by(|a, b| value(b).total_cmp(&value(a)));
            for (at, to) in order.into_iter().zip(target) {
                (values[to], indices[to]) = (value(&at), at as f64);
            }
        }
        vec![call.result(0, values), call.result(1, indices)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{bool, count, f32, fits, gives, i32, misfits};

    #[test]
    fn gather_takes_slices() {
        let rows = i32(&[2], &[2.0, 0.0]);
        gives(Gather { axis: 0 }, &[count(&[3, 2]), rows], &[4.0, 5.0, 0.0, 1.0]);
        let columns = i32(&[2, 1], &[1.0, -2.0]);
        gives(Gather { axis: 1 }, &[count(&[3, 2]), columns], &[1.0, 0.0, 3.0, 2.0, 5.0, 4.0]);
        gives(Gather { axis: 0 }, &[count(&[3]), i32(&[], &[-1.0])], &[2.0]);
        fits(Gather { axis: 0 }, &["f32[169,4]", "i32[49,49]"], "f32[49,49,4]");
        fits(Gather { axis: 0 }, &["f32[B,3]", "i32[B]"], "f32[B,3]");
        fits(Gather { axis: 1 }, &["bool[B,3]", "i32[]"], "bool[B]");
    }

    #[test]
    fn indices_out_of_range_are_the_nearest() {
        let wild = i32(&[4], &[9.0, -9.0, 3.0, -3.0]);
        gives(Gather { axis: 0 }, &[count(&[3]), wild], &[2.0, 0.0, 2.0, 0.0]);
    }

    #[test]
    fn gather_refuses_what_is_no_index() {
        misfits(Gather { axis: 0 }, &["f32[3]", "f32[2]"], "indices is f32, but must be i32");
        misfits(
            Gather { axis: 1 },
            &["f32[3]", "i32[2]"],
            "there is no axis 1: axes of [3] are 0 to 0",
        );
        misfits(Gather { axis: 1 }, &["f32[B,3]", "i32[B]"], "the batch in two dimensions");
    }

    #[test]
    fn gather_elements_takes_one_by_one() {
        let indices = i32(&[2, 2], &[2.0, 0.0, -1.0, 1.0]);
        gives(GatherElements { axis: 1 }, &[count(&[2, 3]), indices], &[2.0, 0.0, 5.0, 4.0]);
        let indices = i32(&[1, 2], &[1.0, 0.0]);
        gives(
            GatherElements { axis: 0 },
            &[bool(&[2, 2], &[0.0, 1.0, 1.0, 0.0]), indices],
            &[1.0, 1.0],
        );
        fits(GatherElements { axis: 1 }, &["f32[B,49]", "i32[B,8]"], "f32[B,8]");
        misfits(
            GatherElements { axis: 1 },
            &["f32[B,49]", "i32[8,8]"],
            "indices are [8, 8], but must be like [B, 49] except along axis 1",
        );
        misfits(GatherElements { axis: 1 }, &["f32[B,49]", "i32[B]"], "indices are [B]");
        misfits(GatherElements { axis: 2 }, &["f32[B,49]", "i32[B,8]"], "there is no axis 2");
        misfits(GatherElements { axis: 0 }, &["f32[2]", "f32[2]"], "indices is f32");
    }

    #[test]
    fn top_k_is_in_descending_order_and_stable() {
        let x = f32(&[2, 4], &[1.0, 3.0, 2.0, 3.0, -1.0, -2.0, -1.0, 0.5]);
        let (values, indices) = ([3.0, 3.0, 0.5, -1.0], [1.0, 3.0, 3.0, 0.0]);
        gives(TopK { k: Dim::Fixed(2), axis: 1 }, &[x], &[values, indices].concat());
        let columns = f32(&[2, 2], &[1.0, 4.0, 2.0, 3.0]);
        gives(TopK { k: Dim::Fixed(1), axis: 0 }, &[columns], &[2.0, 4.0, 1.0, 0.0]);
        fits(TopK { k: Dim::Fixed(8), axis: 1 }, &["f32[B,49]"], "f32[B,8], i32[B,8]");
        fits(TopK { k: Dim::BATCH, axis: 0 }, &["i32[B]"], "i32[B], i32[B]");
        let wants = "k is 50, but there are 49 elements along axis 1";
        misfits(TopK { k: Dim::Fixed(50), axis: 1 }, &["f32[B,49]"], wants);
        misfits(
            TopK { k: Dim::Fixed(1), axis: 0 },
            &["f32[B]"],
            "k is 1, but there are B elements",
        );
        misfits(TopK { k: Dim::Fixed(0), axis: 0 }, &["f32[3]"], "empty dimension");
        misfits(TopK { k: Dim::Fixed(1), axis: 0 }, &["bool[3]"], "input is bool");
    }
}
