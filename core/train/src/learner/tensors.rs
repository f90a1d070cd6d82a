//! A learner's tensors out of the device and back, for checkpoints.

use burn::tensor::Tensor;
use vitral_model::{device::Device, parameters};

use super::Learner;
use crate::{
    Error,
    checkpoint::{NamedTensor, Tensors, average_name, averages_to_device, to_device},
};

impl Learner {
    /// Reads everything back from the device.
    pub(crate) fn export(&self) -> Result<Tensors, Error> {
        let mut optimizer = Vec::new();
        for (index, slot) in self.config.optimizer.slots().iter().enumerate() {
            let averages: Vec<Tensor<1>> =
                self.optimizer.slots.iter().map(|slots| slots[index].clone()).collect();
            optimizer.extend(self.named(|name| average_name(slot, name), &averages)?);
        }
        Ok(Tensors {
            model: self.named(str::to_owned, &parameters::values(&self.model))?,
            ema: self.ema.as_ref().map(|ema| self.named(str::to_owned, &ema.values)).transpose()?,
            optimizer,
        })
    }

    /// Puts everything back on the device.
    ///
    /// # Errors
    /// The first tensor that is missing, superfluous or of another shape, in words.
    pub(crate) fn import(&mut self, tensors: &Tensors, device: &Device) -> Result<(), String> {
        let load = |tensors: &[NamedTensor]| to_device(tensors, &self.infos, device);
        let values = load(&tensors.model)?;
        let average = tensors.ema.as_deref().map(load).transpose()?;
        let slots = self.config.optimizer.slots();
        let averages = averages_to_device(&tensors.optimizer, slots, &self.infos, device)?;
        for (index, tensors) in averages.chunks(self.infos.len()).enumerate() {
            for (slots, tensor) in self.optimizer.slots.iter_mut().zip(tensors) {
                slots[index] = tensor.clone();
            }
        }
        self.set_values(values);
        if let (Some(ema), Some(average)) = (&mut self.ema, average) {
            ema.values = average;
        }
        Ok(())
    }

    fn named(
        &self,
        name: impl Fn(&str) -> String,
        tensors: &[Tensor<1>],
    ) -> Result<Vec<NamedTensor>, Error> {
        self.infos
            .iter()
            .zip(tensors)
            .map(|(info, tensor)| NamedTensor::from_device(name(&info.name), &info.shape, tensor))
            .collect()
    }
}
