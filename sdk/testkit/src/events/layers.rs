//! Statistics of parameters.

use vitral_host::{Distribution, Event, LayerReport, MAGNITUDES, ParameterStatistics};

use super::epoch;

/// Statistics of a step's gradients and weights.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct LayersEvent(LayerReport);

/// Statistics of a step's gradients and weights, of no parameter yet.
pub fn layers(step: u64) -> LayersEvent {
    LayersEvent(LayerReport { step, epoch: epoch(step), parameters: Vec::new() })
}

impl LayersEvent {
    /// Adds a parameter.
    pub fn with(mut self, parameter: ParameterBuilder) -> Self {
        self.0.parameters.push(parameter.0);
        self
    }

    /// Adds the weights of this many blocks: a gradient of norm 1, weights of norm 10 each.
    pub fn blocks(self, blocks: usize) -> Self {
        let weights = |block| parameter(&format!("blocks.{block}.mlp.fc1.weight"));
        (0..blocks).fold(self, |event, block| event.with(weights(block)))
    }
}

impl From<LayersEvent> for Event {
    fn from(event: LayersEvent) -> Self {
        Self::Layers(event.0)
    }
}

/// Statistics of one parameter.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct ParameterBuilder(ParameterStatistics);

/// A parameter of 100 values with a gradient of norm 1 and values of norm 10, all of the same
/// magnitude.
pub fn parameter(name: &str) -> ParameterBuilder {
    ParameterBuilder(ParameterStatistics {
        name: name.to_owned(),
        elements: 100,
        gradient: distribution(100, 1.0),
        weight: distribution(100, 10.0),
    })
}

impl ParameterBuilder {
    /// As many values.
    pub fn elements(self, elements: u64) -> Self {
        let ParameterStatistics { name, gradient, weight, .. } = self.0;
        Self(ParameterStatistics {
            name,
            elements,
            gradient: distribution(elements, gradient.norm),
            weight: distribution(elements, weight.norm),
        })
    }

    /// The gradient's norm; 0 for a gradient of zeros.
    pub fn gradient_norm(mut self, norm: f64) -> Self {
        self.0.gradient = distribution(self.0.elements, norm);
        self
    }

    /// The norm of the values; 0 for zeros.
    pub fn weight_norm(mut self, norm: f64) -> Self {
        self.0.weight = distribution(self.0.elements, norm);
        self
    }

    /// This many of the gradient's values are NaN or infinite.
    pub fn non_finite(mut self, values: u64) -> Self {
        let finite = self.0.elements.saturating_sub(values);
        let norm = if finite == 0 { 0.0 } else { self.0.gradient.norm };
        self.0.gradient = Distribution { non_finite: values, ..distribution(finite, norm) };
        self
    }

    /// This many of the gradient's values have magnitudes from 1e-13 to 1e-12, besides those that
    /// make up its norm.
    pub fn tiny(mut self, values: u64) -> Self {
        let norm = self.0.gradient.norm;
        let mut gradient = distribution(self.0.elements.saturating_sub(values), norm);
        gradient.magnitudes[0] += values;
        self.0.gradient = gradient;
        self
    }
}

/// This many values of one magnitude, with signs in turn, and this norm.
fn distribution(values: u64, norm: f64) -> Distribution {
    let magnitude = if values == 0 { 0.0 } else { norm / (values as f64).sqrt() };
    let mut magnitudes = [0; MAGNITUDES];
    let zeros = if magnitude == 0.0 {
        values
    } else {
        // Decades start at 1e-12, of which the first count is below.
        let decade = magnitude.log10().floor() + 13.0;
        magnitudes[decade.clamp(0.0, (MAGNITUDES - 1) as f64) as usize] = values;
        0
    };
    Distribution {
        mean: 0.0,
        deviation: magnitude,
        norm,
        largest: magnitude,
        zeros,
        non_finite: 0,
        magnitudes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_counted_once() {
        let built = [
            parameter("a"),
            parameter("a").elements(7).gradient_norm(0.0),
            parameter("a").non_finite(100),
            parameter("a").non_finite(1).weight_norm(1e20),
            parameter("a").gradient_norm(1e-30),
            parameter("a").tiny(60),
        ];
        for ParameterBuilder(parameter) in built {
            for found in [&parameter.gradient, &parameter.weight] {
                let counted = found.magnitudes.iter().sum::<u64>() + found.zeros + found.non_finite;
                assert_eq!(counted, parameter.elements, "{parameter:?}");
            }
        }
    }

    #[test]
    fn magnitudes_are_in_their_decade() {
        let ParameterBuilder(statistics) = parameter("a").gradient_norm(0.5);
        assert_eq!(statistics.gradient.largest, 0.05);
        assert_eq!(statistics.gradient.magnitudes[11], 100);
    }
}
