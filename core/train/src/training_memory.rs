//! How much memory training takes, by arithmetic: what is there for each parameter, and what blocks keep for
//! backward.

use serde::Serialize;
use vitral_model::{
    Costs, ViT,
    device::Device,
    parameters::{self, ParameterInfo},
};

use crate::{batch_size::BatchSize, experiment::Experiment};

/// Bytes of a value.
const VALUE: f64 = 4.0;
/// Images of a micro-batch where `batch: Auto` finds it when a run starts.
const USUAL: usize = 16;

/// Bytes that training takes. What lives for a moment alone, and what a device's libraries take, comes on top.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TrainingMemory {
    /// Images that go through the model at once.
    pub micro_batch: usize,
    /// All weights.
    pub weights: f64,
    /// Their gradients.
    pub gradients: f64,
    /// What the optimizer keeps of each weight.
    pub optimizer: f64,
    /// The moving average of the weights.
    pub average: f64,
    /// What blocks keep for backward.
    pub activations: f64,
    /// The images of a batch, as pixels and as values.
    pub images: f64,
}

impl TrainingMemory {
    /// Of a model by its experiment on a device, with so many images of a step, or as many as it says.
    pub fn of(experiment: &Experiment, model: &ViT, batch: Option<usize>, device: &Device) -> Self {
        let train = &experiment.train;
        let (batch, micro_batch) = match (batch, train.batch) {
            (Some(batch), _) => (batch, batch.div_ceil(train.accum_steps)),
            (None, BatchSize::Auto { effective, .. }) => (effective, effective.min(USUAL)),
            (None, BatchSize::Fixed(batch)) => (batch, batch.div_ceil(train.accum_steps)),
        };
        let infos = parameters::infos(model);
        let bytes = |values: usize| VALUE * values as f64;
        let weights = bytes(infos.iter().map(ParameterInfo::elements).sum());
        let averages = |info: &ParameterInfo| {
            info.elements() * train.optimizer.slots(&info.name, &info.shape).len()
        };
        let Costs { kept_by_blocks, block_inputs, .. } = Costs::of(model, device);
        let again = train.activation_checkpointing.plan(model, micro_batch.max(1), device);
        let is_again = |block: usize| again.get(block).is_some_and(|&again| again);
        let kept = kept_by_blocks.iter().zip(&block_inputs).enumerate();
        let kept: f64 =
            kept.map(|(block, (kept, input))| if is_again(block) { *input } else { *kept }).sum();
        // One block at a time is computed again.
        let at_once = kept_by_blocks.iter().enumerate().filter(|(block, _)| is_again(*block));
        let at_once = at_once.map(|(_, kept)| *kept).fold(0.0, f64::max);
        let config = model.config();
        let pixels = (config.image_size * config.image_size * config.channels) as f64;
        Self {
            micro_batch,
            weights,
            gradients: weights,
            optimizer: bytes(infos.iter().map(averages).sum()),
            average: if train.ema.is_some() { weights } else { 0.0 },
            activations: micro_batch as f64 * (kept + at_once),
            images: pixels * (batch as f64 + VALUE * micro_batch as f64),
        }
    }

    /// All of it.
    pub fn total(&self) -> f64 {
        let Self { weights, gradients, optimizer, average, activations, images, .. } = self;
        weights + gradients + optimizer + average + activations + images
    }
}

#[cfg(test)]
mod tests {
    use vitral_config::Document;
    use vitral_seed::Seed;

    use super::*;

    fn memory(train: &str, batch: Option<usize>) -> TrainingMemory {
        let text = format!(
            r#"(
                model: (image_size: 32, patch_size: 8, width: 32, depth: 2, heads: 2, classes: 5),
                data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])),
                train: ({train}),
            )"#
        );
        let experiment = Document::new("test", text).parse::<Experiment>().unwrap();
        let device = Device::flex();
        let model = ViT::new(&experiment.model, Seed::new(0), &device).unwrap();
        TrainingMemory::of(&experiment, &model, batch, &device)
    }

    #[test]
    fn optimizer_average_and_batch_have_their_say() {
        let adam = memory("batch: 8", None);
        assert_eq!((adam.optimizer, adam.average), (2.0 * adam.weights, 0.0));
        let sgd = memory("batch: 8, ema: 0.9, optimizer: Sgd(momentum: 0.0)", None);
        assert_eq!((sgd.optimizer, sgd.average), (0.0, sgd.weights));
        assert_eq!(memory("batch: 2", Some(8)), adam);
        let cut = memory("batch: 8, accum_steps: 4", None);
        assert_eq!((cut.micro_batch, cut.activations), (2, adam.activations / 4.0));
        let parts = adam.weights + adam.gradients + adam.optimizer;
        assert_eq!(adam.total(), parts + adam.activations + adam.images);
    }

    #[test]
    fn checkpointed_blocks_keep_what_goes_in_and_one_of_them_all() {
        let all = memory("batch: 8", None).activations;
        let again = memory("batch: 8, activation_checkpointing: EveryBlock", None).activations;
        // 17 tokens of 32 values into each of 2 blocks, and half of what both would keep.
        assert_eq!(again, 8.0 * (2.0 * 17.0 * 32.0 * 4.0) + all / 2.0);
    }
}
