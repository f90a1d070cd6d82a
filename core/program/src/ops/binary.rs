//! Element-wise ops of two operands of one type, which broadcast.

use super::call::Call;
use super::declare::{Rule, one, op};
use crate::array::{Array, fill};
use crate::misfit::Misfit;
use crate::types::{DType, TensorType};

/// The type of two operands together, of equal element types among `dtypes`.
pub(super) fn together(operands: &[TensorType], dtypes: &[DType]) -> Result<TensorType, Misfit> {
    let (a, b) = (&operands[0], &operands[1]);
    a.expect("a", dtypes)?;
    b.expect("b", &[a.dtype])?;
    Ok(a.with(a.shape.broadcast(&b.shape)?))
}

/// The values of a function of two operands.
pub(super) fn combine(call: &Call<'_>, function: impl Fn(f64, f64) -> f64) -> Vec<Array> {
    let (a, b) = (call.operands[0], call.operands[1]);
    call.one(fill(call.shape(), |index| function(a.broadcast(index), b.broadcast(index))))
}

macro_rules! binary {
    ($(
        $(#[doc = $doc:literal])+
        $name:literal $Op:ident($dtypes:expr, $function:expr $(, $integer:expr)?);
    )*) => {$(
        op! {
            $(#[doc = $doc])+
            $name $Op(a: Required, b: Required) {}
        }

        impl Rule for $Op {
            fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
                one(together(operands, $dtypes)?)
            }

            fn run(&self, call: &Call<'_>) -> Vec<Array> {
                $(
                    if call.operands[0].dtype() == DType::I32 {
                        let function: fn(i32, i32) -> i32 = $integer;
                        return combine(call, |a, b| f64::from(function(a as i32, b as i32)));
                    }
                )?
                let function: fn(f64, f64) -> f64 = $function;
                combine(call, function)
            }
        }
    )*};
}

const FLOAT: &[DType] = &[DType::F32];
const BOOL: &[DType] = &[DType::Bool];

binary! {
    /// `a + b`, `f32` or `i32` (which wraps around), of shapes that broadcast.
    "add" Add(DType::NUMBERS, |a, b| a + b, i32::wrapping_add);
    /// `a / b`, `f32` of shapes that broadcast.
    "div" Div(FLOAT, |a, b| a / b);
    /// Whether both are true, `bool` of shapes that broadcast.
    "logicalAnd" LogicalAnd(BOOL, |a, b| a * b);
    /// Whether at least one is true, `bool` of shapes that broadcast.
    "logicalOr" LogicalOr(BOOL, f64::max);
    /// Whether exactly one is true, `bool` of shapes that broadcast.
    "logicalXor" LogicalXor(BOOL, |a, b| (a - b).abs());
    /// The greater of both, `f32` or `i32` of shapes that broadcast.
    "max" Max(DType::NUMBERS, f64::max);
    /// The lesser of both, `f32` or `i32` of shapes that broadcast.
    "min" Min(DType::NUMBERS, f64::min);
    /// `a b`, `f32` or `i32` (which wraps around), of shapes that broadcast.
    "mul" Mul(DType::NUMBERS, |a, b| a * b, i32::wrapping_mul);
    /// `a` to the power of `b`, `f32` of shapes that broadcast.
    "pow" Pow(FLOAT, f64::powf);
    /// `a - b`, `f32` or `i32` (which wraps around), of shapes that broadcast.
    "sub" Sub(DType::NUMBERS, |a, b| a - b, i32::wrapping_sub);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{bool, f32, fits, gives, i32, misfits};

    #[test]
    fn floats_broadcast() {
        let ab = || [f32(&[2, 2], &[1.0, 2.0, -3.0, 4.0]), f32(&[2], &[2.0, -4.0])];
        gives(Add {}, &ab(), &[3.0, -2.0, -1.0, 0.0]);
        gives(Sub {}, &ab(), &[-1.0, 6.0, -5.0, 8.0]);
        gives(Mul {}, &ab(), &[2.0, -8.0, -6.0, -16.0]);
        gives(Div {}, &ab(), &[0.5, -0.5, -1.5, -1.0]);
        gives(Max {}, &ab(), &[2.0, 2.0, 2.0, 4.0]);
        gives(Min {}, &ab(), &[1.0, -4.0, -3.0, -4.0]);
        gives(Pow {}, &ab(), &[1.0, 0.0625, 9.0, 0.00390625]);
        let row_and_column = [f32(&[3], &[1.0, 2.0, 3.0]), f32(&[2, 1], &[10.0, 20.0])];
        gives(Add {}, &row_and_column, &[11.0, 12.0, 13.0, 21.0, 22.0, 23.0]);
    }

    #[test]
    fn integers_wrap_around() {
        let ab = || [i32(&[2], &[2_147_483_647.0, 7.0]), i32(&[], &[2.0])];
        gives(Add {}, &ab(), &[-2_147_483_647.0, 9.0]);
        gives(Sub {}, &ab(), &[2_147_483_645.0, 5.0]);
        gives(Mul {}, &ab(), &[-2.0, 14.0]);
        gives(Max {}, &ab(), &[2_147_483_647.0, 7.0]);
        gives(Min {}, &ab(), &[2.0, 2.0]);
    }

    #[test]
    fn truth_tables() {
        let ab = || [bool(&[4], &[0.0, 0.0, 1.0, 1.0]), bool(&[4], &[0.0, 1.0, 0.0, 1.0])];
        gives(LogicalAnd {}, &ab(), &[0.0, 0.0, 0.0, 1.0]);
        gives(LogicalOr {}, &ab(), &[0.0, 1.0, 1.0, 1.0]);
        gives(LogicalXor {}, &ab(), &[0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn operands_have_one_type_and_broadcast() {
        fits(Add {}, &["f32[B,1,3]", "f32[2,1]"], "f32[B,2,3]");
        fits(Mul {}, &["i32[]", "i32[4B]"], "i32[4B]");
        fits(LogicalAnd {}, &["bool[B]", "bool[1]"], "bool[B]");
        misfits(
            Add {},
            &["f32[2]", "f32[3]"],
            "[2] and [3] do not broadcast: 2 and 3 must be equal, or one of them 1",
        );
        misfits(Add {}, &["f32[B]", "f32[8]"], "B and 8 must be equal");
        misfits(Add {}, &["f32[2]", "i32[2]"], "b is i32, but must be f32");
        misfits(Div {}, &["i32[2]", "i32[2]"], "a is i32, but must be f32");
        misfits(Pow {}, &["i32[2]", "i32[2]"], "a is i32, but must be f32");
        misfits(LogicalOr {}, &["f32[2]", "bool[2]"], "a is f32, but must be bool");
    }
}
