//! Ops that put elements into another order or shape, of any element type.

use super::call::Call;
use super::declare::{Rule, one, op};
use crate::array::{Array, fill};
use crate::misfit::Misfit;
use crate::shape::Shape;
use crate::types::TensorType;

op! {
    /// The operand repeated along dimensions of size 1 and along new ones in front, any type and a
    /// shape that broadcasts to the new one, to the new one.
    "expand" Expand(input: Required) {
        /// The result's shape.
        new_shape as "newShape": Shape,
    }
}

impl Rule for Expand {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let (from, to) = (&operands[0].shape, &self.new_shape);
        if !from.broadcasts_to(to) {
            let problem = format!(
                "{from} cannot be expanded to {to}: aligned at the last dimension, each must be \
                 1 or equal"
            );
            return Err(Misfit::new(problem));
        }
        one(operands[0].with(to.clone()))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        call.one(fill(call.shape(), |index| call.operands[0].broadcast(index)))
    }
}

op! {
    /// The same elements, row-major, in another shape with as many, any type. The batch may be
    /// folded with other dimensions or unfolded: `[B, 4, 49]` to `[4B, 49]` and back.
    "reshape" Reshape(input: Required) {
        /// The result's shape.
        new_shape as "newShape": Shape,
    }
}

impl Rule for Reshape {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let (from, to) = (&operands[0].shape, &self.new_shape);
        let (has, needs) = (from.elements(), to.elements());
        if has != needs {
            let problem = format!("{from} has {has} elements, but {to} needs {needs}");
            return Err(Misfit::new(problem));
        }
        one(operands[0].with(to.clone()))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        call.one(call.operands[0].values().to_vec())
    }
}

op! {
    /// The elements in the opposite order along some axes, any type and shape to the same.
    "reverse" Reverse(input: Required) {
        /// The axes to reverse, in ascending order.
        axes: Vec<usize>,
    }
}

impl Rule for Reverse {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        operands[0].axes(&self.axes)?;
        one(operands[0].clone())
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let mut from = vec![0; call.shape().len()];
        call.one(fill(call.shape(), |index| {
            from.copy_from_slice(index);
            for &axis in &self.axes {
                from[axis] = call.shape()[axis] - 1 - index[axis];
            }
            call.operands[0].at(&from)
        }))
    }
}

op! {
    /// The axes in another order, any type: the result's axis `i` is the operand's axis
    /// `permutation[i]`.
    "transpose" Transpose(input: Required) {
        /// Each of the operand's axes once.
        permutation: Vec<usize>,
    }
}

impl Rule for Transpose {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let input = &operands[0];
        let mut axes = self.permutation.clone();
        axes.sort_unstable();
        if axes != (0..input.rank()).collect::<Vec<_>>() {
            let (order, rank) = (&self.permutation, input.rank());
            return Err(Misfit::new(format!(
                "permutation is {order:?}, but must have each of the {rank} axes once"
            )));
        }
        let dims: Vec<_> = self.permutation.iter().map(|&axis| input.dims()[axis]).collect();
        one(input.with(Shape::new(dims)?))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let mut from = vec![0; call.shape().len()];
        call.one(fill(call.shape(), |index| {
            for (&axis, &at) in self.permutation.iter().zip(index) {
                from[axis] = at;
            }
            call.operands[0].at(&from)
        }))
    }
}

op! {
    /// One triangle of each matrix of the last two dimensions, the rest set to zero or false, any
    /// type of shape `[.., rows, columns]` to the same. The upper triangle has the elements whose
    /// column is at least `row + diagonal`, the lower those whose column is at most that.
    "triangular" Triangular(input: Required) {
        /// Whether to keep the upper triangle, rather than the lower.
        upper: bool = true,
        /// The diagonal where it ends: 0 is the main one, 1 the one above it, -1 the one below.
        diagonal: i32 = 0,
    }
}

