//! Element-wise ops of one operand and no attributes. The result has the operand's type.

use super::call::Call;
use super::declare::{Rule, one, op};
use crate::array::Array;
use crate::misfit::Misfit;
use crate::types::{DType, TensorType};

macro_rules! unary {
    ($($(#[doc = $doc:literal])+ $name:literal $Op:ident($dtypes:expr, $function:expr);)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name $Op(input: Required) {}
        }

        impl Rule for $Op {
            fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
                operands[0].expect("input", $dtypes)?;
                one(operands[0].clone())
            }

            fn run(&self, call: &Call<'_>) -> Vec<Array> {
                let function: fn(f64) -> f64 = $function;
                call.one(call.operands[0].values().iter().copied().map(function).collect())
            }
        }
    )*};
}

const FLOAT: &[DType] = &[DType::F32];
const SIGNED: &[DType] = DType::NUMBERS;

unary! {
    /// The absolute value of each element, `f32` or `i32` of any shape to the same.
    "abs" Abs(SIGNED, f64::abs);
    /// The least integer that is not below each element, `f32` of any shape to the same.
    "ceil" Ceil(FLOAT, f64::ceil);
    /// The cosine of each element in radians, `f32` of any shape to the same.
    "cos" Cos(FLOAT, f64::cos);
    /// The Gauss error function of each element, `f32` of any shape to the same.
    "erf" Erf(FLOAT, libm::erf);
    /// `e` to the power of each element, `f32` of any shape to the same.
    "exp" Exp(FLOAT, f64::exp);
    /// The greatest integer that is not above each element, `f32` of any shape to the same.
    "floor" Floor(FLOAT, f64::floor);
    /// `0.5 x (1 + erf(x / sqrt(2)))` for each element, the exact GELU, `f32` of any shape to the
    /// same.
    "gelu" Gelu(FLOAT, |x| 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)));
    /// `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))` for each element, the GELU approximated with
    /// tanh, `f32` of any shape to the same.
    "geluTanh" GeluTanh(FLOAT, |x| {
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
        0.5 * x * (1.0 + inner.tanh())
    });
    /// `x max(0, min(6, x + 3)) / 6` for each element, `f32` of any shape to the same.
    "hardSwish" HardSwish(FLOAT, |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0);
    /// Each element as it is, of any type and shape.
    "identity" Identity(&DType::ALL, |x| x);
    /// The natural logarithm of each element, `f32` of any shape to the same.
    "log" Log(FLOAT, f64::ln);
    /// Whether each element is false, `bool` of any shape to the same.
    "logicalNot" LogicalNot(&[DType::Bool], |x| 1.0 - x);
    /// Each element with the other sign, `f32` or `i32` of any shape to the same.
    "neg" Neg(SIGNED, |x| -x);
    /// One divided by each element, `f32` of any shape to the same.
    "reciprocal" Reciprocal(FLOAT, f64::recip);
    /// Each element, or zero if it is negative, `f32` or `i32` of any shape to the same.
    "relu" Relu(SIGNED, |x| x.max(0.0));
    /// The integer nearest to each element, halves going to the even one, `f32` of any shape to the
    /// same.
    "roundEven" RoundEven(FLOAT, f64::round_ties_even);
    /// `1 / (1 + exp(-x))` for each element, `f32` of any shape to the same.
    "sigmoid" Sigmoid(FLOAT, |x| 1.0 / (1.0 + (-x).exp()));
    /// -1, 0 or 1 by the sign of each element, `f32` or `i32` of any shape to the same.
    "sign" Sign(SIGNED, |x| if x == 0.0 { 0.0 } else { x.signum() });
    /// The sine of each element in radians, `f32` of any shape to the same.
    "sin" Sin(FLOAT, f64::sin);
    /// `log(1 + exp(x))` for each element, `f32` of any shape to the same.
    "softplus" Softplus(FLOAT, |x| x.max(0.0) + (-x.abs()).exp().ln_1p());
    /// `x / (1 + |x|)` for each element, `f32` of any shape to the same.
    "softsign" Softsign(FLOAT, |x| x / (1.0 + x.abs()));
    /// The square root of each element, `f32` of any shape to the same.
    "sqrt" Sqrt(FLOAT, f64::sqrt);
    /// The tangent of each element in radians, `f32` of any shape to the same.
    "tan" Tan(FLOAT, f64::tan);
    /// The hyperbolic tangent of each element, `f32` of any shape to the same.
    "tanh" Tanh(FLOAT, f64::tanh);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{bool, f32, fits, gives, i32, misfits};

    #[test]
    #[expect(clippy::approx_constant, reason = "as NumPy prints them")]
    fn values_are_numpys() {
        let x = || [f32(&[5], &[-2.0, -0.5, 0.0, 0.5, 3.0])];
        gives(Abs {}, &x(), &[2.0, 0.5, 0.0, 0.5, 3.0]);
        gives(Ceil {}, &x(), &[-2.0, 0.0, 0.0, 1.0, 3.0]);
        gives(Cos {}, &x(), &[-0.416146837, 0.877582562, 1.0, 0.877582562, -0.989992497]);
        gives(Erf {}, &x(), &[-0.995322265, -0.520499878, 0.0, 0.520499878, 0.99997791]);
        gives(Exp {}, &x(), &[0.135335283, 0.60653066, 1.0, 1.64872127, 20.0855369]);
        gives(Floor {}, &x(), &[-2.0, -1.0, 0.0, 0.0, 3.0]);
        gives(Gelu {}, &x(), &[-0.0455002639, -0.154268769, 0.0, 0.345731231, 2.99595031]);
        gives(GeluTanh {}, &x(), &[-0.0454023059, -0.15428599, 0.0, 0.34571401, 2.99636261]);
        gives(HardSwish {}, &x(), &[-0.333333333, -0.208333333, 0.0, 0.291666667, 3.0]);
        gives(Identity {}, &x(), &[-2.0, -0.5, 0.0, 0.5, 3.0]);
        gives(Neg {}, &x(), &[2.0, 0.5, 0.0, -0.5, -3.0]);
        gives(Relu {}, &x(), &[0.0, 0.0, 0.0, 0.5, 3.0]);
        gives(Sigmoid {}, &x(), &[0.119202922, 0.377540669, 0.5, 0.622459331, 0.952574127]);
        gives(Sign {}, &x(), &[-1.0, -1.0, 0.0, 1.0, 1.0]);
        gives(Sin {}, &x(), &[-0.909297427, -0.479425539, 0.0, 0.479425539, 0.141120008]);
        gives(Softplus {}, &x(), &[0.126928011, 0.474076984, 0.693147181, 0.974076984, 3.04858735]);
        gives(Softsign {}, &x(), &[-0.666666667, -0.333333333, 0.0, 0.333333333, 0.75]);
        gives(Tan {}, &x(), &[2.18503986, -0.54630249, 0.0, 0.54630249, -0.142546543]);
        gives(Tanh {}, &x(), &[-0.96402758, -0.462117157, 0.0, 0.462117157, 0.995054754]);
        let positive = || [f32(&[2, 2], &[0.25, 1.0, 2.0, 9.0])];
        gives(Log {}, &positive(), &[-1.38629436, 0.0, 0.693147181, 2.19722458]);
        gives(Reciprocal {}, &positive(), &[4.0, 1.0, 0.5, 0.111111111]);
        gives(Sqrt {}, &positive(), &[0.5, 1.0, 1.41421356, 3.0]);
        gives(
            RoundEven {},
            &[f32(&[5], &[0.5, 1.5, -0.5, -2.5, 1.2])],
            &[0.0, 2.0, 0.0, -2.0, 1.0],
        );
        gives(LogicalNot {}, &[bool(&[2], &[0.0, 1.0])], &[1.0, 0.0]);
    }

    #[test]
    fn extreme_elements_do_not_overflow() {
        gives(Softplus {}, &[f32(&[2], &[-1000.0, 1000.0])], &[0.0, 1000.0]);
        gives(Sigmoid {}, &[f32(&[2], &[-1000.0, 1000.0])], &[0.0, 1.0]);
        // As in any 32 bits, the negative of the least is itself.
        let least = f64::from(i32::MIN);
        gives(Neg {}, &[i32(&[1], &[least])], &[least]);
        gives(Abs {}, &[i32(&[2], &[least, -3.0])], &[least, 3.0]);
    }

    #[test]
    fn types_stay_and_others_are_refused() {
        fits(Exp {}, &["f32[4B,2]"], "f32[4B,2]");
        fits(Neg {}, &["i32[]"], "i32[]");
        fits(Identity {}, &["bool[B]"], "bool[B]");
        misfits(Exp {}, &["i32[2]"], "input is i32, but must be f32");
        misfits(Relu {}, &["bool[2]"], "input is bool, but must be f32 or i32");
        misfits(LogicalNot {}, &["f32[2]"], "input is f32, but must be bool");
    }
}
