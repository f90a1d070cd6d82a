//! Ops that cut tensors apart and put them together, of any element type.

use super::call::Call;
use super::declare::{Rule, one, op};
use crate::array::{Array, fill};
use crate::misfit::Misfit;
use crate::shape::{Dim, Shape, dims_text};
use crate::types::TensorType;

op! {
    /// The operands one after the other along an axis, all of one type and equal in every other
    /// dimension. Along the axis, either all or none are multiples of the batch.
    "concat" Concat(inputs: Repeated) {
        /// The axis to join along.
        axis: usize,
    }
}

impl Rule for Concat {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let first = &operands[0];
        let mut total = first.axis(self.axis)?;
        for (position, next) in operands.iter().enumerate().skip(1) {
            next.expect(&format!("operand {position}"), &[first.dtype])?;
            let wrong = || {
                Misfit::new(format!(
                    "operand {position} is {}, but must be like {} except along axis {}",
                    next.shape, first.shape, self.axis
                ))
            };
            let dim = next.axis(self.axis).map_err(|_| wrong())?;
            if next.shape.replaced(self.axis, first.dims()[self.axis])? != first.shape {
                return Err(wrong());
            }
            total = total.plus(dim).ok_or_else(wrong)?;
        }
        one(first.with(first.shape.replaced(self.axis, total)?))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let mut from = vec![0; call.shape().len()];
        call.one(fill(call.shape(), |index| {
            from.copy_from_slice(index);
            for operand in &call.operands {
                match operand.shape()[self.axis] {
                    size if from[self.axis] < size => return operand.at(&from),
                    size => from[self.axis] -= size,
                }
            }
            0.0
        }))
    }
}

op! {
    /// The operand with elements of one value added around it, any type; each dimension grows by
    /// what is added before and after. The batch cannot be padded.
    "pad" Pad(input: Required) {
        /// How many to add before each dimension.
        beginning_padding as "beginningPadding": Vec<usize>,
        /// How many to add after each dimension.
        ending_padding as "endingPadding": Vec<usize>,
        /// The value of what is added.
        value: f64 = 0.0,
    }
}

impl Rule for Pad {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let input = &operands[0];
        one_each("beginningPadding", self.beginning_padding.len(), input)?;
        one_each("endingPadding", self.ending_padding.len(), input)?;
        input.dtype.check(self.value)?;
        let both = self.beginning_padding.iter().zip(&self.ending_padding);
        let dims = input.dims().iter().zip(both).map(|(&dim, (&before, &after))| {
            let padded = match before.checked_add(after) {
                Some(0) => Some(dim),
                more => more.and_then(|more| dim.plus(Dim::Fixed(more))),
            };
            padded.ok_or_else(|| {
                let shape = &input.shape;
                Misfit::new(format!("{dim} of {shape} cannot be padded with {before} and {after}"))
            })
        });
        one(input.with(Shape::new(dims.collect::<Result<Vec<_>, _>>()?)?))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let input = call.operands[0];
        let mut from = vec![0; call.shape().len()];
        call.one(fill(call.shape(), |index| {
            for (axis, &at) in index.iter().enumerate() {
                match at.checked_sub(self.beginning_padding[axis]) {
                    Some(inside) if inside < input.shape()[axis] => from[axis] = inside,
                    _ => return self.value,
                }
            }
            input.at(&from)
        }))
    }
}

op! {
    /// A window of the operand, any type: along each dimension, `sizes` elements from `starts` on,
    /// of which every `strides`-th is kept. A multiple of the batch can be cut only from its start,
    /// into a multiple of the batch, with stride 1.
    "slice" Slice(input: Required) {
        /// Where the window starts along each dimension.
        starts: Vec<usize>,
        /// The window's size along each dimension, as dimensions: `[B, 49]`.
        sizes: Vec<Dim>,
        /// Every how many elements of the window one is kept, along each dimension.
        strides: Vec<usize>,
    }
}

impl Slice {
    fn dim(&self, axis: usize, dim: Dim) -> Result<Dim, Misfit> {
        let (start, size, stride) = (self.starts[axis], self.sizes[axis], self.strides[axis]);
        if stride == 0 {
            let problem = format!("the stride along axis {axis} is 0, but must be at least 1");
            return Err(Misfit::new(problem));
        }
        let whole_batch = dim.fixed().is_some() || (start == 0 && stride == 1);
        let end = match start {
            0 => Some(size),
            start => size.plus(Dim::Fixed(start)),
        };
        match end {
            Some(end) if end.within(dim) && whole_batch => Ok(match size {
                Dim::Fixed(size) => Dim::Fixed(size.div_ceil(stride)),
                batch => batch,
            }),
            _ => Err(Misfit::new(format!(
                "along axis {axis}, {size} from {start} in steps of {stride} cannot be cut out of \
                 {dim}"
            ))),
        }
    }
}

