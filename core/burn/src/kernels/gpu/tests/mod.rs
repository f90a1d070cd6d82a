//! Every kernel against those of the CPU, forward and backward, at sizes of Vision Transformers.

mod attention;
mod block;
mod optimizer;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    compute::Compute,
    device::{DeviceChoice, Gpu},
    kernels::{cross_entropy, layer_norm, linear, looked_up, top_k},
};

fn gpu() -> Device {
    DeviceChoice::Gpu(Gpu::Wgpu, 0).open().unwrap()
}

/// The types that a device calculates with, each with how far its rounding takes results, as a part of the largest.
fn types(device: &Device) -> Vec<(FloatDType, f64)> {
    let all = [(Compute::F32, 2e-5), (Compute::F16, 6e-3), (Compute::BF16, 5e-2)];
    let supported = all.into_iter().filter(|(compute, _)| compute.is_supported(device));
    supported.map(|(compute, rounding)| (compute.dtype(), rounding)).collect()
}

/// Values that are the same at each call, rounded as `bf16` and `f16` have them.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut random = SmallRng::seed_from_u64(seed);
    (0..count).map(|_| (random.random_range(-1.5f32..1.5) * 64.0).round() / 64.0).collect()
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.cast(FloatDType::F32).try_into_vec_as().unwrap()
}

fn assert_close(name: &str, found: &[f32], wanted: &[f32], rounding: f64) {
    assert_eq!(found.len(), wanted.len(), "{name}");
    let largest = wanted.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let limit = rounding * f64::from(largest);
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let error = f64::from((found - wanted).abs());
        assert!(error <= limit, "{name}: {found} is not {wanted} at {at}, by more than {limit}");
    }
}

#[test]
fn a_gpu_finds_the_largest_values_that_the_host_does() {
    let device = gpu();
    // Many are equal, and zeros have both signs.
    let some = |count| values(count, 9).into_iter().map(|value| (value * 3.0).round() / 3.0);
    for [outer, size, inner, k] in [[3, 7, 1, 4], [2, 130, 5, 130], [4, 1, 3, 1], [1, 900, 1, 1]] {
        let lanes: Vec<f32> = some(outer * size * inner).collect();
        let mut wanted = Vec::new();
        for lane in lanes.chunks(size * inner) {
            let places = (0..inner).map(|after| {
                let mut places: Vec<usize> = (0..size).collect();
                let value = |place: usize| lane[place * inner + after];
                places.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
                places
            });
            let places: Vec<_> = places.collect();
            wanted.extend((0..k).flat_map(|rank| places.iter().map(move |of| of[rank] as i32)));
        }
        for (dtype, _) in types(&device) {
            let lanes = tensor(&lanes, [outer, size, inner], &Device::flex()).cast(dtype);
            let lanes = tensor(&read(lanes), [outer, size, inner], &device).cast(dtype);
            let found = top_k(&lanes, k).unwrap();
            assert_eq!(found.dims(), [outer, k, inner]);
            let found: Vec<i32> = found.try_into_vec_as().unwrap();
            assert_eq!(found, wanted, "{k} of {size} in {dtype:?}");
        }
    }
}

#[test]
fn layer_norm_is_that_of_the_cpu() {
    let device = gpu();
    for (rows, width) in [(1, 30), (700, 192), (3, 384), (1031, 130), (5, 1280)] {
        let inputs = [(rows * width, 1), (width, 2), (width, 3), (rows * width, 4)]
            .map(|(count, seed)| values(count, seed));
        let run = |dtype: FloatDType, device: &Device| {
            let device = device.clone().autodiff();
            let x = tensor(&inputs[0], [rows, width], &device).require_grad();
            let [weight, bias] =
                [1, 2].map(|at| tensor(&inputs[at], [width], &device).require_grad());
            let out = layer_norm(x.clone().cast(dtype), weight.clone(), bias.clone(), 1e-6);
            let factors = tensor(&inputs[3], [rows, width], &device);
            let grads = (out.clone().cast(FloatDType::F32) * factors).sum().backward();
            let of_parameters = [&weight, &bias].map(|tensor| read(tensor.grad(&grads).unwrap()));
            let [dweight, dbias] = of_parameters;
            [read(out), read(x.grad(&grads).unwrap()), dweight, dbias]
        };
        let wanted = run(FloatDType::F32, &Device::flex());
        for (dtype, rounding) in types(&device) {
            for (at, (found, wanted)) in run(dtype, &device).iter().zip(&wanted).enumerate() {
                let name = format!("{rows} x {width} {dtype:?} {at}");
                assert_close(&name, found, wanted, rounding);
            }
        }
    }
}

