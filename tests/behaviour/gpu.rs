//! The GPU path, run and not only compiled: on Mesa's software Vulkan driver where there is no GPU.

use burn::tensor::{Device, Tensor};
use vitral_model::{
    Compute,
    device::{DeviceChoice, Gpu},
};
use vitral_seed::Seed;
use vitral_train::{
    Error, Learner,
    experiment::TrainConfig,
    optimizer::Optimizer,
    precision::Precision,
    schedule::{Decay, Schedule},
};

use crate::support::{
    images::Workspace,
    largest_difference,
    oracle::{Archive, tiny_token},
    program::vitral,
    root, values,
};

/// Parameters after a few steps of SGD with all kinds of noise that are drawn on the host.
fn trained(device: &Device, precision: Precision) -> Result<Vec<(String, Vec<f32>)>, Error> {
    let config = TrainConfig {
        precision,
        accum_steps: 2,
        ema: Some(0.9),
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: true },
        ..TrainConfig::default()
    };
    let schedule = Schedule {
        decay: Decay::Cosine,
        peak: 0.03,
        floor: 0.0,
        warmup: 1,
        total: 4,
        ..Schedule::default()
    };
    let mut model = tiny_token();
    model.drop_path = 0.2;
    model.layer_scale = Some(0.5);
    model.qk_norm = true;
    model.rope = Some(100.0);
    let mut learner = Learner::new(&model, &config, schedule, Seed::new(0), device)?;
    let mut batch = Archive::open("train_batch.npz");
    let (images, targets): (Tensor<4>, Tensor<2>) =
        (batch.tensor("input_nhwc"), batch.tensor("labels_onehot"));
    for step in 0..4 {
        learner
            .step(step, images.clone().to_device(device), targets.clone().to_device(device))
            .unwrap();
    }
    let evaluated = vitral_model::parameters::values(&learner.evaluated().unwrap());
    let names = learner.parameters().iter().map(|info| info.name.clone());
    Ok(names.zip(evaluated.into_iter().map(values)).collect())
}

#[test]
fn the_program_trains_and_evaluates_on_wgpu() {
    let workspace = Workspace::new();
    let on_gpu = ["--device", "wgpu"];
    let train = ["train", "experiment.ron", "--set", "train.steps=4"];
    vitral(workspace.path(), &[&train[..], &on_gpu].concat()).succeeded();
    let loss = |device: &str| {
        let json = vitral(workspace.path(), &["eval", "run", "--json", "--device", device])
            .succeeded()
            .stdout;
        serde_json::from_str::<serde_json::Value>(&json).unwrap()["loss"].as_f64().unwrap()
    };
    let difference = (loss("wgpu") - loss("cpu")).abs();
    assert!(difference < 1e-3, "{difference}");
}

/// The first epoch has small images, and every layer merges tokens.
#[test]
fn the_program_merges_tokens_and_resizes_positions_on_wgpu() {
    let workspace = Workspace::new();
    let changes = [
        "train.steps=6",
        "train.image_size=[(until_epoch: 1, size: 4)]",
        "model.token_merging=(r: Constant(2))",
    ];
    let loss = |device: &str| {
        let output = format!("output={device}");
        let mut train = vec!["train", "experiment.ron", "--device", device, "--set", &output];
        train.extend(changes.iter().flat_map(|change| ["--set", change]));
        // Elementwise dropout is drawn by the device.
        train.extend(["--set", "model.dropout=0.0"]);
        vitral(workspace.path(), &train).succeeded();
        let evaluate = ["eval", device, "--json", "--device", device];
        let json = vitral(workspace.path(), &evaluate).succeeded().stdout;
        serde_json::from_str::<serde_json::Value>(&json).unwrap()["loss"].as_f64().unwrap()
    };
    let difference = (loss("wgpu") - loss("cpu")).abs();
    assert!(difference < 1e-3, "{difference}");
}

