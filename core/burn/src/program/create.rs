//! Ops without operands, to the shape that they name.

use burn::tensor::Device;
use vitral_program::ops;

use super::value::{Call, RANK, Value, any, mistyped, padded};

/// A constant's values on a device, for [`Call::constant`]: `[dims..]`, or `[1..]` where one is for every element.
pub fn constant(op: &ops::Constant, device: &Device) -> Value {
    let sizes = op.r#type.shape.sizes().filter(|_| op.values.len() > 1);
    let shape = sizes.map_or([1; RANK], |sizes| padded(&sizes));
    Value::from_host(op.r#type.dtype, shape, &op.values, device)
}

/// What [`constant`] has made, to `[dims..]`.
pub(super) fn expanded_constant(op: &ops::Constant, call: Call<'_>) -> Value {
    let value = match call.constant {
        Some(value) => value.clone(),
        None => constant(op, call.device),
    };
    any!(value, x => x.expand(call.shape()))
}

pub(super) fn range(op: &ops::Range, call: Call<'_>) -> Value {
    let [length] = call.results[0] else { mistyped() };
    let values: Vec<_> = (0..*length).map(|at| op.start + op.delta * at as f64).collect();
    Value::from_host(op.dtype, call.shape(), &values, call.device)
}
