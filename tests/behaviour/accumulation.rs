//! Gradient accumulation changes memory, not results.

use burn::tensor::{Device, Tensor};
use vitral_seed::Seed;
use vitral_train::{
    BatchGradients, Learner,
    experiment::TrainConfig,
    schedule::{Decay, Schedule},
};

use crate::support::{
    largest_difference,
    oracle::{Archive, tiny_token, to_tensors},
    values,
};

fn gradients(accum_steps: usize) -> BatchGradients {
    let device = Device::flex();
    let config = TrainConfig { accum_steps, ..TrainConfig::default() };
    let schedule = Schedule {
        decay: Decay::Constant,
        peak: 0.0,
        floor: 0.0,
        warmup: 0,
        total: 1,
        ..Schedule::default()
    };
    let mut learner =
        Learner::new(&tiny_token(), &config, schedule, Seed::new(0), &device).unwrap();
    let weights = Archive::open("tiny_token.npz").parameters(learner.parameters());
    learner.set_values(to_tensors(&weights, &device));
    let mut batch = Archive::open("train_batch.npz");
    let (images, targets): (Tensor<4>, Tensor<2>) =
        (batch.tensor("input_nhwc"), batch.tensor("labels_onehot"));
    learner.gradients(0, images, targets)
}

#[test]
fn accumulated_loss_and_gradients_equal_those_of_the_large_batch() {
    let whole = gradients(1);
    // 3 does not divide the batch of 8: micro-batches of 3, 3 and 2 images.
    for accum_steps in [2, 3, 4, 8] {
        let parts = gradients(accum_steps);
        let difference = largest_difference(&values(parts.loss), &values(whole.loss.clone()));
        assert!(difference < 1e-6, "{accum_steps} micro-batches: the loss differs by {difference}");
        assert_eq!(values(parts.correct), values(whole.correct.clone()));
        for (part, whole) in parts.gradients.into_iter().zip(&whole.gradients) {
            let difference = largest_difference(&values(part), &values(whole.clone()));
            assert!(
                difference < 1e-6,
                "{accum_steps} micro-batches: a gradient differs by {difference}"
            );
        }
    }
}
