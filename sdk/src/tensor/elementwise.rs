//! Ops on each element.

use super::given::{number, text};
use super::{DType, Tensor, one};

/// A tensor, or a number that stands for a tensor of its value everywhere.
#[derive(Clone, Copy, Debug)]
pub enum Operand {
    /// A tensor.
    Tensor(Tensor),
    /// A number, which takes the other operand's type.
    Number(f64),
}

impl From<Tensor> for Operand {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl From<f64> for Operand {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl Operand {
    /// The tensor; a number becomes a scalar of the type of `like`.
    pub(super) fn like(self, like: Tensor) -> Tensor {
        match self {
            Self::Tensor(tensor) => tensor,
            Self::Number(value) => {
                let dtype = like.dtype().unwrap_or(DType::F32);
                super::create::values(dtype, &[], vec![value])
            }
        }
    }
}

macro_rules! unary {
    ($($(#[doc = $doc:literal])+ $name:literal $method:ident;)*) => {
        #[allow(clippy::should_implement_trait, reason = "the operators come here")]
        impl Tensor {$(
            $(#[doc = $doc])+
            #[must_use]
            pub fn $method(self) -> Self {
                one($name, [], &[self])
            }
        )*}
    };
}

unary! {
    /// The absolute value.
    "abs" abs;
    /// The least integer that is not below.
    "ceil" ceil;
    /// The cosine, of radians.
    "cos" cos;
    /// The Gauss error function.
    "erf" erf;
    /// `e` to the power of each element.
    "exp" exp;
    /// The greatest integer that is not above.
    "floor" floor;
    /// `0.5 x (1 + erf(x / sqrt(2)))`, the exact GELU.
    "gelu" gelu;
    /// `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, the GELU approximated with tanh.
    "geluTanh" gelu_tanh;
    /// `x max(0, min(6, x + 3)) / 6`.
    "hardSwish" hard_swish;
    /// The same elements, as a tensor of its own.
    "identity" identity;
    /// The natural logarithm.
    "log" log;
    /// Whether each element is false.
    "logicalNot" logical_not;
    /// The other sign.
    "neg" neg;
    /// One divided by each element.
    "reciprocal" reciprocal;
    /// Each element, or zero if it is negative.
    "relu" relu;
    /// The nearest integer, halves going to the even one.
    "roundEven" round_even;
    /// `1 / (1 + exp(-x))`.
    "sigmoid" sigmoid;
    /// -1, 0 or 1.
    "sign" sign;
    /// The sine, of radians.
    "sin" sin;
    /// `log(1 + exp(x))`.
    "softplus" softplus;
    /// `x / (1 + |x|)`.
    "softsign" softsign;
    /// The square root.
    "sqrt" sqrt;
    /// The tangent, of radians.
    "tan" tan;
    /// The hyperbolic tangent.
    "tanh" tanh;
}

macro_rules! binary {
    ($($(#[doc = $doc:literal])+ $name:literal $method:ident;)*) => {
        #[allow(clippy::should_implement_trait, reason = "the operators come here")]
        impl Tensor {$(
            $(#[doc = $doc])+
            #[doc = ""]
            #[doc = "Shapes broadcast."]
            #[must_use]
            pub fn $method(self, other: impl Into<Operand>) -> Self {
                one($name, [], &[self, other.into().like(self)])
            }
        )*}
    };
}

binary! {
    /// The sum; also `+`.
    "add" add;
    /// The quotient; also `/`.
    "div" div;
    /// Whether both are true.
    "logicalAnd" logical_and;
    /// Whether at least one is true.
    "logicalOr" logical_or;
    /// Whether exactly one is true.
    "logicalXor" logical_xor;
    /// The greater of both.
    "max" max;
    /// The lesser of both.
    "min" min;
    /// The product, element by element; also `*`.
    "mul" mul;
    /// Each element to the power of the other.
    "pow" pow;
    /// The difference; also `-`.
    "sub" sub;
    /// Whether both are equal.
    "equal" equal;
    /// Whether it is greater than the other.
    "greater" greater;
    /// Whether it is not less than the other.
    "greaterOrEqual" greater_or_equal;
    /// Whether it is less than the other.
    "lesser" lesser;
    /// Whether it is not greater than the other.
    "lesserOrEqual" lesser_or_equal;
    /// Whether both differ.
    "notEqual" not_equal;
}

impl Tensor {
    /// Where the condition, which this is, holds the first, elsewhere the second. Shapes broadcast.
    /// Of two numbers, `f32` are made.
    #[must_use]
    pub fn where_(self, yes: impl Into<Operand>, no: impl Into<Operand>) -> Self {
        let (yes, no) = match (yes.into(), no.into()) {
            (Operand::Tensor(yes), no) => (yes, no.like(yes)),
            (yes, Operand::Tensor(no)) => (yes.like(no), no),
            (Operand::Number(yes), Operand::Number(no)) => {
                let scalar = |value| super::create::values(DType::F32, &[], vec![value]);
                (scalar(yes), scalar(no))
            }
        };
        one("where", [], &[self, yes, no])
    }

    /// Each element as another type.
    #[must_use]
    pub fn cast(self, to: DType) -> Self {
        one("cast", [("to", text(to.name()))], &[self])
    }

    /// Each element, no less than `min` and no more than `max`.
    #[must_use]
    pub fn clamp(self, min: f64, max: f64) -> Self {
        one("clamp", [("minValue", number(min)), ("maxValue", number(max))], &[self])
    }

    /// `x` where it is positive, else `alpha (exp(x) - 1)`.
    #[must_use]
    pub fn elu(self, alpha: f64) -> Self {
        one("elu", [("alpha", number(alpha))], &[self])
    }

    /// `x` where it is positive, else `alpha x`.
    #[must_use]
    pub fn leaky_relu(self, alpha: f64) -> Self {
        one("leakyRelu", [("alpha", number(alpha))], &[self])
    }

    /// In training, sets each element to zero with probability `rate` and divides the others by
    /// `1 - rate`; in evaluation, leaves all as they are.
    #[must_use]
    pub fn dropout(self, rate: f64) -> Self {
        one("dropout", [("rate", number(rate))], &[self])
    }
}