impl Rule for Slice {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let input = &operands[0];
        one_each("starts", self.starts.len(), input)?;
        one_each("sizes", self.sizes.len(), input)?;
        one_each("strides", self.strides.len(), input)?;
        let dims = input.dims().iter().enumerate().map(|(axis, &dim)| self.dim(axis, dim));
        one(input.with(Shape::new(dims.collect::<Result<Vec<_>, _>>()?)?))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let mut from = vec![0; call.shape().len()];
        call.one(fill(call.shape(), |index| {
            for (axis, &at) in index.iter().enumerate() {
                from[axis] = self.starts[axis] + at * self.strides[axis];
            }
            call.operands[0].at(&from)
        }))
    }
}

op! {
    /// The operand cut into parts along an axis, any type: as many results as there are sizes, each
    /// like the operand but of its size along the axis. The sizes add up to the dimension.
    "split" Split(input: Required) {
        /// The size of each part along the axis, as dimensions: `[B, B]` or `[16, 16, 16]`.
        splits: Vec<Dim>,
        /// The axis to cut.
        axis: usize,
    }
}

impl Rule for Split {
    fn results(&self) -> usize {
        self.splits.len()
    }

    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let input = &operands[0];
        let dim = input.axis(self.axis)?;
        let sum = match &self.splits[..] {
            [] => None,
            [first, others @ ..] => others.iter().try_fold(*first, |sum, &part| sum.plus(part)),
        };
        if sum != Some(dim) {
            let parts = dims_text(&self.splits);
            return Err(Misfit::new(format!("the parts {parts} do not add up to {dim}")));
        }
        let part = |&part: &Dim| Ok(input.with(input.shape.replaced(self.axis, part)?));
        self.splits.iter().map(part).collect()
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let mut start = 0;
        let part = |index: usize| {
            let shape = call.shape_of(index);
            let mut from = vec![0; shape.len()];
            let values = fill(shape, |index| {
                from.copy_from_slice(index);
                from[self.axis] += start;
                call.operands[0].at(&from)
            });
            start += shape[self.axis];
            call.result(index, values)
        };
        (0..self.splits.len()).map(part).collect()
    }
}

