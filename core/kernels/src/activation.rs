//! What lies between the two halves of an MLP.

use pulp::{Simd, WithSimd};

use crate::{
    element::Element,
    instances::instances,
    rows::{self, Shared},
    simd::{dispatch, each_vector, load, normal, sigmoid, store},
};

/// An activation and its derivative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Exact GELU, `x Phi(x)` (Hendrycks and Gimpel 2016).
    Gelu,
    /// Its approximation by tanh, `x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))`.
    GeluTanh,
}

instances! {
    fn activation_forward(activation: Activation, x: &[Self], out: &mut [Self]) =>
        activation.run(x, None, out);
    fn activation_backward(
        activation: Activation,
        x: &[Self],
        gradient: &[Self],
        x_gradient: &mut [Self],
    ) => activation.run(x, Some(gradient), x_gradient);
}

/// How many values a task takes.
const PART: usize = 1 << 14;

impl Activation {
    /// Each value of `x` to its activation.
    pub fn forward<T: Instances>(self, x: &[T], out: &mut [T]) {
        T::activation_forward(self, x, out);
    }

    /// From the gradient of the result to that of `x`.
    pub fn backward<T: Instances>(self, x: &[T], gradient: &[T], x_gradient: &mut [T]) {
        assert_eq!(x.len(), gradient.len());
        T::activation_backward(self, x, gradient, x_gradient);
    }

    pub(crate) fn run<T: Element>(self, x: &[T], gradient: Option<&[T]>, out: &mut [T]) {
        assert_eq!(x.len(), out.len());
        let out = Shared::new(out);
        rows::for_each(x.len().div_ceil(PART), |task| {
            let part = task * PART..((task + 1) * PART).min(x.len());
            dispatch(Values {
                activation: self,
                x: &x[part.clone()],
                gradient: gradient.map(|gradient| &gradient[part.clone()]),
                // SAFETY: each task has values of its own.
                out: unsafe { out.slice(part.start, part.len()) },
            });
        });
    }

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

/// Some values: their activations or, with a gradient, those times the derivatives.
struct Values<'a, T> {
    activation: Activation,
    x: &'a [T],
    gradient: Option<&'a [T]>,
    out: &'a mut [T],
}

impl<T: Element> WithSimd for Values<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, out) = (self.x.as_ptr(), self.out.as_mut_ptr());
        each_vector!(S, self.x.len(), |at, count| {
            // SAFETY: all three are of the same length.
            unsafe {
                let x = load(simd, x.add(at), count);
                let value = match self.gradient {
                    None => self.activation.value(simd, x),
                    Some(gradient) => {
                        let (_, derivative) = self.activation.with_derivative(simd, x);
                        simd.mul_f32s(load(simd, gradient.as_ptr().add(at), count), derivative)
                    }
                };
                store(simd, out.add(at), count, value);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{all_differences, assert_close, on_each_instruction_set, values, wide};

    fn exact(activation: Activation, x: f64) -> f64 {
        match activation {
            // Phi by Simpson's rule from 0 to x: the integrand is smooth.
            Activation::Gelu => {
                let steps = 2000;
                let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
                let h = x / f64::from(steps);
                let sum: f64 = (0..steps)
                    .map(|step| {
                        let t = f64::from(step) * h;
                        density(t) + 4.0 * density(t + h / 2.0) + density(t + h)
                    })
                    .sum();
                x * (0.5 + sum * h / 6.0)
            }
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }
        }
    }

    #[test]
    fn values_and_gradients_are_those_of_the_formula() {
        on_each_instruction_set(|set| {
            for activation in [Activation::Gelu, Activation::GeluTanh] {
                let what = format!("{activation:?} on {}", set.name());
                let x: Vec<f32> = values(37, 1).iter().map(|x| 5.0 * x).collect();
                let gradient = values(37, 2);
                let (mut out, mut x_gradient) = (vec![0.0; 37], vec![0.0; 37]);
                activation.forward(&x, &mut out);
                let all = |x: &[f64]| x.iter().map(|&x| exact(activation, x)).collect::<Vec<_>>();
                assert_close(&what, &out, &all(&wide(&x)), 1e-6);
                activation.backward(&x, &gradient, &mut x_gradient);
                let expected = all_differences(&[&x], &gradient, |inputs| all(&inputs[0]));
                assert_close(&what, &x_gradient, &expected[0], 1e-6);
            }
        });
    }

    #[test]
    fn parts_of_many_values_are_all_computed() {
        let x = values(2 * PART + 5, 3);
        let mut out = vec![f32::NAN; x.len()];
        Activation::GeluTanh.forward(&x, &mut out);
        for at in [0, PART - 1, PART, 2 * PART + 4] {
            let expected = exact(Activation::GeluTanh, f64::from(x[at]));
            assert!((f64::from(out[at]) - expected).abs() < 1e-6, "{at}");
        }
        assert!(out.iter().all(|value| value.is_finite()));
    }
}
