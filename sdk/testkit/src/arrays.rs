//! Arrays to run programs on.

use vitral_program::{Array, DType, Initializer, Parameter, Program, reference};
use vitral_sdk::rand::Rng as _;
use vitral_seed::Seed;

/// An array of these values.
///
/// # Panics
/// If they do not fill the shape.
#[track_caller]
pub fn array(shape: &[usize], values: Vec<f64>) -> Array {
    match Array::new(DType::F32, shape, values) {
        Ok(array) => array,
        Err(misfit) => panic!("{misfit}"),
    }
}

/// An array of one value.
pub fn filled(shape: &[usize], value: f64) -> Array {
    array(shape, vec![value; shape.iter().product()])
}

/// Values between -1 and 1 that differ by seed.
pub fn noise(shape: &[usize], seed: u64) -> Array {
    spread(shape, 1.0, Seed::new(seed).named("noise"))
}

/// Values between minus and plus a limit.
fn spread(shape: &[usize], limit: f64, seed: Seed) -> Array {
    let mut rng = seed.rng();
    let count = shape.iter().product();
    array(shape, (0..count).map(|_| (rng.random::<f64>() * 2.0 - 1.0) * limit).collect())
}

/// Rows in which one value, by the row's number, is 1 and the others are 0.
pub fn one_hot(rows: usize, classes: usize) -> Array {
    let value = |at: usize| f64::from(u8::from(at % classes == (at / classes * 7 + 1) % classes));
    array(&[rows, classes], (0..rows * classes).map(value).collect())
}

/// A program's parameters as they start: constants as they are, others with the initializer's
/// deviation, though evenly spread.
pub fn parameters(program: &Program, seed: u64) -> Vec<Array> {
    let draw = |parameter: &Parameter| {
        let shape = sizes(parameter);
        let seed = Seed::new(seed).named(&parameter.name);
        let of_deviation = |deviation: f64| spread(&shape, deviation * 3f64.sqrt(), seed);
        match parameter.initializer {
            Initializer::Constant(value) => filled(&shape, value),
            Initializer::Normal { std } | Initializer::TruncatedNormal { std } => of_deviation(std),
            Initializer::Uniform { limit } => spread(&shape, limit, seed),
            Initializer::XavierUniform { fan_in, fan_out } => {
                spread(&shape, (6.0 / (fan_in + fan_out) as f64).sqrt(), seed)
            }
        }
    };
    program.parameters().iter().map(draw).collect()
}

/// A program's parameters as they may be after training: noise.
pub fn trained(program: &Program, seed: u64) -> Vec<Array> {
    let draw = |parameter: &Parameter| {
        spread(&sizes(parameter), 1.0, Seed::new(seed).named(&parameter.name))
    };
    program.parameters().iter().map(draw).collect()
}

fn sizes(parameter: &Parameter) -> Vec<usize> {
    // A verified program's parameters have no batch dimension.
    parameter.shape.sizes().unwrap_or_default()
}

/// Runs a program on inputs whose first dimension is the batch; with a seed as in training.
///
/// # Panics
/// If they do not fit the program.
#[track_caller]
pub fn run(
    program: &Program,
    inputs: &[Array],
    parameters: &[Array],
    seed: Option<u64>,
) -> Vec<Array> {
    crate::opened::expect(try_run(program, inputs, parameters, seed))
}

pub(crate) fn try_run(
    program: &Program,
    inputs: &[Array],
    parameters: &[Array],
    seed: Option<u64>,
) -> Result<Vec<Array>, String> {
    let batch = inputs.first().and_then(|input| input.shape().first()).copied().unwrap_or(1);
    reference::run(program, batch, inputs, parameters, seed).map_err(|error| error.to_string())
}

/// Checks that values are as expected, each within a tolerance.
///
/// # Panics
/// If one is not, or there are more or fewer.
#[track_caller]
pub fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    if let Err(problem) = close(found, expected, tolerance) {
        panic!("{problem}");
    }
}

/// Where values are not as expected, if anywhere.
pub(crate) fn close(found: &[f64], expected: &[f64], tolerance: f64) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("{} values, but {} were expected", found.len(), expected.len()));
    }
    let differs = |(found, expected): (&f64, &f64)| {
        let difference = (found - expected).abs();
        // NaN is never close.
        found != expected && (difference.is_nan() || difference > tolerance)
    };
    match found.iter().zip(expected).position(differs) {
        None => Ok(()),
        Some(at) => Err(format!("value {at} is {}, but must be {}", found[at], expected[at])),
    }
}

/// Checks that values are numbers.
pub(crate) fn finite(name: &str, array: &Array) -> Result<(), String> {
    match array.values().iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(format!("value {at} of `{name}` is {}", array.values()[at])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_the_same_for_a_seed_and_within_its_limits() {
        let noise = |seed| noise(&[4, 5], seed);
        assert_eq!(noise(1), noise(1));
        assert_ne!(noise(1), noise(2));
        assert!(noise(1).values().iter().all(|value| value.abs() <= 1.0));
    }

    #[test]
    fn one_hot_rows_are_distributions() {
        let targets = one_hot(5, 3);
        assert!(targets.values().chunks(3).all(|row| row.iter().sum::<f64>() == 1.0));
        assert_eq!(targets.values()[..6], [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn differences_are_found() {
        assert_eq!(close(&[1.0, 2.0], &[1.0, 2.05], 0.1), Ok(()));
        assert_eq!(close(&[f64::INFINITY], &[f64::INFINITY], 0.0), Ok(()));
        assert!(close(&[1.0, f64::NAN], &[1.0, 2.0], 0.1).is_err());
        assert_eq!(close(&[1.0], &[2.0], 0.1), Err("value 0 is 1, but must be 2".into()));
        assert!(close(&[1.0], &[], 0.1).is_err());
    }
}
