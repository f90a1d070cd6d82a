//! Ops that cut tensors apart and put them together.

use std::{array, ops::Range};

use burn::tensor::{Slice, Tensor};
use vitral_program::ops;

use super::value::{Call, RANK, Value, any, mistyped};

/// `[a.., n, b..]` of any number to `[a.., sum of n, b..]`.
pub(super) fn concat(op: &ops::Concat, call: Call<'_>) -> Value {
    let axis = call.axis(op.axis);
    let (mut floats, mut ints, mut bools) = (Vec::new(), Vec::new(), Vec::new());
    for operand in call.operands {
        match operand {
            Value::Float(tensor) => floats.push(tensor),
            Value::Int(tensor) => ints.push(tensor),
            Value::Bool(tensor) => bools.push(tensor),
        }
    }
    match (floats.is_empty(), ints.is_empty(), bools.is_empty()) {
        (false, true, true) => Value::Float(Tensor::cat(floats, axis)),
        (true, false, true) => Value::Int(Tensor::cat(ints, axis)),
        (true, true, false) => Value::Bool(Tensor::cat(bools, axis)),
        _ => mistyped(),
    }
}

/// `[n..]` to `[before + n + after..]`.
pub(super) fn pad(op: &ops::Pad, mut call: Call<'_>) -> Value {
    let shape = call.shape();
    let value = call.operand();
    let front = RANK - op.beginning_padding.len();
    let inside = value.padded();
    let place: [Range<usize>; RANK] = array::from_fn(|axis| {
        let start = axis.checked_sub(front).map_or(0, |axis| op.beginning_padding[axis]);
        start..start + inside[axis]
    });
    let around = Value::from_host(value.dtype(), [1; RANK], &[op.value], call.device);
    match (around, value) {
        (Value::Float(around), Value::Float(x)) => {
            Value::Float(around.expand(shape).slice_assign(place, x))
        }
        (Value::Int(around), Value::Int(x)) => {
            Value::Int(around.expand(shape).slice_assign(place, x))
        }
        (Value::Bool(around), Value::Bool(x)) => {
            Value::Bool(around.expand(shape).slice_assign(place, x))
        }
        _ => mistyped(),
    }
}

/// `[..]` to a window of it.
pub(super) fn slice(op: &ops::Slice, mut call: Call<'_>) -> Value {
    let shape = call.shape();
    let front = RANK - op.starts.len();
    let slices: [Slice; RANK] = array::from_fn(|axis| match axis.checked_sub(front) {
        Some(at) => {
            let (start, step) = (op.starts[at] as isize, op.strides[at] as isize);
            let last = start + (shape[axis] as isize - 1) * step;
            Slice::new(start, Some(last + 1), step)
        }
        None => Slice::new(0, Some(1), 1),
    });
    any!(call.operand(), x => x.slice(slices))
}

/// `[a.., n, b..]` to `[a.., part of n, b..]` each.
pub(super) fn split(op: &ops::Split, mut call: Call<'_>) -> Vec<Value> {
    let axis = call.axis(op.axis);
    let value = call.operand();
    let mut start = 0;
    let part = |shape: &&[usize]| {
        let size = shape[op.axis];
        let part = any!(value.clone(), x => x.narrow(axis, start, size));
        start += size;
        part
    };
    call.results.iter().map(part).collect()
}