/// Checks that a list has an entry for each dimension.
fn one_each(name: &str, count: usize, input: &TensorType) -> Result<(), Misfit> {
    if count == input.rank() {
        return Ok(());
    }
    let (shape, rank) = (&input.shape, input.rank());
    Err(Misfit::new(format!("{name} has {count} entries, but {shape} has {rank} dimensions")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{bool, count, f32, fits, gives, misfits};
    use crate::shape::parse_dims;

    fn slice(starts: &[usize], sizes: &str, strides: &[usize]) -> Slice {
        Slice {
            starts: starts.to_vec(),
            sizes: parse_dims(sizes).unwrap(),
            strides: strides.to_vec(),
        }
    }

    fn split(splits: &str, axis: usize) -> Split {
        Split { splits: parse_dims(splits).unwrap(), axis }
    }

    fn pad(before: &[usize], after: &[usize], value: f64) -> Pad {
        Pad { beginning_padding: before.to_vec(), ending_padding: after.to_vec(), value }
    }

    #[test]
    fn concat_joins_along_its_axis() {
        let ab = || [count(&[2, 2]), f32(&[2, 1], &[8.0, 9.0])];
        gives(Concat { axis: 1 }, &ab(), &[0.0, 1.0, 8.0, 2.0, 3.0, 9.0]);
        gives(
            Concat { axis: 0 },
            &[count(&[2]), count(&[1]), count(&[2])],
            &[0.0, 1.0, 0.0, 0.0, 1.0],
        );
        fits(Concat { axis: 1 }, &["f32[B,1,8]", "f32[B,49,8]"], "f32[B,50,8]");
        fits(Concat { axis: 0 }, &["i32[B,8]", "i32[2B,8]"], "i32[3B,8]");
        fits(Concat { axis: 0 }, &["bool[2]"], "bool[2]");
        misfits(
            Concat { axis: 0 },
            &["f32[2,3]", "f32[2,4]"],
            "operand 1 is [2, 4], but must be like [2, 3] except along axis 0",
        );
        misfits(Concat { axis: 0 }, &["f32[2,3]", "f32[3]"], "must be like [2, 3]");
        misfits(Concat { axis: 0 }, &["f32[2]", "i32[2]"], "operand 1 is i32, but must be f32");
        misfits(Concat { axis: 0 }, &["f32[B]", "f32[2]"], "must be like [B]");
        misfits(Concat { axis: 1 }, &["f32[B]", "f32[B]"], "there is no axis 1");
        misfits(Concat { axis: 0 }, &["f32[]", "f32[]"], "a scalar has no axes");
    }

    #[test]
    fn pad_surrounds() {
        gives(pad(&[1], &[2], 7.0), &[count(&[2])], &[7.0, 0.0, 1.0, 7.0, 7.0]);
        gives(
            pad(&[0, 1], &[1, 0], 0.0),
            &[f32(&[1, 2], &[1.0, 2.0])],
            &[0.0, 1.0, 2.0, 0.0, 0.0, 0.0],
        );
        fits(pad(&[0, 1], &[0, 1], 0.0), &["f32[B,7]"], "f32[B,9]");
        misfits(
            pad(&[1, 0], &[0, 0], 0.0),
            &["f32[B,7]"],
            "B of [B, 7] cannot be padded with 1 and 0",
        );
        misfits(
            pad(&[1], &[0, 0], 0.0),
            &["f32[B,7]"],
            "beginningPadding has 1 entries, but [B, 7] has 2 dimensions",
        );
        misfits(pad(&[usize::MAX], &[1], 0.0), &["f32[7]"], "cannot be padded");
        misfits(pad(&[0], &[1], 0.5), &["i32[7]"], "0.5 is not an integer");
    }

    #[test]
    fn slice_takes_a_window_in_steps() {
        gives(slice(&[1, 0], "[2,3]", &[1, 2]), &[count(&[3, 4])], &[4.0, 6.0, 8.0, 10.0]);
        gives(slice(&[1], "[2]", &[1]), &[bool(&[3], &[0.0, 1.0, 0.0])], &[1.0, 0.0]);
        fits(slice(&[0, 1], "[B,48]", &[1, 1]), &["f32[B,49]"], "f32[B,48]");
        fits(slice(&[0], "[B]", &[1]), &["f32[4B]"], "f32[B]");
        fits(slice(&[0], "[7]", &[3]), &["f32[7]"], "f32[3]");
        misfits(
            slice(&[1], "[7]", &[1]),
            &["f32[7]"],
            "along axis 0, 7 from 1 in steps of 1 cannot be cut out of 7",
        );
        misfits(slice(&[1], "[B]", &[1]), &["f32[2B]"], "cannot be cut out of 2B");
        misfits(slice(&[0], "[B]", &[2]), &["f32[2B]"], "cannot be cut out of 2B");
        misfits(slice(&[0], "[1]", &[1]), &["f32[B]"], "cannot be cut out of B");
        misfits(slice(&[usize::MAX], "[2]", &[1]), &["f32[7]"], "cannot be cut out of 7");
        misfits(slice(&[0], "[0]", &[1]), &["f32[7]"], "empty dimension");
        misfits(slice(&[0], "[7]", &[0]), &["f32[7]"], "the stride along axis 0 is 0");
        misfits(slice(&[0, 0], "[7]", &[1]), &["f32[7]"], "starts has 2 entries");
    }

    #[test]
    fn split_gives_all_parts() {
        gives(split("[1, 2]", 1), &[count(&[2, 3])], &[0.0, 3.0, 1.0, 2.0, 4.0, 5.0]);
        fits(split("[B, 2B]", 0), &["f32[3B,2]"], "f32[B,2], f32[2B,2]");
        fits(split("[16, 16, 16]", 1), &["i32[B,48]"], "i32[B,16], i32[B,16], i32[B,16]");
        misfits(split("[1, 1]", 1), &["f32[2,3]"], "the parts [1, 1] do not add up to 3");
        misfits(split("[]", 1), &["f32[2,3]"], "the parts [] do not add up to 3");
        misfits(split("[B, 1]", 0), &["f32[2B]"], "the parts [B, 1] do not add up to 2B");
        misfits(split("[0, 3]", 1), &["f32[2,3]"], "empty dimension");
        misfits(split("[1]", 2), &["f32[2,3]"], "there is no axis 2");
    }
}
