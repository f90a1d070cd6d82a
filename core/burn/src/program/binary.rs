//! Element-wise ops of two operands, `[..]` and `[..]` that broadcast to the result's shape.

use super::value::{Call, Value, mistyped};

/// Both operands, floats or integers, expanded to the result's shape `[..]`: Burn chooses between
/// them with a mask, for which it promises no broadcasting.
macro_rules! numbers {
    ($call:ident, $a:ident, $b:ident => $result:expr) => {{
        let shape = $call.shape();
        match ($call.operand(), $call.operand()) {
            (Value::Float($a), Value::Float($b)) => {
                let ($a, $b) = ($a.expand(shape), $b.expand(shape));
                Value::Float($result)
            }
            (Value::Int($a), Value::Int($b)) => {
                let ($a, $b) = ($a.expand(shape), $b.expand(shape));
                Value::Int($result)
            }
            _ => mistyped(),
        }
    }};
}

/// What Burn broadcasts by itself.
macro_rules! arithmetic {
    ($($name:ident($operator:tt);)*) => {$(
        pub(super) fn $name(mut call: Call<'_>) -> Value {
            match (call.operand(), call.operand()) {
                (Value::Float(a), Value::Float(b)) => Value::Float(a $operator b),
                (Value::Int(a), Value::Int(b)) => Value::Int(a $operator b),
                _ => mistyped(),
            }
        }
    )*};
}

arithmetic! {
    add(+);
    mul(*);
    sub(-);
}

pub(super) fn div(mut call: Call<'_>) -> Value {
    Value::Float(call.float() / call.float())
}

macro_rules! logical {
    ($($name:ident($function:ident);)*) => {$(
        pub(super) fn $name(mut call: Call<'_>) -> Value {
            let shape = call.shape();
            let (a, b) = (call.bool().expand(shape), call.bool().expand(shape));
            Value::Bool(a.$function(b))
        }
    )*};
}

logical! {
    logical_and(bool_and);
    logical_or(bool_or);
    logical_xor(bool_xor);
}

pub(super) fn max(mut call: Call<'_>) -> Value {
    numbers!(call, a, b => a.max_pair(b))
}

pub(super) fn min(mut call: Call<'_>) -> Value {
    numbers!(call, a, b => a.min_pair(b))
}

pub(super) fn pow(mut call: Call<'_>) -> Value {
    let shape = call.shape();
    let (a, b) = (call.float().expand(shape), call.float().expand(shape));
    Value::Float(a.powf(b))
}
