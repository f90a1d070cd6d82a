//! Ops without operands: what a plugin knows while it is traced.

use super::call::Call;
use super::declare::{Rule, one, op};
use crate::array::{Array, fill};
use crate::misfit::Misfit;
use crate::shape::{Dim, Shape};
use crate::types::{DType, TensorType};

op! {
    /// Values known in advance: no operands to the given type. Either one value for every element,
    /// and the shape may have the batch in it, or all values row-major.
    "constant" Constant() {
        /// The result's type.
        r#type as "type": TensorType,
        /// One value, or as many as there are elements.
        values: Vec<f64>,
    }
}

impl Constant {
    /// One `f32` number, to broadcast with anything.
    pub fn scalar(value: f64) -> Self {
        Self { r#type: TensorType::new(DType::F32, Shape::scalar()), values: vec![value] }
    }
}

impl Rule for Constant {
    fn infer(&self, _: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let (given, elements) = (self.values.len(), self.r#type.shape.elements());
        if given != 1 && elements != Dim::Fixed(given) {
            let problem = format!("{given} values for {}: give 1 value or {elements}", self.r#type);
            return Err(Misfit::new(problem));
        }
        self.values.iter().try_for_each(|&value| self.r#type.dtype.check(value))?;
        one(self.r#type.clone())
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let count = call.shape().iter().product();
        call.one(match self.values[..] {
            [value] => vec![value; count],
            _ => self.values.clone(),
        })
    }
}

op! {
    /// `start, start + delta, start + 2 delta, ...`: no operands to `f32` or `i32` `[length]`,
    /// where the length may be a multiple of the batch.
    "range" Range() {
        /// The elements' type, `f32` or `i32`.
        dtype: DType = DType::I32,
        /// How many elements there are.
        length: Dim,
        /// The first element.
        start: f64 = 0.0,
        /// The difference between neighbours.
        delta: f64 = 1.0,
    }
}

impl Rule for Range {
    fn infer(&self, _: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let result = TensorType::new(self.dtype, Shape::new([self.length])?);
        result.expect("dtype", DType::NUMBERS)?;
        let last = self.start + self.delta * self.length.per_item() as f64;
        [self.start, self.delta, last].into_iter().try_for_each(|value| self.dtype.check(value))?;
        one(result)
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        call.one(fill(call.shape(), |index| self.start + self.delta * index[0] as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{fits, gives, misfits};

    fn constant(r#type: &str, values: &[f64]) -> Constant {
        Constant { r#type: r#type.parse().unwrap(), values: values.to_vec() }
    }

    #[test]
    fn constants_are_one_value_or_all() {
        gives(constant("f32[2,2]", &[1.0, 2.0, 3.0, -0.5]), &[], &[1.0, 2.0, 3.0, -0.5]);
        gives(constant("i32[3]", &[7.0]), &[], &[7.0, 7.0, 7.0]);
        gives(Constant::scalar(0.5), &[], &[0.5]);
        fits(constant("f32[B,1,8]", &[0.0]), &[], "f32[B,1,8]");
        fits(constant("f32[2]", &[f64::NEG_INFINITY]), &[], "f32[2]");
        misfits(constant("f32[2,2]", &[1.0, 2.0]), &[], "2 values for f32[2,2]: give 1 value or 4");
        misfits(constant("f32[B]", &[1.0, 2.0]), &[], "give 1 value or B");
        misfits(constant("f32[2]", &[]), &[], "0 values");
    }

    #[test]
    fn constants_are_of_their_type() {
        misfits(constant("i32[1]", &[0.5]), &[], "0.5 is not an integer of 32 bits");
        misfits(constant("i32[1]", &[3e9]), &[], "3000000000 is not an integer of 32 bits");
        misfits(constant("bool[1]", &[2.0]), &[], "2 is not 0 or 1");
        misfits(constant("f32[1]", &[f64::NAN]), &[], "NaN is not a number that fits 32 bits");
        misfits(constant("f32[1]", &[1e300]), &[], "is not a number that fits 32 bits");
    }

    #[test]
    fn ranges_count() {
        let range = |dtype, length, start, delta| Range { dtype, length, start, delta };
        gives(range(DType::I32, Dim::Fixed(4), 0.0, 1.0), &[], &[0.0, 1.0, 2.0, 3.0]);
        gives(range(DType::F32, Dim::Fixed(3), 1.0, -0.5), &[], &[1.0, 0.5, 0.0]);
        fits(range(DType::I32, Dim::Batch(2), 0.0, 1.0), &[], "i32[2B]");
        misfits(range(DType::Bool, Dim::Fixed(2), 0.0, 1.0), &[], "dtype is bool");
        misfits(range(DType::I32, Dim::Fixed(2), 0.0, 0.5), &[], "0.5 is not an integer");
        misfits(range(DType::I32, Dim::Fixed(9), 0.0, 1e9), &[], "9000000000 is not an integer");
        misfits(range(DType::F32, Dim::Fixed(0), 0.0, 1.0), &[], "empty dimension");
        misfits(range(DType::F32, Dim::Fixed(2), f64::NAN, 1.0), &[], "NaN is not a number");
    }
}
