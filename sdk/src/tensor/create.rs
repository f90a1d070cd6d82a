//! Tensors from nothing.

use vitral_abi::{AttributeValue, Initializer};

use super::given::{dims, number, text};
use super::{DType, Dim, Dims, Tensor, one};
use crate::boundary;

/// What [`random`] draws from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Distribution {
    /// From 0 up to, but not including, 1.
    #[default]
    Uniform,
    /// Mean 0, deviation 1.
    Normal,
    /// Beta with these parameters, from 0.01 to 1000.
    Beta {
        /// First parameter.
        alpha: f64,
        /// Second parameter.
        beta: f64,
    },
}

/// A trainable `f32` parameter, which the trainer owns, optimises and saves. Its name is new in the
/// trace; `decay` says whether weight decay applies to it.
///
/// # Panics
/// If the batch is in the shape, or no trace is going on.
pub fn parameter(name: &str, shape: impl Dims, initializer: Initializer, decay: bool) -> Tensor {
    let size = |dim: Dim| match dim {
        Dim::Fixed(size) => size,
        Dim::Batch(_) => panic!("parameter `{name}` has the batch in its shape"),
    };
    let shape: Vec<_> = shape.dims().into_iter().map(size).collect();
    boundary::parameter(name, &shape, initializer, decay)
}

/// `f32` values: one for every element, or all of them row by row.
pub fn constant(shape: impl Dims, values: &[f64]) -> Tensor {
    self::values(DType::F32, &shape.dims(), values.to_vec())
}

/// `i32` values: one for every element, or all of them row by row.
pub fn constant_i32(shape: impl Dims, values: &[i64]) -> Tensor {
    let values = values.iter().map(|&value| value as f64).collect();
    self::values(DType::I32, &shape.dims(), values)
}

/// Truth values: one for every element, or all of them row by row.
pub fn constant_bool(shape: impl Dims, values: &[bool]) -> Tensor {
    let values = values.iter().map(|&value| f64::from(value)).collect();
    self::values(DType::Bool, &shape.dims(), values)
}

pub(super) fn values(dtype: DType, shape: &[Dim], values: Vec<f64>) -> Tensor {
    let shape: Vec<_> = shape.iter().map(Dim::to_string).collect();
    let r#type = text(format!("{}[{}]", dtype.name(), shape.join(",")));
    one("constant", [("type", r#type), ("values", AttributeValue::Numbers(values))], &[])
}

/// `start, start + delta, start + 2 delta, ...`, of type `f32` or `i32`.
pub fn range(dtype: DType, length: impl Into<Dim>, start: f64, delta: f64) -> Tensor {
    let attributes = [
        ("dtype", text(dtype.name())),
        ("length", text(length.into().to_string())),
        ("start", number(start)),
        ("delta", number(delta)),
    ];
    one("range", attributes, &[])
}

/// `f32` random numbers, drawn anew in each step of training and the same in each evaluation.
pub fn random(shape: impl Dims, distribution: Distribution) -> Tensor {
    let (name, alpha, beta) = match distribution {
        Distribution::Uniform => ("uniform", 1.0, 1.0),
        Distribution::Normal => ("normal", 1.0, 1.0),
        Distribution::Beta { alpha, beta } => ("beta", alpha, beta),
    };
    let attributes = [
        ("shape", dims(&shape.dims())),
        ("distribution", text(name)),
        ("alpha", number(alpha)),
        ("beta", number(beta)),
    ];
    one("random", attributes, &[])
}
