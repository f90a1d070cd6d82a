//! Ops that draw random numbers. They are drawn on the host, so that every device draws the same.

use burn::tensor::{Tensor, TensorData};
use vitral_program::ops;

use super::value::{Call, Value};
use crate::recording::varies;

/// To the shape that it names.
pub(super) fn random(op: &ops::Random, call: Call<'_>) -> Value {
    varies("the op `random` draws in each step anew");
    let shape = call.shape();
    let mut values = op.draw(call.stream, call.skipped + shape.iter().product::<usize>());
    values.drain(..call.skipped);
    Value::Float(Tensor::from_data(TensorData::new(values, shape), call.device))
}

/// `[..]` to the same.
pub(super) fn dropout(op: &ops::Dropout, mut call: Call<'_>) -> Value {
    let x = call.float();
    if !call.training {
        return Value::Float(x);
    }
    varies("the op `dropout` draws in each step anew");
    let shape = x.dims();
    let scale = (1.0 / (1.0 - op.rate)) as f32;
    let kept = op.keep(call.stream, call.skipped + shape.iter().product::<usize>());
    let kept = kept.into_iter().skip(call.skipped);
    let factors: Vec<_> = kept.map(|kept| if kept { scale } else { 0.0 }).collect();
    Value::Float(x * Tensor::from_data(TensorData::new(factors, shape), call.device))
}
