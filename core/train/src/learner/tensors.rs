//! A learner's tensors out of the device and back, for checkpoints.

use burn::tensor::Tensor;
use vitral_model::{device::Device, parameters};

use super::Learner;
use crate::{
    Error,
    checkpoint::{NamedTensor, to_device},
};

/// The tensors of a learner, as checkpoints hold them.
pub(crate) struct Tensors {
    pub model: Vec<NamedTensor>,
    pub ema: Option<Vec<NamedTensor>>,
    pub optimizer: Vec<NamedTensor>,
}

impl Learner {
    /// Reads everything back from the device.
    pub(crate) fn export(&self) -> Result<Tensors, Error> {
        let mut optimizer = Vec::new();
        for (index, slot) in self.config.optimizer.slots().iter().enumerate() {
            let averages: Vec<Tensor<1>> =
                self.optimizer.slots.iter().map(|slots| slots[index].clone()).collect();
            optimizer.extend(self.named(&format!("{slot}/"), &averages)?);
        }
        Ok(Tensors {
            model: self.named("", &parameters::values(&self.model))?,
            ema: self.ema.as_ref().map(|ema| self.named("", &ema.values)).transpose()?,
            optimizer,
        })
    }

    /// Puts everything back on the device.
    ///
    /// # Errors
    /// The first tensor that is missing or of another shape, in words.
    pub(crate) fn import(&mut self, tensors: &Tensors, device: &Device) -> Result<(), String> {
        let load =
            |tensors: &[NamedTensor], prefix: &str| to_device(tensors, &self.infos, prefix, device);
        let values = load(&tensors.model, "")?;
        let average = tensors.ema.as_deref().map(|ema| load(ema, "")).transpose()?;
        let slots = self.config.optimizer.slots();
        let averages: Vec<Vec<Tensor<1>>> = slots
            .iter()
            .map(|slot| load(&tensors.optimizer, &format!("{slot}/")))
            .collect::<Result<_, _>>()?;
        for (index, tensors) in averages.into_iter().enumerate() {
            for (slots, tensor) in self.optimizer.slots.iter_mut().zip(tensors) {
                slots[index] = tensor;
            }
        }
        self.set_values(values);
        if let (Some(ema), Some(average)) = (&mut self.ema, average) {
            ema.values = average;
        }
        Ok(())
    }

    fn named(&self, prefix: &str, tensors: &[Tensor<1>]) -> Result<Vec<NamedTensor>, Error> {
        self.infos
            .iter()
            .zip(tensors)
            .map(|(info, tensor)| {
                NamedTensor::from_device(format!("{prefix}{}", info.name), &info.shape, tensor)
            })
            .collect()
    }
}
