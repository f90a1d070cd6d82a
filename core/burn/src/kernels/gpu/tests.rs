//! Every kernel against those of the CPU, forward and backward, at sizes of Vision Transformers; and attention
//! by finite differences.

use burn::{
    backend::DispatchTensor,
    tensor::{DType, Device, FloatDType, Gradients, Tensor, TensorData},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use vitral_kernels::{
    activation::Activation,
    optimizer::{self, Rule, Step},
};

use crate::{
    composite::{Around, AttentionBranch, Composite, MlpBranch, PackedAttention},
    compute::Compute,
    cpu::is_cpu,
    device::{DeviceChoice, Gpu},
    kernels::{
        Parameter, Update, added, cross_entropy, find, keep_scores, layer_norm, linear, looked_up,
        run, scaled, softmax_attention, squared_norm, stepped, steps_at_once, top_k,
    },
    program::{RANK, padded},
    recording::Drawn,
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

/// A case of attention.
#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    heads: usize,
    tokens: usize,
    width: usize,
    biased: bool,
}

impl Case {
    fn inputs(self) -> [Vec<f32>; 5] {
        let Self { batch, heads, tokens, width, .. } = self;
        let count = batch * heads * tokens * width;
        let bias = heads * tokens * tokens;
        [(count, 1), (count, 2), (count, 3), (bias, 4), (count, 5)]
            .map(|(count, seed)| values(count, seed))
    }

    /// Queries, keys, values and bias.
    fn operands(self, inputs: &[Vec<f32>; 5], device: &Device) -> [Tensor<4>; 4] {
        let Self { batch, heads, tokens, width, .. } = self;
        let shape = [batch, heads, tokens, width];
        let shapes = [shape, shape, shape, [1, heads, tokens, tokens]];
        std::array::from_fn(|at| tensor(&inputs[at], shapes[at], device))
    }

    /// The result in a type.
    fn result(self, [q, k, v, bias]: &[Tensor<4>; 4], dtype: FloatDType) -> Tensor<4> {
        let [q, k, v] = [q, k, v].map(|tensor| tensor.clone().cast(dtype));
        let bias = self.biased.then(|| bias.clone());
        softmax_attention(q, k, v, bias, (self.width as f64).powf(-0.5))
    }

    /// The result, and the gradients of queries, keys, values and bias.
    fn run(self, inputs: &[Vec<f32>; 5], dtype: FloatDType, device: &Device) -> Vec<Vec<f32>> {
        let device = device.clone().autodiff();
        let operands = self.operands(inputs, &device).map(Tensor::require_grad);
        let out = self.result(&operands, dtype);
        let weights = tensor(&inputs[4], out.dims(), &device);
        let grads = (out.clone().cast(FloatDType::F32) * weights).sum().backward();
        let with_gradients = if self.biased { &operands[..] } else { &operands[..3] };
        let gradients = with_gradients.iter().map(|tensor| read(tensor.grad(&grads).unwrap()));
        std::iter::once(read(out)).chain(gradients).collect()
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
fn attention_is_that_of_the_cpu() {
    let device = gpu();
    for (batch, tokens) in [(2, 50), (1, 197)] {
        for (width, biased) in [(32, true), (64, false), (80, true), (128, true)] {
            let case = Case { batch, heads: 2, tokens, width, biased };
            let inputs = case.inputs();
            let wanted = case.run(&inputs, FloatDType::F32, &Device::flex());
            for (dtype, rounding) in types(&device) {
                let found = case.run(&inputs, dtype, &device);
                assert_eq!(found.len(), wanted.len());
                for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                    assert_close(&format!("{case:?} {dtype:?} {at}"), found, wanted, rounding);
                }
            }
        }
    }
}

/// One token, tokens that fill no tile, and heads that fill none.
#[test]
fn attention_of_odd_sizes_is_that_of_the_cpu() {
    let device = gpu();
    for (tokens, width) in [(1, 16), (33, 5)] {
        let case = Case { batch: 3, heads: 1, tokens, width, biased: true };
        let inputs = case.inputs();
        let wanted = case.run(&inputs, FloatDType::F32, &Device::flex());
        let found = case.run(&inputs, FloatDType::F32, &device);
        for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            if tokens == 1 && matches!(at, 1 | 2 | 4) {
                // Of one token the gradients of queries, keys and bias are rounding alone.
                assert!(found.iter().all(|value| value.abs() < 1e-5), "{case:?} {at}: {found:?}");
            } else {
                assert_close(&format!("{case:?} {at}"), found, wanted, 2e-5);
            }
        }
    }
}

/// Scores far beyond what the exponential of an `f32` can be.
#[test]
fn attention_takes_large_scores() {
    let device = gpu();
    let case = Case { batch: 1, heads: 1, tokens: 50, width: 32, biased: false };
    let mut inputs = case.inputs();
    inputs[0].iter_mut().for_each(|value| *value *= 400.0);
    let wanted = case.run(&inputs, FloatDType::F32, &Device::flex());
    let found = case.run(&inputs, FloatDType::F32, &device);
    assert_close("result", &found[0], &wanted[0], 1e-3);
}

#[test]
fn gradients_of_attention_are_its_finite_differences() {
    let device = gpu();
    for width in [32, 64, 80, 128] {
        let case = Case { batch: 1, heads: 2, tokens: 50, width, biased: true };
        let inputs = case.inputs();
        let found = case.run(&inputs, FloatDType::F32, &device);
        let loss = |inputs: &[Vec<f32>; 5]| {
            let operands = case.operands(inputs, &device);
            let out = read(case.result(&operands, FloatDType::F32));
            out.iter().zip(&inputs[4]).map(|(out, weight)| f64::from(out * weight)).sum::<f64>()
        };
        for (input, gradient) in found[1..].iter().enumerate() {
            let direction = values(gradient.len(), 9);
            let step = 1.0 / 128.0;
            let [less, more] = [-step, step].map(|step| {
                let mut inputs = inputs.clone();
                for (value, along) in inputs[input].iter_mut().zip(&direction) {
                    *value += step * along;
                }
                loss(&inputs)
            });
            let difference = (more - less) / f64::from(2.0 * step);
            let along: f64 = gradient.iter().zip(&direction).map(|(a, b)| f64::from(a * b)).sum();
            let size: f64 = gradient.iter().map(|value| f64::from(value * value)).sum();
            let error = (difference - along).abs() / size.sqrt();
            assert!(error < 5e-3, "{case:?} {input}: {difference} is not {along}");
        }
    }
}

/// Heads too wide for the kernels' tiles are composed, and keep their scores.
#[test]
fn heads_that_no_tile_holds_keep_scores() {
    let device = gpu();
    for (width, keeps) in [(32, false), (128, false), (1 << 16, true)] {
        assert_eq!(keep_scores(DType::F32, width, &device), keeps, "{width}");
        assert_eq!(keep_scores(DType::F32, width, &device.clone().autodiff()), keeps, "{width}");
        assert!(!keep_scores(DType::F32, width, &Device::flex()), "{width}");
        assert!(keep_scores(DType::F16, width, &Device::flex()), "{width}");
    }
}

/// What lies side by side and what lies apart are the same.
#[test]
fn packed_attention_is_that_of_the_cpu() {
    let (batch, heads, tokens, width) = (2, 3, 50, 32);
    let scale = 0.2;
    let shape = [batch, tokens, 3 * heads * width];
    let inputs = values(shape.iter().product(), 1);
    let factors = values(batch * tokens * heads * width, 2);
    let composite = Composite::PackedAttention(PackedAttention { heads, scale });
    let results = |out: Tensor<3>, qkv: &Tensor<RANK>, device: &Device| {
        let factors = tensor(&factors, [batch, tokens, heads * width], device);
        let grads = (out.clone() * factors).sum().backward();
        [read(out), read(qkv.grad(&grads).unwrap())]
    };
    let qkv = |device: &Device| tensor(&inputs, padded(&shape), device).require_grad();

    let device = Device::flex().autodiff();
    let packed = qkv(&device);
    assert!(find(&composite, &packed, DType::F32).is_none());
    let split = packed.clone().reshape([batch, tokens, 3 * heads, width]).swap_dims(1, 2);
    let [q, k, v] = [0, 1, 2].map(|part| split.clone().narrow(1, part * heads, heads));
    let out = softmax_attention(q, k, v, None, scale).swap_dims(1, 2);
    let wanted = results(out.reshape([batch, tokens, heads * width]), &packed, &device);

    let device = gpu().autodiff();
    let packed = qkv(&device);
    let kernel = find(&composite, &packed, DType::F32).unwrap();
    let (out, rank) = run(composite, kernel, packed.clone(), vec![None]);
    assert_eq!(rank, 3);
    let out = out.float().unwrap().reshape([batch, tokens, heads * width]);
    let found = results(out, &packed, &device);
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_close("packed", found, wanted, 2e-5);
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

/// Blocks and their halves with all that may be around them, and with nothing; of tokens and widths that fill no tile,
/// and more rows than cubes.
#[test]
fn blocks_and_halves_are_those_of_the_cpu() {
    let (batch, tokens, width, heads, head_width, hidden) = (11, 50, 48, 3, 16, 70);
    let shape = [batch, tokens, width];
    let inner = heads * head_width;
    let around = |dropped: bool, sample_scales: [f32; 3]| Around {
        eps: 1e-6,
        sample_scales: dropped.then(|| Drawn {
            stream: 0,
            values: sample_scales.into_iter().cycle().take(batch).collect(),
        }),
    };
    let attention =
        |dropped| AttentionBranch { around: around(dropped, [2.0, 0.0, 1.5]), heads, head_width };
    let mlp = |activation, dropped| MlpBranch {
        around: around(dropped, [0.5, 1.25, 0.0]),
        activation,
        hidden,
    };
    // The parameters of a half, which is so wide behind its first product, and in front of its second.
    let sizes = |columns, inner| {
        let matrices = [vec![width, columns], vec![columns], vec![inner, width]];
        [vec![width], vec![width]].into_iter().chain(matrices).chain([vec![width], vec![width]])
    };
    let of_attention = || sizes(3 * inner, inner).collect::<Vec<_>>();
    let of_mlp = || sizes(hidden, hidden).collect::<Vec<_>>();
    let device = gpu();
    // With biases, LayerScale and drop path; without; as the first ViT has it; and with one of the last two.
    let all =
        [[true; 3], [false; 3], [true, false, false], [true, true, false], [true, false, true]];
    for has in all {
        let [biased, scaled, dropped] = has;
        let gelu = || mlp(Activation::Gelu, dropped);
        let cases = [
            (Composite::AttentionBranch(attention(dropped)), of_attention()),
            (Composite::MlpBranch(gelu()), of_mlp()),
            (Composite::MlpBranch(mlp(Activation::GeluTanh, dropped)), of_mlp()),
            (Composite::Block(attention(dropped), gelu()), [of_attention(), of_mlp()].concat()),
        ];
        for (composite, sizes) in cases {
            let compute = |dtype: FloatDType, device: &Device, tracked: bool| {
                let device = if tracked { device.clone().autodiff() } else { device.clone() };
                let x = tensor(&values(shape.iter().product(), 1), padded(&shape), &device);
                let x = if tracked { x.require_grad() } else { x };
                let mut parameters: Vec<Option<Parameters>> = Vec::new();
                for (at, sizes) in sizes.iter().enumerate() {
                    let is_there = match at % Composite::BRANCH {
                        3 | 5 => biased,
                        6 => scaled,
                        _ => true,
                    };
                    let parameter = || {
                        let list = values(sizes.iter().product(), at as u64 + 2);
                        // Products of about the size of what they are of.
                        let list: Vec<f32> = list.iter().map(|value| value * 0.25).collect();
                        Parameters::new(&list, sizes, &device, tracked)
                    };
                    parameters.push(is_there.then(parameter));
                }
                // The CPU has kernels for halves alone.
                let parts = match &composite {
                    Composite::Block(attention, mlp) if is_cpu(&device) => vec![
                        Composite::AttentionBranch(attention.clone()),
                        Composite::MlpBranch(mlp.clone()),
                    ],
                    whole => vec![whole.clone()],
                };
                let mut tokens = x.clone().cast(dtype);
                for (part, parameters) in
                    parts.iter().zip(parameters.chunks(parameters.len() / parts.len()))
                {
                    let kernel = find(part, &tokens, dtype.into()).unwrap();
                    let others = parameters.iter().map(|one| one.as_ref().map(Parameters::operand));
                    let (out, rank) = run(part.clone(), kernel, tokens, others.collect());
                    assert_eq!(rank, 3);
                    tokens = out.float().unwrap();
                }
                let out = tokens.reshape(shape).cast(FloatDType::F32);
                if !tracked {
                    return vec![read(out)];
                }
                let factors = tensor(&values(shape.iter().product(), 20), shape, &device);
                let grads = (out.clone() * factors).sum().backward();
                let of_parameters = parameters.iter().flatten().map(|one| one.gradient(&grads));
                let found = [read(out), read(x.grad(&grads).unwrap())];
                found.into_iter().chain(of_parameters).collect::<Vec<_>>()
            };
            let wanted = compute(FloatDType::F32, &Device::flex(), true);
            for (dtype, rounding) in types(&device) {
                let found = compute(dtype, &device, true);
                // The same where nothing is kept for backward.
                assert_eq!(compute(dtype, &device, false)[0], found[0]);
                assert_eq!(found.len(), wanted.len());
                for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                    let name = format!("{composite:?} {has:?} {dtype:?} {at}");
                    assert_close(&name, found, wanted, 3.0 * rounding);
                }
            }
        }
    }
}

/// A vector or a matrix of parameters.
enum Parameters {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
}

impl Parameters {
    fn new(values: &[f32], sizes: &[usize], device: &Device, tracked: bool) -> Self {
        let made = match *sizes {
            [rows, columns] => Self::Matrix(tensor(values, [rows, columns], device)),
            _ => Self::Vector(tensor(values, [values.len()], device)),
        };
        match made {
            Self::Matrix(matrix) if tracked => Self::Matrix(matrix.require_grad()),
            Self::Vector(vector) if tracked => Self::Vector(vector.require_grad()),
            constant => constant,
        }
    }

    fn operand(&self) -> DispatchTensor {
        match self {
            Self::Vector(tensor) => tensor.clone().into_dispatch(),
            Self::Matrix(tensor) => tensor.clone().into_dispatch(),
        }
    }

    fn gradient(&self, gradients: &Gradients) -> Vec<f32> {
        match self {
            Self::Vector(tensor) => read(tensor.grad(gradients).unwrap()),
            Self::Matrix(tensor) => read(tensor.grad(gradients).unwrap()),
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

/// Lengths of more parameters than a launch takes, one of them longer than all cubes of its.
fn lengths() -> Vec<usize> {
    (0..70).map(|at| 1 + at * at * 7 % 1500).chain([300_000]).collect()
}

/// Some values of each parameter.
fn of_parameters(seed: u64, device: &Device) -> (Vec<Vec<f32>>, Vec<Tensor<1>>) {
    let values: Vec<Vec<f32>> =
        lengths().into_iter().zip(seed..).map(|(length, seed)| values(length, seed)).collect();
    let tensors = values.iter().map(|values| tensor(values, [values.len()], device)).collect();
    (values, tensors)
}

#[test]
fn squares_of_many_tensors_add_up() {
    let (values, tensors) = of_parameters(1, &gpu());
    let wanted: f64 = values.iter().flatten().map(|&value| f64::from(value).powi(2)).sum();
    let found = read(squared_norm(&tensors).unwrap());
    assert_eq!(found.len(), 1);
    assert!((f64::from(found[0]) / wanted - 1.0).abs() < 1e-6, "{found:?} is not {wanted}");
    let on_cpu = of_parameters(1, &Device::flex()).1;
    assert!(squared_norm(&on_cpu).is_none() && !steps_at_once(&on_cpu));
}

/// What others hold of the sums stays what it is.
#[test]
fn many_tensors_are_scaled_and_added() {
    let device = gpu();
    let (values, tensors) = of_parameters(1, &device);
    let (others, other_tensors) = of_parameters(101, &device);
    let held = tensors.clone();
    for (at, sum) in added(tensors, other_tensors).into_iter().enumerate() {
        let wanted: Vec<f32> = values[at].iter().zip(&others[at]).map(|(a, b)| a + b).collect();
        assert_eq!(read(sum), wanted, "the sum of {at}");
        assert_eq!(read(held[at].clone()), values[at], "what is held of {at} changed");
    }
    for (at, product) in scaled(held, 0.125).into_iter().enumerate() {
        let wanted: Vec<f32> = values[at].iter().map(|value| value * 0.125).collect();
        assert_eq!(read(product), wanted, "the product of {at}");
    }
}

/// All parameters move, the moving average with them, and averages that others hold stay what they are.
#[test]
fn steps_of_many_parameters_are_those_of_the_cpu() {
    let device = gpu();
    let (rate, decay, clip) = (0.125, 0.25, 0.5);
    let update = Update {
        rule: Rule::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8 },
        number: 3,
        ema_decay: 0.75,
    };
    let [mut value, mut gradient, mut first, mut second, mut ema] =
        [1, 101, 201, 301, 401].map(|seed| of_parameters(seed, &device));
    for (square, tensor) in second.0.iter_mut().zip(&mut second.1) {
        square.iter_mut().for_each(|value| *value = value.abs());
        *tensor = tensor.clone().abs();
    }
    let held = first.1.clone();
    assert!(steps_at_once(&value.1));
    let parameters = (0..value.1.len()).map(|at| Parameter {
        value: value.1[at].clone(),
        gradient: gradient.1[at].clone(),
        averages: vec![first.1[at].clone(), second.1[at].clone()],
        ema: Some(ema.1[at].clone()),
        learning_rate: rate,
        weight_decay: decay,
    });
    let clip_factor = tensor(&[clip], [1], &device);
    let found = stepped(parameters.collect(), Some(&clip_factor), update).unwrap();

    let untouched = first.0.clone();
    let Update { rule, number, ema_decay } = update;
    let step = Step { rule, update: number, gradient_scale: clip, ema_decay };
    let mut parameters: Vec<optimizer::Parameter<'_>> = Vec::new();
    let averages = first.0.iter_mut().zip(&mut second.0);
    let rest = gradient.0.iter_mut().zip(averages).zip(&mut ema.0);
    for (value, ((gradient, (first, second)), ema)) in value.0.iter_mut().zip(rest) {
        parameters.push(optimizer::Parameter {
            value,
            gradient,
            averages: [first, second],
            ema,
            learning_rate: rate,
            weight_decay: decay,
        });
    }
    step.run(&mut parameters);
    for (at, found) in found.into_iter().enumerate() {
        let [found_first, found_second] = &found.averages[..] else { panic!("two averages") };
        for (name, found, wanted) in [
            ("value", &found.value, &gradient.0[at]),
            ("average", found_first, &first.0[at]),
            ("square", found_second, &second.0[at]),
            ("moving average", found.ema.as_ref().unwrap(), &ema.0[at]),
        ] {
            assert_close(&format!("{name} of {at}"), &read(found.clone()), wanted, 2e-6);
        }
        assert_eq!(read(held[at].clone()), untouched[at], "what is held of {at} changed");
    }
}