#[test]
fn training_on_wgpu_equals_training_on_the_cpu() {
    let gpu = DeviceChoice::Gpu(Gpu::Wgpu, 0)
        .open()
        .expect("a Vulkan driver, e.g. Debian's mesa-vulkan-drivers");
    let precision = Precision::F32;
    let trained = |device: &Device| trained(device, precision).unwrap();
    let (on_gpu, on_cpu) = (trained(&gpu), trained(&Device::flex()));
    let mut largest = 0.0;
    for ((name, gpu), (_, cpu)) in on_gpu.iter().zip(&on_cpu) {
        let difference = largest_difference(gpu, cpu);
        assert!(difference < 1e-3, "{name}: {difference}");
        largest = f32::max(largest, difference);
    }
    println!("parameters on wgpu and cpu differ by at most {largest:e}");
    let moved = on_cpu
        .iter()
        .zip(trained_start())
        .any(|((_, now), start)| largest_difference(now, &start) > 1e-2);
    assert!(moved, "training changed nothing");
}

/// WGSL has no `bf16`; whether a driver has `f16` differs.
#[test]
fn a_precision_that_the_device_lacks_is_named_before_training_starts() {
    let gpu = DeviceChoice::Gpu(Gpu::Wgpu, 0).open().unwrap();
    for (precision, compute) in [("BF16", Compute::BF16), ("F16()", Compute::F16)] {
        let is_supported = compute.is_supported(&gpu);
        println!("{precision} on {gpu:?}: {is_supported}");
        assert!(!is_supported || compute != Compute::BF16);
        let workspace = Workspace::new();
        let set = format!("train.precision={precision}");
        let arguments = ["train", "experiment.ron", "--device", "wgpu", "--set", "train.steps=3"];
        let run = vitral(workspace.path(), &[&arguments[..], &["--set", &set]].concat());
        if is_supported {
            run.succeeded();
            continue;
        }
        assert!(!run.status.success());
        let said = run.stderr;
        assert!(said.contains("train.precision"), "{said}");
        assert!(said.contains(&format!("asks for {}", compute.name())), "{said}");
        assert!(said.contains("it supports F32"), "{said}");
        assert!(!workspace.join("run").exists(), "a run was begun");
    }
}

/// Both round to 11 significant bits, though not after the same operations: a weight that has moved by
/// a tenth differs by a few roundings of that. A driver without `f16` refuses it.
#[test]
fn training_in_f16_on_wgpu_equals_training_in_f16_on_the_cpu() {
    let gpu = DeviceChoice::Gpu(Gpu::Wgpu, 0).open().unwrap();
    let precision = Precision::F16 {
        initial_scale: 1024.0,
        growth_factor: 2.0,
        backoff_factor: 0.5,
        growth_interval: 3,
    };
    let on_gpu = trained(&gpu, precision);
    if !Compute::F16.is_supported(&gpu) {
        let refused = on_gpu.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("asks for F16"), "{gpu:?} has no f16, but: {refused}");
        return;
    }
    let (on_gpu, on_cpu) = (on_gpu.unwrap(), trained(&Device::flex(), precision).unwrap());
    let mut largest = 0.0;
    for ((name, gpu), (_, cpu)) in on_gpu.iter().zip(&on_cpu) {
        let difference = largest_difference(gpu, cpu);
        assert!(difference < 1e-4, "{name}: {difference}");
        largest = f32::max(largest, difference);
    }
    println!("parameters in f16 on wgpu and cpu differ by at most {largest:e}");
}

#[test]
fn doctor_finds_that_wgpu_computes_what_the_cpu_does() {
    let said = vitral(&root(), &["doctor", "--gpu", "wgpu"]).succeeded().stdout;
    let of =
        |precision: &str| said.lines().find(|line| line.trim().starts_with(precision)).unwrap();
    assert!(of("f32").ends_with(": as expected"), "{said}");
    assert!(of("bf16").ends_with("not supported by this GPU"), "{said}");
}

fn trained_start() -> Vec<Vec<f32>> {
    let device = Device::flex();
    let mut model = tiny_token();
    model.layer_scale = Some(0.5);
    model.qk_norm = true;
    let model = vitral_model::ViT::new(&model, Seed::new(0), &device).unwrap();
    vitral_model::parameters::values(&model).into_iter().map(values).collect()
}
