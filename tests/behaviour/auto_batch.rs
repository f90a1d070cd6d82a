//! `batch: Auto(...)` decides how a batch is cut, and nothing else.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use burn::tensor::{Device, Tensor};
use serde_json::Value;
use vitral_seed::Seed;
use vitral_train::{
    BatchGradients, Error, Event, Experiment, Learner, MemoryFault, Outcome, Trainer,
    batch_size::{BatchSize, MemorySize},
    checkpoint::{self, Checkpoint},
    experiment::TrainConfig,
    mix::Mix,
    plugins::Registry,
    schedule::{Decay, Schedule},
};

use crate::support::{
    images::Workspace,
    largest_difference,
    oracle::{Archive, tiny_token},
    program::vitral,
    values,
};

/// Every kind of noise, and the gradients of the oracle's batch of 8.
fn gradients(batch: BatchSize, cut: Option<usize>) -> BatchGradients {
    let device = Device::flex();
    let mix = Mix { mixup: 0.3, cutmix: 0.5, ..Mix::default() };
    let config = TrainConfig { batch, mix, ..TrainConfig::default() };
    let schedule = Schedule {
        decay: Decay::Constant,
        peak: 0.0,
        floor: 0.0,
        warmup: 0,
        total: 1,
        ..Schedule::default()
    };
    let mut model = tiny_token();
    (model.drop_path, model.dropout, model.attention_dropout) = (0.4, 0.2, 0.2);
    let mut learner = Learner::new(&model, &config, schedule, Seed::new(3), &device).unwrap();
    if let Some(images) = cut {
        learner.set_micro_batch(images);
    }
    let mut archive = Archive::open("train_batch.npz");
    let (images, targets): (Tensor<4>, Tensor<2>) =
        (archive.tensor("input_nhwc"), archive.tensor("labels_onehot"));
    learner.gradients(5, images, targets)
}

#[test]
fn noise_and_mixing_do_not_depend_on_the_cut() {
    let auto = BatchSize::Auto { effective: 8, memory: None };
    let whole = gradients(BatchSize::Fixed(8), None);
    for cut in [1, 2, 3, 5, 8] {
        let parts = gradients(auto, Some(cut));
        let difference = largest_difference(&values(parts.loss), &values(whole.loss.clone()));
        assert!(difference < 2e-6, "cut by {cut}: the loss differs by {difference}");
        assert_eq!(values(parts.correct), values(whole.correct.clone()), "cut by {cut}");
        for (part, whole) in parts.gradients.into_iter().zip(&whole.gradients) {
            let difference = largest_difference(&values(part), &values(whole.clone()));
            assert!(difference < 2e-6, "cut by {cut}: a gradient differs by {difference}");
        }
    }
}

/// The workspace's experiment, whose batch of 16 is not cut; every kind of noise is on.
fn experiment(workspace: &Workspace, output: &str, batch: BatchSize) -> Experiment {
    let text = fs::read_to_string(workspace.join("experiment.ron")).unwrap();
    let document = vitral_config::Document::new("experiment.ron", text);
    let mut experiment: Experiment = document.parse().unwrap();
    experiment.resolve_paths(workspace.path());
    experiment.output = workspace.join(output);
    experiment.train.batch = batch;
    experiment.train.accum_steps = 1;
    experiment
}

/// Without plugins.
fn registry() -> Registry {
    Registry::new(Vec::new(), vitral_bundle::Trust::default(), None)
}

fn auto() -> BatchSize {
    BatchSize::Auto { effective: 16, memory: Some(MemorySize::new(64 << 30)) }
}

/// Runs to the end, and gives what the user was told.
fn finish(mut trainer: Trainer) -> (Outcome, Vec<String>) {
    let mut notices = Vec::new();
    let mut observer = |event: &Event| {
        if let Some((from, message)) = event.words() {
            notices.push(format!("{from}: {message}"));
        }
    };
    let outcome = trainer.run(&mut observer, &AtomicBool::new(false)).unwrap();
    (outcome, notices)
}

fn run(experiment: Experiment, fault: Option<MemoryFault>) -> Vec<String> {
    let device = Device::flex();
    let mut trainer = Trainer::new(experiment, &registry(), &device).unwrap();
    if let Some(fault) = fault {
        trainer.set_memory_fault(fault);
    }
    finish(trainer).1
}

fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A figure of all lines of a kind.
fn figures(run: &Path, kind: &str, name: &str) -> Vec<f64> {
    let lines = metrics(run);
    let lines = lines.iter().filter(|line| line["kind"] == kind);
    lines.map(|line| line[name].as_f64().unwrap_or_else(|| panic!("{name} in {line}"))).collect()
}

/// Losses of all steps and evaluations, and the weights at the end.
#[track_caller]
fn assert_close(found: &Path, expected: &Path) {
    for (kind, name) in [("step", "loss"), ("step", "learning_rate"), ("eval", "loss")] {
        let (found, expected) = (figures(found, kind, name), figures(expected, kind, name));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-4, "{kind} {name}: {found} is not {expected}");
        }
    }
    assert!(figures(expected, "step", "loss")[0] != figures(expected, "step", "loss")[11]);
}

fn weights(run: &Path) -> Vec<Vec<u8>> {
    let last = fs::read_to_string(run.join("last")).unwrap();
    let files = ["model.safetensors", "ema.safetensors", "optimizer.safetensors"];
    files.iter().map(|file| fs::read(run.join(last.trim()).join(file)).unwrap()).collect()
}

#[test]
fn whatever_fits_the_results_are_those_of_the_whole_batch() {
    let workspace = Workspace::new();
    run(experiment(&workspace, "whole", BatchSize::Fixed(16)), None);
    for (output, most) in [("all", usize::MAX), ("five", 5), ("one", 1)] {
        let fault: MemoryFault = Box::new(move |_, images| images > most);
        let notices = run(experiment(&workspace, output, auto()), Some(fault));
        let sizes = figures(&workspace.join(output), "step", "micro_batch");
        // The largest power of two that fits.
        let expected = match most {
            5 => 4,
            most => most.min(16),
        };
        assert_eq!(sizes, [expected as f64; 12]);
        let images = if expected == 1 { "image" } else { "images" };
        let said = format!("micro-batches of {expected} {images}, {} per step", 16 / expected);
        assert!(notices[0].contains(&said), "{notices:?}");
        assert_close(&workspace.join(output), &workspace.join("whole"));
    }
    // Not cut, it is the very same.
    assert!(weights(&workspace.join("all")) == weights(&workspace.join("whole")));
    assert!(weights(&workspace.join("one")) != weights(&workspace.join("whole")));
}

/// Before each try, so that it is seen what a long one is about.
#[test]
fn every_try_for_a_micro_batch_is_told_of() {
    let workspace = Workspace::new();
    let mut trainer =
        Trainer::new(experiment(&workspace, "run", auto()), &registry(), &Device::flex()).unwrap();
    trainer.set_memory_fault(Box::new(|_, images| images > 5));
    let mut told = Vec::new();
    let mut observer = |event: &Event| match event {
        Event::Probing { images } => told.push(*images),
        Event::Stepped(report) if report.step == 1 => told.push(0),
        _ => {}
    };
    trainer.run(&mut observer, &AtomicBool::new(false)).unwrap();
    assert_eq!(told, [1, 2, 4, 8, 0], "ahead of the first step, and never after it");
}

#[test]
fn a_step_that_runs_out_of_memory_is_made_again_and_nothing_is_lost() {
    let workspace = Workspace::new();
    run(experiment(&workspace, "whole", BatchSize::Fixed(16)), None);
    // From the sixth step on, no more than 4 images fit; the second micro-batch of 8 is what fails.
    let micro_batches = AtomicUsize::new(0);
    let fault: MemoryFault = Box::new(move |step, images| {
        step >= 5
            && images > 4
            && (images == 16 || micro_batches.fetch_add(1, Ordering::Relaxed) == 1)
    });
    let notices = run(experiment(&workspace, "recovered", auto()), Some(fault));
    let recovered = workspace.join("recovered");
    let sizes = figures(&recovered, "step", "micro_batch");
    assert_eq!(sizes, [[16.0; 5].as_slice(), &[4.0; 7]].concat());
    let again: Vec<&String> = notices.iter().filter(|notice| notice.contains("repeated")).collect();
    assert_eq!(again.len(), 2, "{notices:?}");
    assert!(again[1].contains("micro-batches of 8 images ran out of memory"), "{notices:?}");
    let kept = metrics(&recovered);
    assert!(kept.iter().any(|line| line["kind"] == "notice" && line["step"] == 5));
    assert_close(&recovered, &workspace.join("whole"));
}

