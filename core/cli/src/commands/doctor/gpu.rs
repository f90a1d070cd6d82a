//! `vitral doctor --gpu`: whether a GPU computes what the CPU does.
//!
//! Both train the same small model on the same images from the same weights, in each precision that the GPU has. The
//! CPU in `f32` is what all is held against. How far another precision may be from that is measured, too: as far as the
//! CPU in that precision is, times [`SLACK`], since two ways to round are not the same, but alike.

use std::process::ExitCode;

use burn::tensor::Tensor;
use vitral_model::{
    Compute, ViTConfig,
    device::{Device, DeviceChoice, Gpu, describe},
    init::Init,
    parameters,
};
use vitral_seed::Seed;
use vitral_train::{
    Error, Learner,
    experiment::TrainConfig,
    loss::targets,
    optimizer::Optimizer,
    precision::Precision,
    schedule::{Decay, Schedule},
};

use crate::failure::Failure;

/// Steps of training: enough for weights to move, and for errors to add up.
const STEPS: u64 = 6;
const BATCH: usize = 8;
const CLASSES: usize = 10;
/// Tokens and widths are such that kernels have edges to take care of, and several tiles.
const IMAGE_SIZE: usize = 56;
/// How many times as far as the CPU in the same precision a GPU may be from the CPU in `f32`.
const SLACK: f64 = 4.0;
/// How far two devices may be apart that both compute in `f32`: sums are taken in another order.
const EXACT: f64 = 1e-4;

