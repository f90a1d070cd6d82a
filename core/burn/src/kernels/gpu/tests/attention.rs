//! Attention against that of the CPU, and by finite differences.

use burn::tensor::{DType, Device, FloatDType, Tensor};

use super::{assert_close, gpu, read, tensor, types, values};
use crate::{
    composite::{Composite, PackedAttention},
    kernels::{find, keep_scores, run, softmax_attention},
    program::{RANK, padded},
};

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
