//! Element-wise ops of one operand: `[..]` to the same.

use burn::tensor::activation;
use vitral_kernels::activation::Activation;

use crate::kernels;

use super::value::{Call, Value, mistyped, number};

macro_rules! float {
    ($($name:ident($x:ident) $result:expr;)*) => {$(
        pub(super) fn $name(mut call: Call<'_>) -> Value {
            let $x = call.float();
            Value::Float($result)
        }
    )*};
}

float! {
    ceil(x) x.ceil();
    cos(x) x.cos();
    erf(x) x.erf();
    exp(x) x.exp();
    floor(x) x.floor();
    gelu(x) kernels::activate(x, Activation::Gelu);
    gelu_tanh(x) kernels::activate(x, Activation::GeluTanh);
    hard_swish(x) x.clone() * (x + 3.0).clamp(0.0, 6.0) / 6.0;
    log(x) x.log();
    reciprocal(x) x.recip();
    round_even(x) x.round();
    sigmoid(x) activation::sigmoid(x);
    sin(x) x.sin();
    softplus(x) activation::softplus(x, 1.0);
    softsign(x) activation::softsign(x);
    sqrt(x) x.sqrt();
    tan(x) x.tan();
    tanh(x) x.tanh();
}

pub(super) fn abs(mut call: Call<'_>) -> Value {
    number!(call.operand(), x => x.abs())
}

pub(super) fn identity(mut call: Call<'_>) -> Value {
    call.operand()
}

pub(super) fn logical_not(mut call: Call<'_>) -> Value {
    Value::Bool(call.bool().bool_not())
}

pub(super) fn neg(mut call: Call<'_>) -> Value {
    number!(call.operand(), x => x.neg())
}

pub(super) fn relu(mut call: Call<'_>) -> Value {
    match call.operand() {
        Value::Float(x) => Value::Float(activation::relu(x)),
        Value::Int(x) => Value::Int(x.clamp_min(0)),
        Value::Bool(_) => mistyped(),
    }
}

pub(super) fn sign(mut call: Call<'_>) -> Value {
    number!(call.operand(), x => x.sign())
}