pub fn run(choice: DeviceChoice) -> Result<ExitCode, Failure> {
    let Some((gpu, index)) = choice.gpu() else {
        let message = "`auto` finds no GPU: name one, as in `--gpu cuda` or `--gpu wgpu`; `vitral \
                       doctor` shows which devices are available";
        return Err(Failure::Usage(message.into()));
    };
    let device = gpu.open(index)?;
    println!("{}", describe(&device));
    if let Some(details) = gpu.details(index) {
        println!("{details}");
    }
    println!(
        "differences of a small model after {STEPS} steps from the CPU in f32 (in parentheses, the \
         most that is expected)"
    );
    let (cpu, mut all_well) = (Device::flex(), true);
    let reference = train(&cpu, Compute::F32)?;
    for compute in [Compute::F32, Compute::BF16, Compute::F16] {
        if !compute.is_supported(&device) {
            println!("  {:5} not supported by this GPU", compute.name());
            continue;
        }
        let like = rounds_like(gpu, compute);
        let expected = match like {
            Compute::F32 => Differences { losses: EXACT, gradients: EXACT, weights: EXACT },
            like => train(&cpu, like)?.differences(&reference).times(SLACK),
        };
        let found = train(&device, compute)?.differences(&reference);
        let well = found.are_within(&expected);
        all_well &= well;
        println!(
            "  {:5} losses {}, gradients {}, weights {}: {}",
            compute.name(),
            told(found.losses, expected.losses),
            told(found.gradients, expected.gradients),
            told(found.weights, expected.weights),
            if well { "as expected" } else { "NOT as expected" }
        );
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whose rounding a GPU's is like. In `f32`, tensor cores of NVIDIA's take operands of products as TF32, which has the
/// 11 significant bits of `f16`.
fn rounds_like(gpu: Gpu, compute: Compute) -> Compute {
    match (gpu, compute) {
        (Gpu::Cuda, Compute::F32) => Compute::F16,
        (_, compute) => compute,
    }
}

fn told(found: f64, expected: f64) -> String {
    format!("{found:.1e} ({expected:.1e})")
}

/// What training comes to.
struct Trained {
    /// Of each step.
    losses: Vec<f32>,
    /// Of the first step, all parameters.
    gradients: Vec<f32>,
    /// How far they have moved.
    moved: Vec<f32>,
}

/// How far two trainings are apart, each as a share of the second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Differences {
    losses: f64,
    gradients: f64,
    weights: f64,
}

impl Differences {
    fn times(self, factor: f64) -> Self {
        let Self { losses, gradients, weights } = self;
        // Sums in another order come on top.
        let scaled = |value: f64| value * factor + EXACT;
        Self { losses: scaled(losses), gradients: scaled(gradients), weights: scaled(weights) }
    }

    /// Never, where something is not a number.
    fn are_within(&self, limit: &Self) -> bool {
        self.losses <= limit.losses
            && self.gradients <= limit.gradients
            && self.weights <= limit.weights
    }
}

impl Trained {
    fn differences(&self, reference: &Self) -> Differences {
        Differences {
            losses: distance(&self.losses, &reference.losses),
            gradients: distance(&self.gradients, &reference.gradients),
            weights: distance(&self.moved, &reference.moved),
        }
    }
}

/// The norm of what two lists differ by, as a share of the second's.
fn distance(found: &[f32], reference: &[f32]) -> f64 {
    let norm =
        |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let pairs = found.iter().zip(reference);
    let apart = norm(&mut pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let whole = norm(&mut reference.iter().map(|value| f64::from(*value)));
    (apart / whole).sqrt()
}

fn train(device: &Device, compute: Compute) -> Result<Trained, Error> {
    let model = ViTConfig {
        image_size: IMAGE_SIZE,
        classes: CLASSES,
        patch_size: Some(8),
        width: Some(96),
        depth: Some(2),
        heads: Some(3),
        // A head of zeros would keep gradients from everything else.
        init: Init::Timm,
        ..ViTConfig::default()
    };
    let config = TrainConfig {
        precision: precision(compute),
        // AdamW would move a weight as far for the smallest of gradients as for the largest.
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: false },
        ..TrainConfig::default()
    };
    let schedule = Schedule {
        decay: Decay::Constant,
        peak: 0.05,
        floor: 0.05,
        total: STEPS,
        ..Schedule::default()
    };
    let mut learner = Learner::new(&model, &config, schedule, Seed::new(0), device)?;
    let start = flat(&parameters::values(&learner.evaluated()?))?;
    let (images, targets) = batch(model.channels, device);
    let (mut losses, mut first) = (Vec::new(), Vec::new());
    for step in 0..STEPS {
        let gradients = learner.gradients(step, images.clone(), targets.clone());
        if step == 0 {
            first = flat(&gradients.gradients)?;
        }
        losses.extend(flat(&[learner.apply(step, gradients, 1.0)?.loss])?);
    }
    let end = flat(&parameters::values(&learner.evaluated()?))?;
    let moved = end.iter().zip(&start).map(|(end, start)| end - start).collect();
    Ok(Trained { losses, gradients: first, moved })
}

fn precision(compute: Compute) -> Precision {
    match compute {
        Compute::F32 => Precision::F32,
        Compute::BF16 => Precision::BF16,
        // With a scale that no gradient of this model overflows.
        Compute::F16 => Precision::F16 {
            initial_scale: 1024.0,
            growth_factor: 2.0,
            backoff_factor: 0.5,
            growth_interval: 2000,
        },
    }
}

/// Images with some structure, which both devices are given, and a class for each.
fn batch(channels: usize, device: &Device) -> (Tensor<4>, Tensor<2>) {
    let shape = [BATCH, IMAGE_SIZE, IMAGE_SIZE, channels];
    let pixel =
        |index: usize| (index as f32 * 0.37).sin() * 0.7 + (index * 7919 % 613) as f32 / 1000.0;
    let pixels: Vec<f32> = (0..shape.iter().product()).map(pixel).collect();
    let labels: Vec<u32> = (0..BATCH as u32).map(|index| index * 7 % CLASSES as u32).collect();
    let images = Tensor::<1>::from_floats(pixels.as_slice(), device).reshape(shape);
    (images, targets(&labels, CLASSES, 0.0, device))
}

/// Tensors read back, one after the other.
fn flat(tensors: &[Tensor<1>]) -> Result<Vec<f32>, Error> {
    let mut values = Vec::new();
    for tensor in tensors {
        let data =
            tensor.clone().try_into_data().map_err(|error| Error::Device(error.to_string()))?;
        values.extend(data.iter::<f32>());
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_differ_by_their_rounding_and_exact_ones_do_not() {
        let cpu = Device::flex();
        let all = [Compute::F32, Compute::F32, Compute::F16, Compute::BF16];
        let [reference, again, f16, bf16] = all.map(|compute| train(&cpu, compute).unwrap());
        let of = |trained: &Trained| trained.differences(&reference);
        let none = Differences { losses: 0.0, gradients: 0.0, weights: 0.0 };
        assert_eq!(of(&again), none);
        let (f16, bf16) = (of(&f16), of(&bf16));
        assert!(f16.gradients > 1e-5 && f16.gradients < bf16.gradients, "{f16:?} {bf16:?}");
        assert!(bf16.gradients < 0.1 && bf16.weights < 0.1, "{bf16:?}");
        // One is not taken for the other.
        assert!(f16.are_within(&bf16.times(SLACK)));
        assert!(!bf16.are_within(&none.times(SLACK)));
    }

    #[test]
    fn a_device_that_computes_nothing_is_noticed() {
        let of = |value: f32| Trained {
            losses: vec![value; 3],
            gradients: vec![value; 3],
            moved: vec![value; 3],
        };
        let limit = Differences { losses: 0.5, gradients: 0.5, weights: 0.5 };
        for (value, is_well) in [(1.0, true), (1.4, true), (0.0, false), (f32::NAN, false)] {
            assert_eq!(of(value).differences(&of(1.0)).are_within(&limit), is_well, "{value}");
        }
    }
}
