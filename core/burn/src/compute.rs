//! The type that a model computes in (Micikevicius et al. 2018).
//!
//! Weights stay `f32`, and a weight is rounded where it is used; since rounding is an operation of
//! automatic differentiation, its gradient comes back as `f32`. The operands of matrix products are of the
//! compute type, and so are tokens, unless kernels add branches to a residual stream of `f32`
//! ([`kernels`](crate::kernels)). Everything that adds up many values, or is sensitive to rounding, is
//! computed `in_f32` and rounded once at its end: norms, softmax, activations, means, biases and scales
//! (whose gradients are sums over batch and tokens), dropout, rotations.

use burn::tensor::{DType, Device, FloatDType, Tensor};
use vitral_program::Op;

use crate::program::Value;

/// The type of activations and of the operands of matrix products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compute {
    /// 24 significant bits.
    #[default]
    F32,
    /// 8 significant bits in the range of `f32`.
    BF16,
    /// 11 significant bits, up to 65504 and down to 6e-8.
    F16,
}

impl Compute {
    /// Its name in lower case, as in `bf16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::BF16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// Whether a device stores the type, converts it and calculates with it.
    pub fn is_supported(self, device: &Device) -> bool {
        device.supports_dtype(DType::from(self.dtype()))
    }

    /// As Burn names it.
    pub const fn dtype(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::BF16 => FloatDType::BF16,
            Self::F16 => FloatDType::F16,
        }
    }
}

/// The operands of an op as it takes them in a model that computes in a type, and what its results are
/// rounded to, if they are.
///
/// Matrix products and convolutions take the compute type; what only moves values takes any. Everything
/// else is computed in `f32` where an operand is not `f32`, and rounded once,
/// but for sums, which are as exact as the more exact summand: so a residual stream of `f32` stays so.
/// Products, LayerNorm and attention say themselves what they add up in `f32`.
pub fn prepared(
    op: &Op,
    operands: Vec<Value>,
    compute: FloatDType,
) -> (Vec<Value>, Option<FloatDType>) {
    let is_half =
        |value: &Value| matches!(value, Value::Float(values) if values.dtype() != DType::F32);
    let is_full =
        |value: &Value| matches!(value, Value::Float(values) if values.dtype() == DType::F32);
    if compute == FloatDType::F32 {
        return (operands, None);
    }
    let any_half = operands.iter().any(is_half);
    match op {
        Op::Linear(_) | Op::LayerNormalization(_) | Op::ScaledDotProductAttention(_) => {
            (operands, None)
        }
        _ if !any_half => (operands, None),
        Op::Matmul(_)
        | Op::Conv2d(_)
        | Op::Concat(_)
        | Op::Expand(_)
        | Op::Gather(_)
        | Op::GatherElements(_)
        | Op::Identity(_)
        | Op::Max(_)
        | Op::Pad(_)
        | Op::Relu(_)
        | Op::Reshape(_)
        | Op::Reverse(_)
        | Op::Slice(_)
        | Op::Split(_)
        | Op::Transpose(_) => (cast(operands, compute), None),
        Op::Add(_) if operands.iter().any(is_full) => (cast(operands, FloatDType::F32), None),
        _ => (cast(operands, FloatDType::F32), Some(compute)),
    }
}

/// Operands whose floats are of a type.
pub fn cast(operands: Vec<Value>, dtype: FloatDType) -> Vec<Value> {
    let cast = operands.into_iter().map(|operand| match operand {
        Value::Float(values) if FloatDType::from(values.dtype()) != dtype => {
            Value::Float(values.cast(dtype))
        }
        operand => operand,
    });
    cast.collect()
}

/// Computes a function in `f32`, and rounds its result to the input's type.
pub(crate) fn in_f32<const D: usize, const E: usize>(
    input: Tensor<D>,
    function: impl FnOnce(Tensor<D>) -> Tensor<E>,
) -> Tensor<E> {
    let dtype = FloatDType::from(input.dtype());
    function(input.cast(FloatDType::F32)).cast(dtype)
}

/// Rounds a tensor to the type of another.
pub(crate) fn cast_like<const D: usize, const E: usize>(
    tensor: Tensor<D>,
    other: &Tensor<E>,
) -> Tensor<D> {
    tensor.cast(FloatDType::from(other.dtype()))
}
