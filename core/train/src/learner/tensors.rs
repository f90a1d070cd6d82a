//! A learner's tensors out of the device and back, for checkpoints.

use burn::tensor::Tensor;
use vitral_model::{
    device::Device,
    parameters::{self, ParameterInfo},
};

use super::Learner;
use crate::{
    Error,
    checkpoint::{NamedTensor, Tensors, average_name, averages_to_device, to_device},
    prune::Tracker,
};

impl Learner {
    /// Reads everything back from the device; where each rank has a part of it, all take part, and have all.
    pub(crate) fn export(&self) -> Result<Tensors, Error> {
        let mut optimizer = Vec::new();
        let slots = self.whole_slots()?;
        for (info, averages) in self.infos.iter().zip(&slots) {
            let slots = self.config.optimizer.slots(&info.name, &info.shape);
            for (slot, average) in slots.iter().zip(averages) {
                let name = average_name(slot, &info.name);
                optimizer.push(NamedTensor::from_device(name, &info.shape, average)?);
            }
        }
        Ok(Tensors {
            model: self.named(&parameters::values(&self.model))?,
            ema: match &self.ema {
                Some(ema) => Some(self.named(&self.whole(&ema.values)?)?),
                None => None,
            },
            optimizer,
            importance: self.importance.as_ref().map(Tracker::export).transpose()?,
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
        let slots = |info: &ParameterInfo| self.config.optimizer.slots(&info.name, &info.shape);
        let averages = averages_to_device(&tensors.optimizer, slots, &self.infos, device)?;
        self.take_slots(averages)?;
        self.set_values(values);
        let average = average.map(|average| self.moved(average)).transpose();
        let average = average.map_err(|error| error.to_string())?;
        if let (Some(ema), Some(average)) = (&mut self.ema, average) {
            ema.values = average;
        }
        if let (Some(tracker), Some(importance)) = (&mut self.importance, &tensors.importance) {
            let averages = to_device(importance, &tracker.infos(), device)?;
            tracker.import(averages);
        }
        Ok(())
    }

    /// Starts from the weights of a model.
    ///
    /// # Errors
    /// As [`Learner::import`].
    pub(crate) fn start_from(
        &mut self,
        weights: &[NamedTensor],
        device: &Device,
    ) -> Result<(), String> {
        let values = to_device(weights, &self.infos, device)?;
        self.set_values(values);
        Ok(())
    }

    /// The optimizer's averages of whole parameters.
    fn whole_slots(&self) -> Result<Vec<Vec<Tensor<1>>>, Error> {
        let slots = &self.optimizer.slots;
        if self.shard.is_none() {
            return Ok(slots.clone());
        }
        let mut whole: Vec<Vec<Tensor<1>>> = vec![Vec::new(); self.infos.len()];
        // As many of every parameter, since each value moves for itself.
        for slot in 0..self.config.optimizer.fewest_slots() {
            let own: Vec<Tensor<1>> = slots.iter().map(|slots| slots[slot].clone()).collect();
            for (whole, average) in whole.iter_mut().zip(self.whole(&own)?) {
                whole.push(average);
            }
        }
        Ok(whole)
    }

    /// Goes on with averages of whole parameters.
    fn take_slots(&mut self, averages: Vec<Vec<Tensor<1>>>) -> Result<(), String> {
        if self.shard.is_none() {
            self.optimizer.slots = averages;
            return Ok(());
        }
        for slot in 0..self.config.optimizer.fewest_slots() {
            let whole = averages.iter().map(|slots| slots[slot].clone()).collect();
            let own = self.moved(whole).map_err(|error| error.to_string())?;
            for (slots, average) in self.optimizer.slots.iter_mut().zip(own) {
                slots[slot] = average;
            }
        }
        Ok(())
    }

    fn named(&self, tensors: &[Tensor<1>]) -> Result<Vec<NamedTensor>, Error> {
        self.infos
            .iter()
            .zip(tensors)
            .map(|(info, tensor)| NamedTensor::from_device(info.name.clone(), &info.shape, tensor))
            .collect()
    }
}