/// Few rows and many, whose sums are added up in parts, and columns that fill no cube.
#[test]
fn layers_with_a_bias_are_those_of_the_cpu() {
    let device = gpu();
    for (rows, inputs, outputs) in [(1, 3, 5), (394, 32, 130), (40_000, 2, 3)] {
        let operands = [(rows * inputs, 1), (inputs * outputs, 2), (outputs, 3)]
            .map(|(count, seed)| values(count, seed));
        let factors = values(rows * outputs, 4);
        let run = |dtype: FloatDType, device: &Device| {
            let device = device.clone().autodiff();
            let [x, weight, bias] = &operands;
            let x = tensor(x, [rows, inputs], &device).require_grad();
            let weight = tensor(weight, [inputs, outputs], &device).require_grad();
            let bias = tensor(bias, [outputs], &device).require_grad();
            let out = linear(x.clone().cast(dtype), weight.clone(), Some(bias.clone()));
            let factors = tensor(&factors, [rows, outputs], &device);
            let grads = (out.clone().cast(FloatDType::F32) * factors).sum().backward();
            let [dx, dweight] = [&x, &weight].map(|of| read(of.grad(&grads).unwrap()));
            [read(out), dx, dweight, read(bias.grad(&grads).unwrap())]
        };
        let wanted = run(FloatDType::F32, &Device::flex());
        for (dtype, rounding) in types(&device) {
            for (at, (found, wanted)) in run(dtype, &device).iter().zip(&wanted).enumerate() {
                let name = format!("{rows} {inputs} {outputs} {dtype:?} {at}");
                assert_close(&name, found, wanted, rounding);
            }
        }
    }
}

/// Targets of a row need not add up to 1, and logits may be large.
#[test]
fn cross_entropy_is_that_of_the_cpu() {
    let device = gpu();
    for (rows, classes, scale) in [(1, 2, 1.0), (7, 10, 40.0), (5, 1000, 1.0), (130, 129, 3.0)] {
        let logits: Vec<f32> = values(rows * classes, 1).into_iter().map(|v| v * scale).collect();
        let targets: Vec<f32> = values(rows * classes, 2).into_iter().map(f32::abs).collect();
        let run = |device: &Device| {
            let device = device.clone().autodiff();
            let logits = tensor(&logits, [rows, classes], &device).require_grad();
            let losses = cross_entropy(logits.clone(), tensor(&targets, [rows, classes], &device));
            let factors = tensor(&values(rows, 3), [rows, 1], &device);
            let grads = (losses.clone() * factors).sum().backward();
            [read(losses), read(logits.grad(&grads).unwrap())]
        };
        let wanted = run(&Device::flex());
        for (found, wanted) in run(&device).iter().zip(&wanted) {
            assert_close(&format!("{rows} x {classes}"), found, wanted, 1e-5);
        }
    }
}

#[test]
fn bytes_are_looked_up_by_channel() {
    let device = gpu();
    for (shape, channels) in [([2, 3, 5, 3], 3), ([1, 3, 3, 1], 1), ([0, 4, 4, 3], 3)] {
        let count = shape.iter().product::<usize>();
        let bytes: Vec<u8> = (0..count).map(|at| (at * 37 + 200) as u8).collect();
        let table: Vec<f32> = (0..256 * channels).map(|at| at as f32 * 0.37).collect();
        let wanted: Vec<f32> = bytes
            .iter()
            .enumerate()
            .map(|(at, &byte)| table[usize::from(byte) * channels + at % channels])
            .collect();
        let found = looked_up(&bytes, shape, table, &device).unwrap();
        assert_eq!((found.dims(), read(found)), (shape, wanted));
    }
    assert!(looked_up(&[], [0, 1, 1, 1], vec![0.0; 256], &Device::flex()).is_none());
}
