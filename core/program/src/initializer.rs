//! How a parameter starts.

use std::fmt;

use crate::misfit::Misfit;

/// The distribution that a parameter is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// The same value everywhere.
    Constant(f64),
    /// Normal around zero.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Normal cut at two deviations and rescaled to deviation `std`, as Flax draws it.
    TruncatedNormal {
        /// Standard deviation of the result.
        std: f64,
    },
    /// Uniform between `-limit` and `limit`.
    Uniform {
        /// Largest absolute value.
        limit: f64,
    },
    /// Uniform with limit `sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010).
    XavierUniform {
        /// Inputs of each unit.
        fan_in: usize,
        /// Outputs of each unit.
        fan_out: usize,
    },
}

impl Initializer {
    /// Checks that the distribution exists.
    pub(crate) fn check(self) -> Result<(), Misfit> {
        let spread = |name: &str, value: f64| {
            if value.is_finite() && value >= 0.0 {
                return Ok(());
            }
            Err(Misfit::new(format!("{name} is {value}, but must be finite and not negative")))
        };
        match self {
            Self::Constant(value) if !value.is_finite() => {
                Err(Misfit::new(format!("the initial value is {value}, but must be finite")))
            }
            Self::Constant(_) => Ok(()),
            Self::Normal { std } | Self::TruncatedNormal { std } => spread("std", std),
            Self::Uniform { limit } => spread("limit", limit),
            Self::XavierUniform { fan_in, fan_out } => {
                if fan_in >= 1 && fan_out >= 1 {
                    return Ok(());
                }
                let problem = format!(
                    "fan_in and fan_out are {fan_in} and {fan_out}, but must be at least 1"
                );
                Err(Misfit::new(problem))
            }
        }
    }
}

impl fmt::Display for Initializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "constant({value})"),
            Self::Normal { std } => write!(f, "normal(std: {std})"),
            Self::TruncatedNormal { std } => write!(f, "truncatedNormal(std: {std})"),
            Self::Uniform { limit } => write!(f, "uniform(limit: {limit})"),
            Self::XavierUniform { fan_in, fan_out } => {
                write!(f, "xavierUniform(fan_in: {fan_in}, fan_out: {fan_out})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_distributions_are_refused() {
        for (init, message) in [
            (Initializer::Constant(f64::NAN), "must be finite"),
            (Initializer::Normal { std: -1.0 }, "std is -1"),
            (Initializer::TruncatedNormal { std: f64::INFINITY }, "std is inf"),
            (Initializer::Uniform { limit: -0.5 }, "limit is -0.5"),
            (Initializer::XavierUniform { fan_in: 0, fan_out: 3 }, "at least 1"),
        ] {
            assert!(init.check().unwrap_err().to_string().contains(message));
        }
        assert_eq!(Initializer::Uniform { limit: 0.0 }.check(), Ok(()));
    }
}
