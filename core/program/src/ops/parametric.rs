//! Element-wise ops of one operand with attributes.

use super::call::Call;
use super::declare::{Rule, one, op};
use crate::array::Array;
use crate::misfit::Misfit;
use crate::types::{DType, TensorType};

op! {
    /// Each element as another type, any type and shape to the same shape. `f32` to `i32` cuts the
    /// fraction off and stops at the smallest and largest integer; anything but zero is true.
    "cast" Cast(input: Required) {
        /// The type to turn into.
        to: DType,
    }
}

impl Rule for Cast {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        one(TensorType::new(self.to, operands[0].shape.clone()))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        call.map(|x| match self.to {
            DType::F32 => x,
            DType::I32 => f64::from(x as i32),
            DType::Bool => f64::from(x != 0.0),
        })
    }
}

op! {
    /// Each element, no less than a minimum and no more than a maximum, `f32` or `i32` of any shape
    /// to the same.
    "clamp" Clamp(input: Required) {
        /// The least result.
        min_value as "minValue": f64 = f64::NEG_INFINITY,
        /// The greatest result, which is not below the least.
        max_value as "maxValue": f64 = f64::INFINITY,
    }
}

impl Rule for Clamp {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let input = &operands[0];
        input.expect("input", DType::NUMBERS)?;
        let (min, max) = (self.min_value, self.max_value);
        if min.is_nan() || max.is_nan() || min > max {
            let problem = format!("minValue is {min}, but must not be above maxValue, {max}");
            return Err(Misfit::new(problem));
        }
        if input.dtype == DType::I32 {
            for bound in [min, max].into_iter().filter(|bound| bound.is_finite()) {
                DType::I32.check(bound)?;
            }
        }
        one(input.clone())
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        call.map(|x| x.clamp(self.min_value, self.max_value))
    }
}

op! {
    /// `x` where it is positive, else `alpha (exp(x) - 1)`, for each element, `f32` of any shape to
    /// the same.
    "elu" Elu(input: Required) {
        /// Minus the limit for negative elements.
        alpha: f64 = 1.0,
    }
}

impl Rule for Elu {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        float_with_slope(&operands[0], self.alpha)
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        call.map(|x| if x > 0.0 { x } else { self.alpha * x.exp_m1() })
    }
}

op! {
    /// `x` where it is positive, else `alpha x`, for each element, `f32` of any shape to the same.
    "leakyRelu" LeakyRelu(input: Required) {
        /// Slope for negative elements.
        alpha: f64 = 0.01,
    }
}

impl Rule for LeakyRelu {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        float_with_slope(&operands[0], self.alpha)
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        call.map(|x| if x > 0.0 { x } else { self.alpha * x })
    }
}

fn float_with_slope(input: &TensorType, alpha: f64) -> Result<Vec<TensorType>, Misfit> {
    input.expect("input", &[DType::F32])?;
    if !alpha.is_finite() {
        return Err(Misfit::new(format!("alpha is {alpha}, but must be finite")));
    }
    one(input.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{f32, fits, gives, i32, misfits};

    fn clamp(min_value: f64, max_value: f64) -> Clamp {
        Clamp { min_value, max_value }
    }

    #[test]
    fn casts_cut_fractions_off_and_saturate() {
        let x = || [f32(&[5], &[-1.9, 0.0, 0.5, 3e9, f64::NAN])];
        gives(Cast { to: DType::I32 }, &x(), &[-1.0, 0.0, 0.0, 2_147_483_647.0, 0.0]);
        gives(Cast { to: DType::Bool }, &x(), &[1.0, 0.0, 1.0, 1.0, 1.0]);
        gives(Cast { to: DType::F32 }, &[i32(&[2], &[-3.0, 7.0])], &[-3.0, 7.0]);
        fits(Cast { to: DType::Bool }, &["i32[2B,3]"], "bool[2B,3]");
    }

    #[test]
    fn values_stay_between_bounds() {
        let x = || [f32(&[4], &[-2.0, 0.25, 1.0, 9.0])];
        gives(clamp(0.0, 1.0), &x(), &[0.0, 0.25, 1.0, 1.0]);
        gives(clamp(f64::NEG_INFINITY, 0.5), &x(), &[-2.0, 0.25, 0.5, 0.5]);
        gives(clamp(0.0, 6.0), &[i32(&[2], &[-5.0, 7.0])], &[0.0, 6.0]);
    }

    #[test]
    fn impossible_bounds_are_refused() {
        fits(clamp(1.0, 1.0), &["f32[B]"], "f32[B]");
        misfits(clamp(1.0, 0.0), &["f32[B]"], "minValue is 1, but must not be above maxValue, 0");
        misfits(clamp(f64::NAN, 0.0), &["f32[B]"], "minValue is NaN");
        misfits(clamp(0.5, 1.0), &["i32[B]"], "0.5 is not an integer of 32 bits");
        misfits(clamp(0.0, 1.0), &["bool[B]"], "input is bool");
    }

    #[test]
    fn negative_elements_follow_the_slope() {
        let x = || [f32(&[5], &[-2.0, -0.5, 0.0, 0.5, 3.0])];
        gives(Elu { alpha: 2.0 }, &x(), &[-1.72932943, -0.786938681, 0.0, 0.5, 3.0]);
        gives(LeakyRelu { alpha: 0.1 }, &x(), &[-0.2, -0.05, 0.0, 0.5, 3.0]);
        fits(Elu { alpha: 1.0 }, &["f32[3]"], "f32[3]");
        fits(LeakyRelu { alpha: -1.0 }, &["f32[B,3]"], "f32[B,3]");
        misfits(Elu { alpha: f64::INFINITY }, &["f32[3]"], "alpha is inf, but must be finite");
        misfits(LeakyRelu { alpha: 0.1 }, &["i32[3]"], "input is i32, but must be f32");
    }
}