#[test]
fn a_step_that_fits_in_no_size_ends_the_run_with_an_error() {
    let workspace = Workspace::new();
    let device = Device::flex();
    let open = |output: &str, first: u64| {
        let experiment = experiment(&workspace, output, auto());
        let mut trainer = Trainer::new(experiment, &registry(), &device).unwrap();
        trainer.set_memory_fault(Box::new(move |step, _| step >= first));
        trainer.run(&mut |_: &Event| {}, &AtomicBool::new(false)).unwrap_err()
    };
    assert!(matches!(open("later", 3), Error::OutOfMemory(_)));
    let at_once = open("at-once", 0);
    assert!(matches!(&at_once, Error::Experiment(problem) if problem.field == "train.batch"));
}

#[test]
fn a_larger_size_is_tried_again_after_many_good_steps() {
    let workspace = Workspace::new();
    let mut experiment = experiment(&workspace, "run", auto());
    experiment.train.steps = Some(410);
    (experiment.train.log_every, experiment.checkpoints.keep) = (1, 1);
    // One failure, which does not come again.
    let failed = Arc::new(AtomicBool::new(false));
    let fault: MemoryFault =
        Box::new(move |step, _| step == 3 && !failed.swap(true, Ordering::Relaxed));
    let notices = run(experiment, Some(fault));
    let sizes = figures(&workspace.join("run"), "step", "micro_batch");
    // Made again in halves, 200 good steps with these, and then whole again.
    assert_eq!(sizes[..3], [16.0; 3]);
    assert_eq!(sizes[3..202], [8.0; 199]);
    assert_eq!(sizes[203..], [16.0; 207]);
    assert!(notices.iter().any(|notice| notice.contains("trying micro-batches of 16")));
}

#[test]
fn resumed_run_equals_uninterrupted_run_after_running_out_of_memory() {
    let workspace = Workspace::new();
    let fault = || -> MemoryFault { Box::new(|step, images| step >= 4 && images > 4) };
    run(experiment(&workspace, "run", auto()), Some(fault()));
    let (whole, steps) = (weights(&workspace.join("run")), metrics(&workspace.join("run")).len());
    for step in [3, 6] {
        let path = workspace.join(&format!("run/checkpoints/step-{step:08}"));
        let checkpoint = Checkpoint::load(&path).unwrap();
        assert_eq!(
            checkpoint.state.micro_batch.as_ref().map(vitral_train::MicroBatch::size),
            Some(if step == 3 { 16 } else { 4 })
        );
        let mut trainer = Trainer::resume(checkpoint, &registry(), &Device::flex()).unwrap();
        trainer.set_memory_fault(fault());
        let (outcome, notices) = finish(trainer);
        assert_eq!(outcome.step, 12);
        let probed = notices.iter().any(|notice| notice.contains("per step"));
        assert!(!probed, "it was known what fits: {notices:?}");
        assert!(weights(&workspace.join("run")) == whole, "resumed at step {step}");
        assert_eq!(metrics(&workspace.join("run")).len(), steps);
    }
    assert!(checkpoint::newest(&workspace.join("run")).is_some());
}

#[test]
fn a_run_goes_on_when_its_batch_becomes_a_number_and_auto_again() {
    let workspace = Workspace::new();
    run(experiment(&workspace, "run", auto()), None);
    for (steps, batch, sizes) in [(14, BatchSize::Fixed(16), 12), (16, auto(), 14)] {
        let last = checkpoint::newest(&workspace.join("run")).unwrap();
        let mut checkpoint = Checkpoint::load(&last).unwrap();
        checkpoint.experiment.train.batch = batch;
        checkpoint.experiment.train.steps = Some(steps);
        let trainer = Trainer::resume(checkpoint, &registry(), &Device::flex()).unwrap();
        assert_eq!(finish(trainer).0.step, steps);
        let lines = metrics(&workspace.join("run"));
        let found = lines.iter().filter(|line| line.get("micro_batch").is_some()).count();
        assert_eq!(found, sizes);
    }
}

