//! An exponential moving average of the weights, which is what is evaluated and kept when it is on.

use burn::tensor::Tensor;

use crate::groups::ParameterGroup;

/// The average of a model's parameters, flat.
pub(crate) struct Ema {
    decay: f64,
    pub(crate) values: Vec<Tensor<1>>,
}

impl Ema {
    pub(crate) fn new(decay: f64, values: Vec<Tensor<1>>) -> Self {
        Self { decay, values }
    }

    /// How much of the average stays at an update. Early averages decay faster,
    /// `min(decay, (1 + update) / (10 + update))` as in TensorFlow, so that the first weights do not
    /// linger.
    pub(crate) fn decay_of(&self, update: u64) -> f64 {
        self.decay.min((1.0 + update as f64) / (10.0 + update as f64))
    }

    /// Gives frozen weights back what they are, of which rounding may have changed a bit.
    pub(crate) fn keep_frozen(&mut self, values: &[Tensor<1>], groups: &[ParameterGroup]) {
        for ((average, value), group) in self.values.iter_mut().zip(values).zip(groups) {
            if group.is_frozen() {
                *average = value.clone();
            }
        }
    }

    /// Takes in the weights after an update.
    pub(crate) fn update(&mut self, values: &[Tensor<1>], update: u64) {
        let decay = self.decay_of(update);
        for (average, value) in self.values.iter_mut().zip(values) {
            let value = value.clone();
            average.inplace(|average| average * decay + value * (1.0 - decay));
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn average_follows_the_weights() {
        let tensor = |value: f32| Tensor::<1>::from_floats([value], &Device::flex());
        let mut ema = Ema::new(0.5, vec![tensor(0.0)]);
        let mut expected = 0.0;
        for update in 1..=20u64 {
            ema.update(&[tensor(update as f32)], update);
            let decay = 0.5f64.min((1.0 + update as f64) / (10.0 + update as f64));
            expected = expected * decay + update as f64 * (1.0 - decay);
        }
        let found = ema.values[0].clone().into_scalar::<f32>();
        assert!((f64::from(found) - expected).abs() < 1e-5, "{found} is not {expected}");
    }
}
