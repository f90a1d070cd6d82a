//! Element-wise ops of one operand with attributes: `[..]` to the same.

use burn::tensor::{IntDType, activation};
use vitral_program::{DType, ops};

use super::value::{Call, Value, mistyped};

pub(super) fn cast(op: &ops::Cast, mut call: Call<'_>) -> Value {
    match (call.operand(), op.to) {
        (Value::Float(x), DType::I32) => Value::Int(x.cast(IntDType::I32)),
        (Value::Float(x), DType::Bool) => Value::Bool(x.not_equal_scalar(0.0)),
        (Value::Int(x), DType::F32) => Value::Float(x.float()),
        (Value::Int(x), DType::Bool) => Value::Bool(x.not_equal_scalar(0)),
        (Value::Bool(x), DType::F32) => Value::Float(x.float()),
        (Value::Bool(x), DType::I32) => Value::Int(x.cast(IntDType::I32)),
        (x @ Value::Float(_), DType::F32)
        | (x @ Value::Int(_), DType::I32)
        | (x @ Value::Bool(_), DType::Bool) => x,
    }
}

/// An infinite bound is none; a GPU need not know infinity.
pub(super) fn clamp(op: &ops::Clamp, mut call: Call<'_>) -> Value {
    let (min, max) = (op.min_value, op.max_value);
    match call.operand() {
        Value::Float(mut x) => {
            if min != f64::NEG_INFINITY {
                x = x.clamp_min(min);
            }
            if max != f64::INFINITY {
                x = x.clamp_max(max);
            }
            Value::Float(x)
        }
        Value::Int(mut x) => {
            if min.is_finite() {
                x = x.clamp_min(min as i32);
            }
            if max.is_finite() {
                x = x.clamp_max(max as i32);
            }
            Value::Int(x)
        }
        Value::Bool(_) => mistyped(),
    }
}

/// Burn's own `elu` takes the exponential of large elements too, whose infinity turns into a
/// gradient that is not a number.
pub(super) fn elu(op: &ops::Elu, mut call: Call<'_>) -> Value {
    let x = call.float();
    let below = (x.clone().clamp_max(0.0).exp() - 1.0) * op.alpha;
    let positive = x.clone().greater_scalar(0.0);
    Value::Float(below.mask_where(positive, x))
}

pub(super) fn leaky_relu(op: &ops::LeakyRelu, mut call: Call<'_>) -> Value {
    Value::Float(activation::leaky_relu(call.float(), op.alpha))
}
