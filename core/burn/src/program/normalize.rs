//! Normalisations along axes: `[..]` to the same.

use std::array;

use burn::tensor::{Tensor, activation};
use vitral_program::ops;

use super::value::{Call, RANK, Value};
use crate::kernels;

pub(super) fn softmax(op: &ops::Softmax, mut call: Call<'_>) -> Value {
    let axis = call.axis(op.axis);
    Value::Float(activation::softmax(call.float(), axis))
}

/// Scale and bias have the axes' sizes. Burn normalises over the last dimension: other axes are
/// moved there, and several become one.
pub(super) fn layer_normalization(op: &ops::LayerNormalization, mut call: Call<'_>) -> Value {
    let axes: Vec<_> = op.axes.iter().map(|&axis| call.axis(axis)).collect();
    let x = call.float();
    let dims = x.dims();
    let others = (0..RANK).filter(|axis| !axes.contains(axis));
    let order: Vec<_> = others.chain(axes.iter().copied()).collect();
    let order: [usize; RANK] = array::from_fn(|axis| order[axis]);
    let mut back = [0; RANK];
    for (to, &from) in order.iter().enumerate() {
        back[from] = to;
    }

    let width: usize = axes.iter().map(|&axis| dims[axis]).product();
    let rows = dims.iter().product::<usize>() / width;
    let flat = |tensor: Tensor<RANK>| tensor.reshape([width]);
    let scale = call.optional().map_or_else(|| Tensor::ones([width], call.device), flat);
    let bias = call.optional().map_or_else(|| Tensor::zeros([width], call.device), flat);
    let rows: Tensor<2> = permuted(x, order).reshape([rows, width]);
    let normal = kernels::layer_norm(rows, scale, bias, op.epsilon);
    Value::Float(permuted(normal.reshape(order.map(|axis| dims[axis])), back))
}

/// Nothing is to be done where the axes are last already, as they mostly are.
fn permuted(tensor: Tensor<RANK>, order: [usize; RANK]) -> Tensor<RANK> {
    if order.is_sorted() { tensor } else { tensor.permute(order) }
}
