//! How parameters start, and levels of messages.

use super::ConvertError;
use crate::c;
use crate::{Initializer, LogLevel};

impl From<Initializer> for c::Initializer {
    fn from(initializer: Initializer) -> Self {
        let (tag, a, b) = match initializer {
            Initializer::Constant(value) => (c::CONSTANT, value, 0.0),
            Initializer::Normal(deviation) => (c::NORMAL, deviation, 0.0),
            Initializer::TruncatedNormal(deviation) => (c::TRUNCATED_NORMAL, deviation, 0.0),
            Initializer::Uniform(limit) => (c::UNIFORM, limit, 0.0),
            Initializer::XavierUniform { inputs, outputs } => {
                (c::XAVIER_UNIFORM, inputs.into(), outputs.into())
            }
        };
        Self { tag, a, b }
    }
}

impl TryFrom<c::Initializer> for Initializer {
    type Error = ConvertError;

    fn try_from(given: c::Initializer) -> Result<Self, ConvertError> {
        Ok(match given.tag {
            c::CONSTANT => Self::Constant(given.a),
            c::NORMAL => Self::Normal(given.a),
            c::TRUNCATED_NORMAL => Self::TruncatedNormal(given.a),
            c::UNIFORM => Self::Uniform(given.a),
            c::XAVIER_UNIFORM => {
                Self::XavierUniform { inputs: count(given.a)?, outputs: count(given.b)? }
            }
            tag => {
                return Err(ConvertError::new(format!("there is no initializer with tag {tag}")));
            }
        })
    }
}

/// A count that is handed over as a number.
fn count(number: f64) -> Result<u32, ConvertError> {
    let count = number as u32;
    match f64::from(count) == number {
        true => Ok(count),
        false => Err(ConvertError::new(format!("{number} is not a count of 32 bits"))),
    }
}

/// The log level of a tag.
///
/// # Errors
/// If there is none.
pub fn level(tag: u32) -> Result<LogLevel, ConvertError> {
    match tag {
        c::DEBUG => Ok(LogLevel::Debug),
        c::INFO => Ok(LogLevel::Info),
        c::WARNING => Ok(LogLevel::Warn),
        c::ERROR => Ok(LogLevel::Error),
        _ => Err(ConvertError::new(format!("there is no log level with tag {tag}"))),
    }
}

/// The tag of a log level.
pub const fn level_tag(level: LogLevel) -> u32 {
    match level {
        LogLevel::Debug => c::DEBUG,
        LogLevel::Info => c::INFO,
        LogLevel::Warn => c::WARNING,
        LogLevel::Error => c::ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initializers_round_trip() {
        for initializer in [
            Initializer::Constant(1.0),
            Initializer::Normal(0.02),
            Initializer::TruncatedNormal(0.02),
            Initializer::Uniform(0.1),
            Initializer::XavierUniform { inputs: u32::MAX, outputs: 0 },
        ] {
            assert_eq!(Initializer::try_from(c::Initializer::from(initializer)), Ok(initializer));
        }
    }

    #[test]
    fn impossible_initializers_are_refused() {
        for (tag, a, message) in [
            (5, 0.0, "there is no initializer with tag 5"),
            (c::XAVIER_UNIFORM, 0.5, "0.5 is not a count of 32 bits"),
            (c::XAVIER_UNIFORM, -1.0, "-1 is not a count"),
            (c::XAVIER_UNIFORM, f64::NAN, "NaN is not a count"),
            (c::XAVIER_UNIFORM, 1e12, "1000000000000 is not a count"),
        ] {
            let error = Initializer::try_from(c::Initializer { tag, a, b: 1.0 }).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn every_level_has_its_tag() {
        for one in [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error] {
            assert_eq!(level(level_tag(one)), Ok(one));
        }
        assert_eq!(level(9).unwrap_err().to_string(), "there is no log level with tag 9");
    }
}
