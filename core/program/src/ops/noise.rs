//! Ops that draw random numbers. Each node of a program has a stream of its own, so that one run's
//! seed decides everything; [`Random::draw`] is what an executor takes its numbers from.

use std::fmt;
use std::str::FromStr;

use rand::Rng as _;
use rand_distr::{Beta, Distribution as _, StandardNormal};
use vitral_seed::Seed;

use super::call::Call;
use super::declare::{Rule, one, op};
use crate::array::Array;
use crate::attribute::text_attribute;
use crate::misfit::Misfit;
use crate::shape::Shape;
use crate::types::{DType, TensorType};

/// What numbers are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Uniform from 0 up to, but not including, 1.
    Uniform,
    /// Normal with mean 0 and deviation 1.
    Normal,
    /// Beta with parameters `alpha` and `beta`, as mixup draws its weights.
    Beta,
}

impl Distribution {
    const ALL: [Self; 3] = [Self::Uniform, Self::Normal, Self::Beta];
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uniform => "uniform",
            Self::Normal => "normal",
            Self::Beta => "beta",
        })
    }
}

impl FromStr for Distribution {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let found = Self::ALL.into_iter().find(|distribution| distribution.to_string() == text);
        found.ok_or_else(|| {
            Misfit::new(format!(
                "`{text}` is not a distribution; there are uniform, normal and beta"
            ))
        })
    }
}

text_attribute! { Distribution: "a distribution like uniform" }

op! {
    /// Random numbers, drawn anew in each step of training and the same in each evaluation: no
    /// operands to `f32` of the given shape, which may have the batch in it.
    "random" Random() {
        /// The result's shape.
        shape: Shape,
        /// What to draw from: `uniform` (from 0 to below 1), `normal` (mean 0, deviation 1) or
        /// `beta`.
        distribution: Distribution = Distribution::Uniform,
        /// First parameter of `beta`, from 0.01 to 1000.
        alpha: f64 = 1.0,
        /// Second parameter of `beta`, from 0.01 to 1000.
        beta: f64 = 1.0,
    }
}

impl Random {
    /// The values that a node draws from its stream. They are exact in `f32`.
    pub fn draw(&self, stream: Seed, count: usize) -> Vec<f32> {
        let mut rng = stream.rng();
        match self.distribution {
            Distribution::Uniform => uniform(stream, count),
            Distribution::Normal => {
                let normal = |_| -> f32 { StandardNormal.sample(&mut rng) };
                (0..count).map(normal).collect()
            }
            // Shape inference has refused parameters that are none.
            Distribution::Beta => match Beta::new(self.alpha, self.beta) {
                Ok(beta) => (0..count).map(|_| beta.sample(&mut rng) as f32).collect(),
                Err(_) => vec![0.5; count],
            },
        }
    }
}

fn uniform(stream: Seed, count: usize) -> Vec<f32> {
    let mut rng = stream.rng();
    (0..count).map(|_| rng.random()).collect()
}

impl Rule for Random {
    fn infer(&self, _: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        for (name, value) in [("alpha", self.alpha), ("beta", self.beta)] {
            if !(0.01..=1000.0).contains(&value) {
                let problem = format!("{name} is {value}, but must be from 0.01 to 1000");
                return Err(Misfit::new(problem));
            }
        }
        one(TensorType::new(DType::F32, self.shape.clone()))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let values = self.draw(call.stream, call.shape().iter().product());
        call.one(values.into_iter().map(f64::from).collect())
    }
}

op! {
    /// In training, sets each element to zero with probability `rate` and divides the others by
    /// `1 - rate`; in evaluation, leaves all as they are. `f32` of any shape to the same.
    "dropout" Dropout(input: Required) {
        /// How likely an element is dropped, from 0 to below 1.
        rate: f64,
    }
}

impl Dropout {
    /// Which elements a node keeps, from its stream.
    pub fn keep(&self, stream: Seed, count: usize) -> Vec<bool> {
        uniform(stream, count).into_iter().map(|value| f64::from(value) >= self.rate).collect()
    }
}

impl Rule for Dropout {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        operands[0].expect("input", &[DType::F32])?;
        if !(0.0..1.0).contains(&self.rate) {
            let problem = format!("rate is {}, but must be from 0 to below 1", self.rate);
            return Err(Misfit::new(problem));
        }
        one(operands[0].clone())
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let values = call.operands[0].values();
        if !call.training {
            return call.one(values.to_vec());
        }
        let kept = self.keep(call.stream, values.len());
        let scaled = |(&value, kept)| if kept { value / (1.0 - self.rate) } else { 0.0 };
        call.one(values.iter().zip(kept).map(scaled).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{f32, fits, misfits, run};

    fn moments(random: Random) -> (f64, f64) {
        let values = random.draw(Seed::new(1), 40_000);
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        (mean, values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n)
    }

    #[test]
    fn draws_have_the_moments_of_their_distribution() {
        let random = |distribution, alpha, beta| Random {
            shape: Shape::scalar(),
            distribution,
            alpha,
            beta,
        };
        for (random, mean, variance) in [
            (random(Distribution::Uniform, 1.0, 1.0), 0.5, 1.0 / 12.0),
            (random(Distribution::Normal, 1.0, 1.0), 0.0, 1.0),
            // Mean a / (a + b), variance a b / ((a + b)^2 (a + b + 1)).
            (random(Distribution::Beta, 2.0, 3.0), 0.4, 0.04),
            (random(Distribution::Beta, 0.2, 0.2), 0.5, 0.25 / 1.4),
        ] {
            let (found_mean, found_variance) = moments(random.clone());
            assert!((found_mean - mean).abs() < 0.01, "{random:?}: mean {found_mean}");
            assert!(
                (found_variance - variance).abs() < 0.02,
                "{random:?}: variance {found_variance}"
            );
        }
    }

    #[test]
    fn random_has_the_shape_that_it_names() {
        let random = |shape: &str, alpha| Random {
            shape: shape.parse().unwrap(),
            distribution: Distribution::Beta,
            alpha,
            beta: 1.0,
        };
        fits(random("[B,3]", 0.8), &[], "f32[B,3]");
        misfits(random("[2]", 0.0), &[], "alpha is 0, but must be from 0.01 to 1000");
        misfits(random("[2]", f64::NAN), &[], "alpha is NaN");
        let values = run(random("[2,3]", 0.8), &[]).remove(0);
        assert!(values.values().iter().all(|value| (0.0..=1.0).contains(value)));
    }

    #[test]
    fn dropout_scales_what_it_keeps() {
        let kept = run(Dropout { rate: 0.25 }, &[f32(&[1000], &[3.0; 1000])]).remove(0);
        let zeros = kept.values().iter().filter(|&&value| value == 0.0).count();
        assert!((200..300).contains(&zeros), "{zeros} of 1000 dropped");
        assert!(kept.values().iter().all(|&value| value == 0.0 || value == 4.0));
        fits(Dropout { rate: 0.0 }, &["f32[B,3]"], "f32[B,3]");
        misfits(Dropout { rate: 1.0 }, &["f32[2]"], "rate is 1, but must be from 0 to below 1");
        misfits(Dropout { rate: 0.5 }, &["i32[2]"], "input is i32");
    }
}
