//! A step's forward and backward without its result, to learn what memory they take.

use burn::tensor::{Tensor, TensorData};
use vitral_model::parameters;

use super::{
    Learner,
    within_memory::{wait_for, within_memory},
};
use crate::{
    Error,
    gradients::{clip_factor, global_norm, scale},
};

impl Learner {
    /// Runs forward and backward as a step of `batch` images in micro-batches of `size` would, and
    /// forgets the result: one micro-batch of a single image, and then one of this size while the
    /// first one's gradients wait to be added to.
    ///
    /// The size is set as by [`Learner::set_micro_batch`], since which blocks compute their
    /// activations again may depend on it. Weights, averages and random streams stay as they are.
    /// `is_fresh` says that no step has been made: what the first one adds for good is then held
    /// meanwhile.
    ///
    /// # Errors
    /// As [`Learner::gradients_within_memory`].
    pub(crate) fn rehearse(
        &mut self,
        batch: usize,
        size: usize,
        is_fresh: bool,
    ) -> Result<(), Error> {
        self.set_micro_batch(size);
        let values = parameters::values(&self.model);
        let device = values[0].device().without_autodiff();
        within_memory(|| {
            // The moving average shares the weights' memory until both differ.
            let shared = if is_fresh && self.ema.is_some() { &values[..] } else { &[] };
            let added: Vec<Tensor<1>> = shared.iter().map(Tensor::ones_like).collect();
            let config = self.model.config();
            let side = config.image_size;
            // By way of the host, as the images of a step come.
            let shape = [batch, side, side, config.channels];
            let images = vec![0.5_f32; shape.iter().product()];
            let images = Tensor::from_data(TensorData::new(images, shape), &device);
            let target = 1.0 / config.classes as f64;
            let targets = Tensor::full([batch, self.target_columns()], target, &device);
            // Neighbours that are as many as in a step, without their time.
            let mut parts = Vec::new();
            if size < batch {
                parts.push(0..1);
            }
            parts.push(batch - size.min(batch)..batch);
            let gradients = self.gradients_of(0, parts, images, targets, &mut |_| {});
            wait_for(&gradients.gradients, &gradients.loss)?;
            // What clipping and the update hold at the same time.
            let norm = global_norm(&gradients.gradients);
            let clipped = match self.config.clip_norm {
                // Where the update is one pass, clipping is a part of it.
                Some(limit) if !self.optimizer.is_one_pass(&values) => {
                    scale(gradients.gradients.clone(), &clip_factor(&norm, limit))
                }
                _ => gradients.gradients.clone(),
            };
            let updated: Vec<_> = values.iter().zip(clipped).map(|(v, g)| v.clone() - g).collect();
            drop((updated, added));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use vitral_model::{ActivationCheckpointing, ViTConfig};
    use vitral_seed::Seed;

    use super::*;
    use crate::{
        batch_size::BatchSize,
        experiment::TrainConfig,
        schedule::{Decay, Schedule},
    };

    /// A large micro-batch wants more blocks to compute their activations again than a small one.
    #[test]
    fn a_rehearsal_keeps_what_steps_of_its_size_keep() {
        let model = ViTConfig {
            image_size: 16,
            patch_size: Some(4),
            width: Some(32),
            depth: Some(4),
            heads: Some(2),
            classes: 3,
            ..ViTConfig::default()
        };
        let checkpointing = ActivationCheckpointing::Fit { mib: 1 };
        let config = TrainConfig {
            batch: BatchSize::Auto { effective: 64, memory: None },
            activation_checkpointing: checkpointing,
            ..TrainConfig::default()
        };
        let schedule = Schedule {
            decay: Decay::Constant,
            peak: 0.0,
            floor: 0.0,
            warmup: 0,
            total: 1,
            ..Schedule::default()
        };
        let mut learner =
            Learner::new(&model, &config, schedule, Seed::new(0), &Device::flex()).unwrap();
        let mut plans = Vec::new();
        for size in [64, 16, 8] {
            learner.rehearse(64, size, true).unwrap();
            let plan = learner.model().activation_checkpointing();
            assert_eq!(plan, checkpointing.plan(learner.model(), size, &Device::flex()));
            plans.push(plan.iter().filter(|&&again| again).count());
        }
        assert_eq!(plans, [4, 2, 0], "of blocks that keep 22 kB an image, and 4 kB where not");
    }
}
