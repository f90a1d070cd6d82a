//! What lies between the two halves of an MLP.

use pulp::Simd;

use crate::simd::{normal, sigmoid};

/// An activation and its derivative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Exact GELU, `x Phi(x)` (Hendrycks and Gimpel 2016).
    Gelu,
    /// Its approximation by tanh, `x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))`.
    GeluTanh,
}

impl Activation {
    #[inline(always)]
    pub(crate) fn value<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        match self {
            Self::Gelu => simd.mul_f32s(x, normal(simd, x).0),
            Self::GeluTanh => simd.mul_f32s(x, sigmoid(simd, inner(simd, x).0)),
        }
    }

    /// The value and the derivative.
    #[inline(always)]
    pub(crate) fn with_derivative<S: Simd>(self, simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        match self {
            Self::Gelu => {
                let (cumulative, density) = normal(simd, x);
                (simd.mul_f32s(x, cumulative), simd.mul_add_e_f32s(x, density, cumulative))
            }
            Self::GeluTanh => {
                let (z, slope) = inner(simd, x);
                let gate = sigmoid(simd, z);
                let value = simd.mul_f32s(x, gate);
                let rest = simd.sub_f32s(simd.splat_f32s(1.0), gate);
                let derivative = simd.mul_add_e_f32s(simd.mul_f32s(value, rest), slope, gate);
                (value, derivative)
            }
        }
    }
}

/// `2 sqrt(2 / pi) (x + 0.044715 x^3)` and its derivative.
#[inline(always)]
fn inner<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    const SLOPE: f32 = 1.595_769;
    let square = simd.mul_f32s(x, x);
    let linear = simd.splat_f32s(SLOPE);
    let factor = simd.mul_add_e_f32s(square, simd.splat_f32s(SLOPE * 0.044_715), linear);
    let slope = simd.mul_add_e_f32s(square, simd.splat_f32s(3.0 * SLOPE * 0.044_715), linear);
    (simd.mul_f32s(x, factor), slope)
}
