//! Numbers of google-research/vision_transformer: logits, gradients, and a training trace.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use vitral_model::{Mode, ViT, parameters};
use vitral_seed::Seed;
use vitral_train::{
    Learner,
    experiment::TrainConfig,
    optimizer::Optimizer,
    schedule::{Decay, Schedule},
};

use crate::support::{
    largest_difference,
    oracle::{Archive, tiny_token, to_tensors},
    root, values,
};

const SCHEDULE: Schedule = Schedule {
    decay: Decay::Cosine,
    peak: 0.03,
    floor: 0.0,
    warmup: 5,
    total: 20,
    start: 0.0,
    decay_from: None,
    interval: 1,
    lag: 0,
    lead: 0,
};

#[test]
fn logits_equal_vit_jax() {
    let device = Device::flex();
    let model = ViT::new(&tiny_token(), Seed::new(0), &device).unwrap();
    let weights = Archive::open("tiny_token.npz").parameters(&parameters::infos(&model));
    let model = parameters::with_values(model, to_tensors(&weights, &device));
    let mut io = Archive::open("tiny_token.io.npz");
    let logits = model.forward(io.tensor("input_nhwc"), Mode::Eval);
    let difference = largest_difference(&values(logits), &io.array("logits").1);
    println!("logits differ by at most {difference:e}");
    assert!(difference < 1e-5, "{difference}");
}

fn learner(config: &TrainConfig, schedule: Schedule) -> Learner {
    let device = Device::flex();
    let mut learner = Learner::new(&tiny_token(), config, schedule, Seed::new(0), &device).unwrap();
    let weights = Archive::open("tiny_token.npz").parameters(learner.parameters());
    learner.set_values(to_tensors(&weights, &device));
    learner
}

fn batch() -> (Tensor<4>, Tensor<2>) {
    let mut batch = Archive::open("train_batch.npz");
    (batch.tensor("input_nhwc"), batch.tensor("labels_onehot"))
}

#[test]
fn gradients_equal_vit_jax() {
    let mut learner = learner(&TrainConfig::default(), SCHEDULE);
    let expected = Archive::open("train_grads.npz").parameters(learner.parameters());
    let (images, targets) = batch();
    let found = learner.gradients(0, images, targets);
    let mut largest = 0.0;
    for ((info, expected), found) in learner.parameters().iter().zip(&expected).zip(found.gradients)
    {
        let difference = largest_difference(&values(found), expected);
        assert!(difference < 1e-5, "{}: {difference}", info.name);
        largest = f32::max(largest, difference);
    }
    println!("gradients differ by at most {largest:e}");
}

/// 20 steps with accumulation, clipping, momentum, warm-up and cosine, against the reference's
/// losses and final parameters.
#[test]
fn training_trace_equals_vit_jax() {
    let config = TrainConfig {
        accum_steps: 4,
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: false },
        weight_decay: 0.0,
        clip_norm: Some(1.0),
        ..TrainConfig::default()
    };
    let mut learner = learner(&config, SCHEDULE);
    let index = std::fs::read_to_string(root().join("tests/fixtures/oracle/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let losses = index["train20_f32"]["losses"].as_array().unwrap();
    let first_norm = index["train20_f32"]["grad_norm_step0"].as_f64().unwrap();
    assert_eq!(losses.len(), 20);
    let (images, targets) = batch();
    for (step, expected) in losses.iter().enumerate() {
        let learned = learner.step(step as u64, images.clone(), targets.clone()).unwrap();
        let loss = f64::from(learned.loss.into_scalar::<f32>());
        let expected = expected.as_f64().unwrap();
        assert!((loss - expected).abs() < 1e-4, "step {step}: {loss} is not {expected}");
        if step == 0 {
            let norm = f64::from(learned.gradient_norm.into_scalar::<f32>());
            assert!((norm - first_norm).abs() < 1e-4, "{norm} is not {first_norm}");
        }
    }
    let expected = Archive::open("train20_params_f32.npz").parameters(learner.parameters());
    let found = parameters::values(&learner.model().valid());
    let mut largest = 0.0;
    for ((info, expected), found) in learner.parameters().iter().zip(&expected).zip(found) {
        let difference = largest_difference(&values(found), expected);
        assert!(difference < 1e-4, "{}: {difference}", info.name);
        largest = f32::max(largest, difference);
    }
    println!("parameters after 20 steps differ by at most {largest:e}");
}
