//! Ops that put elements into another order or shape.

use std::array;

use burn::tensor::{Bool, Tensor, TensorData};
use vitral_program::ops;

use super::value::{Call, RANK, Value, any};

/// `[1 or n..]` to `[n..]`.
pub(super) fn expand(mut call: Call<'_>) -> Value {
    let shape = call.shape();
    any!(call.operand(), x => x.expand(shape))
}

/// `[..]` to as many elements in another shape.
pub(super) fn reshape(mut call: Call<'_>) -> Value {
    let shape = call.shape();
    any!(call.operand(), x => x.reshape(shape))
}

/// `[..]` to the same.
pub(super) fn reverse(op: &ops::Reverse, mut call: Call<'_>) -> Value {
    let axes: Vec<_> = op.axes.iter().map(|&axis| call.axis(axis)).collect();
    axes.into_iter().fold(call.operand(), |value, axis| any!(value, x => x.flip([axis])))
}

/// `[..]` to the dimensions in another order: a view.
pub(super) fn transpose(op: &ops::Transpose, mut call: Call<'_>) -> Value {
    let front = RANK - op.permutation.len();
    let axes = array::from_fn::<_, RANK, _>(|axis| match axis.checked_sub(front) {
        Some(axis) => front + op.permutation[axis],
        None => axis,
    });
    any!(call.operand(), x => x.permute(axes))
}

/// `[.., rows, columns]` to the same.
pub(super) fn triangular(op: &ops::Triangular, mut call: Call<'_>) -> Value {
    let shape = call.shape();
    let [.., rows, columns] = shape;
    let mut dropped = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        for column in 0..columns {
            let above = column as i64 - row as i64 - i64::from(op.diagonal);
            dropped.push(if op.upper { above < 0 } else { above > 0 });
        }
    }
    let mut mask = [1; RANK];
    (mask[RANK - 2], mask[RANK - 1]) = (rows, columns);
    let dropped: Tensor<RANK, Bool> =
        Tensor::from_data(TensorData::new(dropped, mask), call.device);
    let dropped = dropped.expand(shape);
    match call.operand() {
        Value::Float(x) => Value::Float(x.mask_fill(dropped, 0.0)),
        Value::Int(x) => Value::Int(x.mask_fill(dropped, 0)),
        Value::Bool(x) => Value::Bool(x.bool_and(dropped.bool_not())),
    }
}
