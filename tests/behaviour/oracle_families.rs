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

const MODELS: [&str; 3] = ["tiny_mixer", "tiny_root", "tiny_resnet"];

/// Gradients of more values than this are stored in part: every 17th value.
const WHOLE: usize = 1000;

fn pretrained(name: &str) -> Pretrained {
    let path = root().join(format!("tests/fixtures/oracle/{name}.npz"));
    read(&path, &Hints::default()).unwrap()
}

fn weights(
    model: &Pretrained,
    infos: &[parameters::ParameterInfo],
    device: &Device,
) -> Vec<Tensor<1>> {
    let values: Vec<Vec<f32>> =
        infos.iter().map(|info| model.tensors[&info.name].values.clone()).collect();
    to_tensors(&values, device)
}

fn logits(model: &Pretrained, images: Tensor<4>) -> Vec<f32> {
    let device = Device::flex();
    let vit = ViT::new(&model.config, Seed::new(0), &device).unwrap();
    let weights = weights(model, &parameters::infos(&vit), &device);
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

/// Compares loss and gradients on a device with those of the project; of each parameter, the largest
/// difference relative to the largest value in it. Where gradients cancel out (a bias of the MLP over
/// tokens moves all channels alike, which the next LayerNorm takes away), what is left is the rounding
/// of larger values: they are compared with a tenth of the model's largest gradient.
fn check_gradients(device: &Device, tolerance: f32) {
    let schedule = Schedule {
        decay: Decay::Constant,
        peak: 0.0,
        floor: 0.0,
        warmup: 0,
        total: 1,
        ..Schedule::default()
    };
    for name in MODELS {
        let model = pretrained(name);
        let (config, train) = (&model.config, TrainConfig::default());
        let mut learner = Learner::new(config, &train, schedule, Seed::new(0), device).unwrap();
        let infos = learner.parameters().to_vec();
        learner.set_values(weights(&model, &infos, device));
        let mut io = Archive::open(&format!("{name}.io.npz"));
        let images = io.tensor::<4>("input_nhwc").to_device(device);
        let found = learner.gradients(0, images, io.tensor::<2>("labels_onehot").to_device(device));
        let loss = found.loss.into_scalar::<f32>();
        assert!((loss - io.array("loss").1[0]).abs() < tolerance, "{name}: {loss}");
        let mut archive = Archive::open(&format!("{name}.grads.npz"));
        let expected: Vec<Vec<f32>> =
            infos.iter().map(|info| archive.array(&info.name).1).collect();
        let largest_of = |values: &[f32]| values.iter().fold(0.0f32, |l, v| l.max(v.abs()));
        let least = expected.iter().map(|values| largest_of(values)).fold(0.0, f32::max) / 10.0;
        let mut largest = 0.0;
        for ((info, found), expected) in infos.iter().zip(found.gradients).zip(&expected) {
            let step = if info.elements() > WHOLE { 17 } else { 1 };
            let found: Vec<f32> = values(found).into_iter().step_by(step).collect();
            let difference = largest_difference(&found, expected) / largest_of(expected).max(least);
            assert!(difference < tolerance, "{name}: {}: {difference}", info.name);
            largest = f32::max(largest, difference);
        }
        println!("{name}: gradients differ by at most {largest:e} of their largest value");
    }
}

#[test]
fn gradients_of_other_models_equal_vit_jax() {
    check_gradients(&Device::flex(), 1e-5);
}

/// Where Burn's own operations are composed, on Mesa's software Vulkan driver if there is no GPU.
#[cfg(feature = "gpu-tests")]
#[test]
fn gradients_of_other_models_equal_vit_jax_on_wgpu() {
    use vitral_model::device::{DeviceChoice, Gpu};

    let gpu = DeviceChoice::Gpu(Gpu::Wgpu, 0).open();
    check_gradients(&gpu.expect("a Vulkan driver, e.g. Debian's mesa-vulkan-drivers"), 1e-4);
}

#[test]
fn hybrids_are_taken_to_another_image_size_as_vit_jax_does() {
    for name in ["tiny_root", "tiny_resnet"] {
        let model = to_task(pretrained(name), Some(64), None, Resize::Zoom).unwrap();
        let mut io = Archive::open(&format!("{name}.io.npz"));
        let found = logits(&model, io.tensor("larger_nhwc"));
        let difference = largest_difference(&found, &io.array("larger_logits").1);
        println!("{name} at 64 px: logits differ by at most {difference:e}");
        assert!(difference < 1e-5, "{name}: {difference}");
        let headless = to_task(model, None, Some(3), Resize::Zoom).unwrap();
        assert_eq!(headless.tensors["head.weight"].values, [0.0; 16 * 3]);
    }
}

#[test]
fn an_mlp_mixer_is_not_taken_to_another_number_of_patches() {
    let error = to_task(pretrained("tiny_mixer"), Some(64), None, Resize::Zoom).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("4 x 4 patches, and cannot be adapted to 8 x 8"), "{said}");
    assert!(said.contains("images of 32 px in patches of 8 px have 4 x 4"), "{said}");
}

#[test]
fn an_mlp_mixer_gets_another_head() {
    let model = to_task(pretrained("tiny_mixer"), None, Some(3), Resize::Zoom).unwrap();
    let images = TensorData::new(vec![0.5f32; 32 * 32 * 3], [1, 32, 32, 3]);
    let found = logits(&model, Tensor::from_data(images, &Device::flex()));
    assert_eq!(found, [0.0; 3], "a new head is zero");
}
