//! Ops that take elements by index, and the one that finds the indices of the largest.

use burn::tensor::{Int, Tensor};
use vitral_program::ops;

use super::value::{Call, RANK, Value, any, integers, mistyped};
use crate::{cpu::is_cpu, kernels, recording::varies};

/// `[a.., n, b..]` and indices `[i..]` to `[a.., i.., b..]`.
pub(super) fn gather(op: &ops::Gather, mut call: Call<'_>) -> Value {
    let (axis, shape, size) = (call.axis(op.axis), call.shape(), call.shapes[0][op.axis]);
    let input = call.operand();
    let indices = positions(call.int(), size);
    let count = indices.dims().iter().product::<usize>();
    let indices = indices.reshape([count]);
    any!(input, x => x.select(axis, indices).reshape(shape))
}

/// `[a.., n, b..]` and indices `[a.., i, b..]` to `[a.., i, b..]`.
pub(super) fn gather_elements(op: &ops::GatherElements, mut call: Call<'_>) -> Value {
    let (axis, size) = (call.axis(op.axis), call.shapes[0][op.axis]);
    let input = call.operand();
    let indices = positions(call.int(), size);
    any!(input, x => x.gather(axis, indices))
}

/// The positions that indices mean among `size` elements: negative ones count from the end, others
/// out of range are the nearest.
fn positions(indices: Tensor<RANK, Int>, size: usize) -> Tensor<RANK, Int> {
    let from_end = indices.clone().add_scalar(size as i32);
    let negative = indices.clone().lower_scalar(0);
    indices.mask_where(negative, from_end).clamp(0, size as i32 - 1)
}

/// `[a.., n, b..]` to values and indices `[a.., k, b..]`. Sorted on the host where no kernel finds the largest: Burn's
/// order of equal elements is not the same everywhere, and its GPU backends sort on the host as well.
pub(super) fn top_k(op: &ops::TopK, mut call: Call<'_>) -> Vec<Value> {
    let (axis, shape) = (call.axis(op.axis), call.shape());
    let input = call.operand();
    let (k, size) = (shape[axis], call.shapes[0][op.axis]);
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let found = match &input {
        Value::Float(x) if !is_cpu(call.device) => {
            kernels::top_k(&x.clone().reshape([outer, size, inner]), k)
        }
        _ => None,
    };
    let indices = found.map_or_else(
        || integers(sorted(&input, [outer, size, inner], k), shape, call.device),
        |found| found.reshape(shape),
    );
    let values = any!(input, x => x.gather(axis, indices.clone()));
    vec![values, Value::Int(indices)]
}

/// The places of the `k` largest values of each lane of `[outer, size, inner]`: `[outer, k, inner]`.
fn sorted(input: &Value, [outer, size, inner]: [usize; 3], k: usize) -> Vec<i32> {
    varies("the processor sorts what `top_k` takes, and the device waits for it");
    let values: Vec<f64> = match input.clone() {
        Value::Float(x) => x.without_autodiff().into_data().iter::<f64>().collect(),
        Value::Int(x) => x.into_data().iter::<f64>().collect(),
        Value::Bool(_) => mistyped(),
    };
    let mut indices = vec![0; outer * k * inner];
    for lane in 0..outer * inner {
        let (before, after) = (lane / inner, lane % inner);
        let value = |at: usize| values[(before * size + at) * inner + after];
        let mut order: Vec<_> = (0..size).collect();
        order.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
        for (place, at) in order.into_iter().take(k).enumerate() {
            indices[(before * k + place) * inner + after] = at as i32;
        }
    }
    indices
}