impl Rule for Triangular {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let input = &operands[0];
        if input.rank() < 2 {
            let problem =
                format!("{} is not a matrix: at least 2 dimensions are needed", input.shape);
            return Err(Misfit::new(problem));
        }
        one(input.clone())
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        call.one(fill(call.shape(), |index| {
            let [.., row, column] = index else { return 0.0 };
            let above = *column as i64 - *row as i64 - i64::from(self.diagonal);
            let kept = if self.upper { above >= 0 } else { above <= 0 };
            if kept { call.operands[0].at(index) } else { 0.0 }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{bool, count, f32, fits, gives, misfits};

    fn shape(text: &str) -> Shape {
        text.parse().unwrap()
    }

    #[test]
    fn expand_repeats() {
        let expand = |text| Expand { new_shape: shape(text) };
        gives(expand("[2,3]"), &[f32(&[3], &[1.0, 2.0, 3.0])], &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        gives(expand("[2,2]"), &[f32(&[2, 1], &[1.0, 2.0])], &[1.0, 1.0, 2.0, 2.0]);
        fits(expand("[B,4,3]"), &["i32[4,1]"], "i32[B,4,3]");
        fits(expand("[B]"), &["f32[]"], "f32[B]");
        misfits(expand("[2,4]"), &["f32[3]"], "[3] cannot be expanded to [2, 4]");
        misfits(expand("[4]"), &["f32[B]"], "[B] cannot be expanded to [4]");
        misfits(expand("[1]"), &["f32[3]"], "each must be 1 or equal");
        misfits(expand("[3]"), &["f32[1,3]"], "cannot be expanded");
    }

    #[test]
    fn reshape_keeps_the_order_and_folds_the_batch() {
        let reshape = |text| Reshape { new_shape: shape(text) };
        gives(reshape("[3,2]"), &[count(&[2, 3])], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        fits(reshape("[4B,49]"), &["f32[B,4,49]"], "f32[4B,49]");
        fits(reshape("[B,2,2,49]"), &["bool[4B,49]"], "bool[B,2,2,49]");
        fits(reshape("[]"), &["f32[1,1]"], "f32[]");
        misfits(reshape("[5]"), &["f32[2,3]"], "[2, 3] has 6 elements, but [5] needs 5");
        misfits(reshape("[6]"), &["f32[B,6]"], "[B, 6] has 6B elements, but [6] needs 6");
        misfits(reshape("[3B,49]"), &["f32[B,4,49]"], "has 196B elements, but [3B, 49] needs 147B");
    }

    #[test]
    fn reverse_turns_axes_around() {
        let reverse = |axes: &[usize]| Reverse { axes: axes.to_vec() };
        gives(reverse(&[1]), &[count(&[2, 3])], &[2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
        gives(reverse(&[0, 1]), &[count(&[2, 3])], &[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
        fits(reverse(&[0]), &["i32[B,3]"], "i32[B,3]");
        misfits(reverse(&[2]), &["f32[2,3]"], "there is no axis 2: axes of [2, 3] are 0 to 1");
        misfits(
            reverse(&[1, 1]),
            &["f32[2,3]"],
            "axes are [1, 1], but must be at least one, in ascending order",
        );
        misfits(reverse(&[]), &["f32[2,3]"], "at least one");
    }

    #[test]
    fn transpose_moves_axes() {
        let transpose = |permutation: &[usize]| Transpose { permutation: permutation.to_vec() };
        gives(transpose(&[1, 0]), &[count(&[2, 3])], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        // numpy.arange(6).reshape(1, 2, 3).transpose(2, 0, 1)
        gives(transpose(&[2, 0, 1]), &[count(&[1, 2, 3])], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        fits(transpose(&[2, 0, 1]), &["f32[B,2,3]"], "f32[3,B,2]");
        fits(transpose(&[]), &["f32[]"], "f32[]");
        misfits(
            transpose(&[0, 0]),
            &["f32[2,3]"],
            "permutation is [0, 0], but must have each of the 2 axes once",
        );
        misfits(transpose(&[0]), &["f32[2,3]"], "each of the 2 axes");
        misfits(transpose(&[0, 2]), &["f32[2,3]"], "each of the 2 axes");
    }

    #[test]
    fn triangles_end_at_their_diagonal() {
        let triangular = |upper, diagonal| Triangular { upper, diagonal };
        let x = || [f32(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])];
        gives(triangular(true, 0), &x(), &[1.0, 2.0, 3.0, 0.0, 5.0, 6.0]);
        gives(triangular(true, 1), &x(), &[0.0, 2.0, 3.0, 0.0, 0.0, 6.0]);
        gives(triangular(false, 0), &x(), &[1.0, 0.0, 0.0, 4.0, 5.0, 0.0]);
        gives(triangular(false, -1), &x(), &[0.0, 0.0, 0.0, 4.0, 0.0, 0.0]);
        gives(triangular(false, 0), &[bool(&[1, 2, 2], &[1.0; 4])], &[1.0, 0.0, 1.0, 1.0]);
        fits(triangular(true, i32::MIN), &["i32[B,4,4]"], "i32[B,4,4]");
        misfits(
            triangular(true, 0),
            &["f32[4]"],
            "[4] is not a matrix: at least 2 dimensions are needed",
        );
    }
}