#[test]
fn the_program_stays_below_a_memory_limit_and_says_so() {
    let workspace = Workspace::new();
    let batch = "train.batch=Auto(effective: 16, memory: \"48 GiB\")";
    let arguments = ["train", "experiment.ron", "--set", batch, "--set", "train.accum_steps=1"];
    let said = vitral(workspace.path(), &arguments).succeeded().stderr;
    assert!(said.contains("micro-batches of 16 images, 1 per step"), "{said}");
    let said = vitral(workspace.path(), &["train", "--resume", "run", "--set", "train.steps=14"])
        .succeeded()
        .stderr;
    assert!(said.contains("micro-batches of 16 images, as found before"), "{said}");
    // Another limit has it look again; no program is that small.
    let tight = "train.batch=Auto(effective: 16, memory: \"1 MiB\")";
    let arguments = ["train", "--resume", "run", "--set", tight, "--set", "train.steps=16"];
    let said = vitral(workspace.path(), &arguments).failed_with(2).stderr;
    assert!(!said.contains("found before"), "{said}");
    assert!(said.contains("train.batch") && said.contains("1.00 MiB"), "{said}");
    let both = vitral(workspace.path(), &["train", "experiment.ron", "--set", batch]);
    let said = both.failed_with(2).stderr;
    assert!(said.contains("accum_steps") && said.contains("leave `accum_steps` out"), "{said}");
    vitral(workspace.path(), &["eval", "run"]).succeeded();
}

/// The same on a GPU. The failure is injected there, too: a step that is really too large for the
/// software driver never returns from it.
#[cfg(feature = "gpu-tests")]
mod gpu {
    use vitral_model::{
        device::{DeviceChoice, Gpu},
        parameters,
    };

    use super::*;

    fn learner(device: &Device) -> Learner {
        let batch = BatchSize::Auto { effective: 8, memory: None };
        let config = TrainConfig { batch, ..TrainConfig::default() };
        let schedule = Schedule {
            decay: Decay::Constant,
            peak: 1e-3,
            floor: 1e-3,
            warmup: 0,
            total: 9,
            ..Schedule::default()
        };
        let mut model = tiny_token();
        (model.drop_path, model.dropout) = (0.4, 0.2);
        Learner::new(&model, &config, schedule, Seed::new(3), device).unwrap()
    }

    fn read(gradients: BatchGradients) -> Vec<f32> {
        gradients.gradients.into_iter().flat_map(values).collect()
    }

    #[test]
    fn a_gpu_that_ran_out_of_memory_makes_the_step_again() {
        let device = DeviceChoice::Gpu(Gpu::Wgpu, 0)
            .open()
            .expect("a Vulkan driver, e.g. Debian's mesa-vulkan-drivers");
        let mut learner = learner(&device);
        let mut archive = Archive::open("train_batch.npz");
        let images: Tensor<4> = archive.tensor("input_nhwc");
        let targets: Tensor<2> = archive.tensor("labels_onehot");
        let (images, targets) = (images.to_device(&device), targets.to_device(&device));
        let before: Vec<Vec<f32>> =
            parameters::values(learner.model()).into_iter().map(values).collect();
        let whole = learner.gradients_within_memory(5, images.clone(), targets.clone()).unwrap();
        let whole = read(whole);
        learner.set_memory_fault(Box::new(|_, count| count > 4));
        let error = learner.gradients_within_memory(5, images.clone(), targets.clone()).err();
        assert!(matches!(error, Some(Error::OutOfMemory(_))), "{error:?}");
        for cut in [4, 3] {
            learner.set_micro_batch(cut);
            let parts =
                learner.gradients_within_memory(5, images.clone(), targets.clone()).unwrap();
            let difference = largest_difference(&read(parts), &whole);
            assert!(difference < 1e-5, "cut by {cut}: {difference}");
        }
        let after = parameters::values(learner.model()).into_iter().map(values);
        assert!(before.into_iter().eq(after), "weights changed");
    }
}
