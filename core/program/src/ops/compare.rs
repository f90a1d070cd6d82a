//! Comparisons, and the choice that follows from one.

use super::binary::{combine, together};
use super::call::Call;
use super::declare::{Rule, one, op};
use crate::array::{Array, fill};
use crate::misfit::Misfit;
use crate::types::{DType, TensorType};

macro_rules! compare {
    ($($(#[doc = $doc:literal])+ $name:literal $Op:ident($dtypes:expr, $holds:expr);)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name $Op(a: Required, b: Required) {}
        }

        impl Rule for $Op {
            fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
                one(TensorType::new(DType::Bool, together(operands, $dtypes)?.shape))
            }

            fn run(&self, call: &Call<'_>) -> Vec<Array> {
                let holds: fn(&f64, &f64) -> bool = $holds;
                combine(call, |a, b| f64::from(holds(&a, &b)))
            }
        }
    )*};
}

compare! {
    /// Whether `a = b`, two of one type and of shapes that broadcast, to `bool`.
    "equal" Equal(&DType::ALL, f64::eq);
    /// Whether `a > b`, both `f32` or both `i32`, of shapes that broadcast, to `bool`.
    "greater" Greater(DType::NUMBERS, f64::gt);
    /// Whether `a >= b`, both `f32` or both `i32`, of shapes that broadcast, to `bool`.
    "greaterOrEqual" GreaterOrEqual(DType::NUMBERS, f64::ge);
    /// Whether `a < b`, both `f32` or both `i32`, of shapes that broadcast, to `bool`.
    "lesser" Lesser(DType::NUMBERS, f64::lt);
    /// Whether `a <= b`, both `f32` or both `i32`, of shapes that broadcast, to `bool`.
    "lesserOrEqual" LesserOrEqual(DType::NUMBERS, f64::le);
    /// Whether `a` and `b` differ, two of one type and of shapes that broadcast, to `bool`.
    "notEqual" NotEqual(&DType::ALL, f64::ne);
}

op! {
    /// `trueValue` where the condition holds, else `falseValue`: a `bool` and two of one type, of
    /// shapes that broadcast, to that type.
    "where" Where(condition: Required, true_value: Required, false_value: Required) {}
}

impl Rule for Where {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let [condition, on_true, on_false] = [&operands[0], &operands[1], &operands[2]];
        condition.expect("condition", &[DType::Bool])?;
        on_false.expect("falseValue", &[on_true.dtype])?;
        let values = on_true.shape.broadcast(&on_false.shape)?;
        one(on_true.with(condition.shape.broadcast(&values)?))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        call.one(fill(call.shape(), |index| {
            let chosen = if call.operands[0].broadcast(index) != 0.0 { 1 } else { 2 };
            call.operands[chosen].broadcast(index)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{bool, f32, fits, gives, i32, misfits};

    #[test]
    fn comparisons_hold_where_they_should() {
        let ab = || [f32(&[3], &[1.0, 2.0, 3.0]), f32(&[], &[2.0])];
        gives(Equal {}, &ab(), &[0.0, 1.0, 0.0]);
        gives(NotEqual {}, &ab(), &[1.0, 0.0, 1.0]);
        gives(Greater {}, &ab(), &[0.0, 0.0, 1.0]);
        gives(GreaterOrEqual {}, &ab(), &[0.0, 1.0, 1.0]);
        gives(Lesser {}, &ab(), &[1.0, 0.0, 0.0]);
        gives(LesserOrEqual {}, &ab(), &[1.0, 1.0, 0.0]);
        gives(Equal {}, &[bool(&[2], &[0.0, 1.0]), bool(&[1], &[1.0])], &[0.0, 1.0]);
    }

    #[test]
    fn comparisons_need_one_type() {
        fits(Lesser {}, &["i32[B,1]", "i32[3]"], "bool[B,3]");
        fits(Equal {}, &["bool[2]", "bool[2]"], "bool[2]");
        misfits(Greater {}, &["bool[2]", "bool[2]"], "a is bool, but must be f32 or i32");
        misfits(Equal {}, &["f32[2]", "i32[2]"], "b is i32, but must be f32");
    }

    #[test]
    fn where_chooses_and_broadcasts() {
        let condition = || bool(&[2, 1], &[1.0, 0.0]);
        let values = [condition(), f32(&[2], &[1.0, 2.0]), f32(&[], &[f64::NEG_INFINITY])];
        gives(Where {}, &values, &[1.0, 2.0, f64::NEG_INFINITY, f64::NEG_INFINITY]);
        gives(Where {}, &[condition(), i32(&[], &[5.0]), i32(&[], &[6.0])], &[5.0, 6.0]);
        fits(Where {}, &["bool[B,1]", "f32[3]", "f32[1]"], "f32[B,3]");
        misfits(Where {}, &["f32[2]", "f32[2]", "f32[2]"], "condition is f32, but must be bool");
        misfits(Where {}, &["bool[2]", "f32[2]", "i32[2]"], "falseValue is i32, but must be f32");
        misfits(Where {}, &["bool[4]", "f32[2]", "f32[2]"], "do not broadcast");
    }
}
