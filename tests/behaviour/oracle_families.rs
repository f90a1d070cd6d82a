//! Numbers of google-research/vision_transformer for its other models: logits and gradients.

use burn::tensor::{Device, Tensor, TensorData};
use vitral_interchange::{Hints, Pretrained, Resize, read, to_task};
use vitral_model::{Mode, ViT, parameters};
use vitral_seed::Seed;
use vitral_train::{
    Learner,
    experiment::TrainConfig,
    schedule::{Decay, Schedule},
};

use crate::support::{
    largest_difference,
    oracle::{Archive, to_tensors},
    root, values,
};

const MODELS: [&str; 1] = ["tiny_mixer"];

/// Gradients of more values than this are stored in part: every 17th value.
const WHOLE: usize = 1000;

fn pretrained(name: &str) -> Pretrained {
    let path = root().join(format!("tests/fixtures/oracle/{name}.npz"));
    read(&path, &Hints::default()).unwrap()
}

fn weights(model: &Pretrained, infos: &[parameters::ParameterInfo]) -> Vec<Tensor<1>> {
    let values: Vec<Vec<f32>> =
        infos.iter().map(|info| model.tensors[&info.name].values.clone()).collect();
    to_tensors(&values, &Device::flex())
}

fn logits(model: &Pretrained, images: Tensor<4>) -> Vec<f32> {
    let vit = ViT::new(&model.config, Seed::new(0), &Device::flex()).unwrap();
    let weights = weights(model, &parameters::infos(&vit));
    values(parameters::with_values(vit, weights).forward(images, Mode::Eval))
}

#[test]
fn logits_of_other_models_equal_vit_jax() {
    for name in MODELS {
        let mut io = Archive::open(&format!("{name}.io.npz"));
        let found = logits(&pretrained(name), io.tensor("input_nhwc"));
        let difference = largest_difference(&found, &io.array("logits").1);
        println!("{name}: logits differ by at most {difference:e}");
        assert!(difference < 1e-5, "{name}: {difference}");
    }
}

/// The largest difference of each parameter's gradient, relative to the largest value in it.
#[test]
fn gradients_of_other_models_equal_vit_jax() {
    let schedule = Schedule { decay: Decay::Constant, peak: 0.0, floor: 0.0, warmup: 0, total: 1 };
    for name in MODELS {
        let model = pretrained(name);
        let (config, train) = (&model.config, TrainConfig::default());
        let mut learner =
            Learner::new(config, &train, schedule, Seed::new(0), &Device::flex()).unwrap();
        let infos = learner.parameters().to_vec();
        learner.set_values(weights(&model, &infos));
        let mut io = Archive::open(&format!("{name}.io.npz"));
        let found = learner.gradients(0, io.tensor("input_nhwc"), io.tensor("labels_onehot"));
        let loss = found.loss.into_scalar::<f32>();
        assert!((loss - io.array("loss").1[0]).abs() < 1e-5, "{name}: {loss}");
        let mut expected = Archive::open(&format!("{name}.grads.npz"));
        let mut largest = 0.0;
        for (info, found) in infos.iter().zip(found.gradients) {
            let step = if info.elements() > WHOLE { 17 } else { 1 };
            let found: Vec<f32> = values(found).into_iter().step_by(step).collect();
            let expected = expected.array(&info.name).1;
            let scale = expected.iter().fold(0.0f32, |scale, value| scale.max(value.abs()));
            let difference = largest_difference(&found, &expected) / scale;
            assert!(difference < 1e-5, "{name}: {}: {difference}", info.name);
            largest = f32::max(largest, difference);
        }
        println!("{name}: gradients differ by at most {largest:e} of their largest value");
    }
}

#[test]
fn an_mlp_mixer_is_not_taken_to_another_number_of_patches() {
    let error = to_task(pretrained("tiny_mixer"), Some(64), None, Resize::Zoom).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("4 x 4 patches, and cannot be taken to 8 x 8"), "{said}");
    assert!(said.contains("images of 32 px in patches of 8 px have 4 x 4"), "{said}");
}

#[test]
fn an_mlp_mixer_gets_another_head() {
    let model = to_task(pretrained("tiny_mixer"), None, Some(3), Resize::Zoom).unwrap();
    let images = TensorData::new(vec![0.5f32; 32 * 32 * 3], [1, 32, 32, 3]);
    let found = logits(&model, Tensor::from_data(images, &Device::flex()));
    assert_eq!(found, [0.0; 3], "a new head is zero");
}
