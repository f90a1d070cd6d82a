//! Comparisons of two operands, `[..]` and `[..]` that broadcast to the result's shape, and the
//! choice between two.

use super::value::{Call, Value, mistyped};

macro_rules! compare {
    ($($name:ident($function:ident);)*) => {$(
        pub(super) fn $name(mut call: Call<'_>) -> Value {
            let shape = call.shape();
            Value::Bool(match (call.operand(), call.operand()) {
                (Value::Float(a), Value::Float(b)) => a.expand(shape).$function(b.expand(shape)),
                (Value::Int(a), Value::Int(b)) => a.expand(shape).$function(b.expand(shape)),
                _ => mistyped(),
            })
        }
    )*};
}

compare! {
    greater(greater);
    greater_or_equal(greater_equal);
    lesser(lower);
    lesser_or_equal(lower_equal);
}

pub(super) fn equal(mut call: Call<'_>) -> Value {
    let shape = call.shape();
    Value::Bool(match (call.operand(), call.operand()) {
        (Value::Float(a), Value::Float(b)) => a.expand(shape).equal(b.expand(shape)),
        (Value::Int(a), Value::Int(b)) => a.expand(shape).equal(b.expand(shape)),
        (Value::Bool(a), Value::Bool(b)) => a.expand(shape).equal(b.expand(shape)),
        _ => mistyped(),
    })
}

pub(super) fn not_equal(call: Call<'_>) -> Value {
    match equal(call) {
        Value::Bool(equal) => Value::Bool(equal.bool_not()),
        Value::Float(_) | Value::Int(_) => mistyped(),
    }
}

/// `where`, a keyword of Rust's: condition `[..]`, two values `[..]` that broadcast with it.
pub(super) fn choose(mut call: Call<'_>) -> Value {
    let shape = call.shape();
    let condition = call.bool().expand(shape);
    match (call.operand(), call.operand()) {
        (Value::Float(yes), Value::Float(no)) => {
            Value::Float(no.expand(shape).mask_where(condition, yes.expand(shape)))
        }
        (Value::Int(yes), Value::Int(no)) => {
            Value::Int(no.expand(shape).mask_where(condition, yes.expand(shape)))
        }
        (Value::Bool(yes), Value::Bool(no)) => {
            Value::Bool(no.expand(shape).mask_where(condition, yes.expand(shape)))
        }
        _ => mistyped(),
    }
}
