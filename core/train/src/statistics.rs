//! How a model's gradients and weights are distributed, for monitors.

use burn::tensor::Tensor;
use vitral_host::{Distribution, MAGNITUDES, ParameterStatistics};
use vitral_model::parameters::ParameterInfo;

use crate::Error;

/// Lower ends of all magnitudes but the first: 1e-12 to 1e4.
const DECADES: [f64; MAGNITUDES - 1] = [
    1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3,
    1e4,
];

/// Statistics of every parameter: its gradient and its values, both flat and in the order of the
/// infos. Everything is read back from the device, which takes its time.
///
/// # Errors
/// The device fails.
pub(crate) fn parameter_statistics(
    infos: &[ParameterInfo],
    gradients: &[Tensor<1>],
    values: &[Tensor<1>],
) -> Result<Vec<ParameterStatistics>, Error> {
    let read = |tensor: &Tensor<1>| -> Result<Distribution, Error> {
        let values = tensor.clone().try_into_vec_as::<f32>();
        Ok(distribution(&values.map_err(|error| Error::Device(error.to_string()))?))
    };
    let statistics = |((info, gradient), value): ((&ParameterInfo, &Tensor<1>), &Tensor<1>)| {
        Ok(ParameterStatistics {
            name: info.name.clone(),
            elements: info.elements() as u64,
            gradient: read(gradient)?,
            weight: read(value)?,
        })
    };
    infos.iter().zip(gradients).zip(values).map(statistics).collect()
}

/// How values are distributed.
fn distribution(values: &[f32]) -> Distribution {
    let finite = || values.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value));
    let count = finite().count();
    let mean = finite().sum::<f64>() / count.max(1) as f64;
    let variance = finite().map(|value| (value - mean).powi(2)).sum::<f64>() / count.max(1) as f64;
    let mut magnitudes = [0; MAGNITUDES];
    let mut zeros = 0;
    for value in finite().map(f64::abs) {
        if value == 0.0 {
            zeros += 1;
        } else {
            magnitudes[DECADES.partition_point(|&decade| decade <= value)] += 1;
        }
    }
    Distribution {
        mean,
        deviation: variance.sqrt(),
        norm: finite().map(|value| value * value).sum::<f64>().sqrt(),
        largest: finite().map(f64::abs).fold(0.0, f64::max),
        zeros,
        non_finite: (values.len() - count) as u64,
        magnitudes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_counted_once() {
        let values = [0.0, 1e-13, 1e-12, 0.05, -0.5, 2.0, -2e4, f32::NAN, f32::INFINITY];
        let found = distribution(&values);
        assert_eq!((found.zeros, found.non_finite, found.largest), (1, 2, 2e4));
        let filled: Vec<_> = found.magnitudes.iter().enumerate().filter(|(_, n)| **n > 0).collect();
        // 1e-12 in f32 lies just below the decade.
        assert_eq!(filled, [(0, &2), (11, &1), (12, &1), (13, &1), (17, &1)]);
    }

    #[test]
    fn moments_are_those_of_the_finite_values() {
        let found = distribution(&[1.0, 3.0, f32::NAN]);
        assert_eq!((found.mean, found.deviation), (2.0, 1.0));
        assert!((found.norm - 10f64.sqrt()).abs() < 1e-12);
        let nothing = distribution(&[]);
        assert_eq!((nothing.mean, nothing.deviation, nothing.norm), (0.0, 0.0, 0.0));
    }
}
