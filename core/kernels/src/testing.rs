//! What the tests of kernels share.

use std::sync::Mutex;

use half::bf16;

use crate::simd::InstructionSet;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `body` on each instruction set that this machine has.
pub(crate) fn on_each_instruction_set(body: impl Fn(InstructionSet)) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let sets = InstructionSet::available();
    for &set in &sets {
        assert!(set.choose());
        body(set);
    }
    assert!(sets[sets.len() - 1].choose());
}

/// Reproducible values between -1 and 1.
pub(crate) fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// As `f64`.
pub(crate) fn wide<T: Copy + Into<f64>>(values: &[T]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// Rounded to `bf16`.
pub(crate) fn brief(values: &[f32]) -> Vec<bf16> {
    values.iter().map(|&value| bf16::from_f32(value)).collect()
}

/// Each value within `tolerance` of the exact one, relative to the largest.
#[track_caller]
pub(crate) fn assert_close(what: &str, got: &[f32], exact: &[f64], tolerance: f64) {
    assert_eq!(got.len(), exact.len(), "{what}");
    let largest = exact.iter().fold(1e-2f64, |largest, value| largest.max(value.abs()));
    for (at, (&got, &exact)) in got.iter().zip(exact).enumerate() {
        let off = (f64::from(got) - exact).abs() / largest;
        assert!(off <= tolerance, "{what}[{at}]: {got}, not {exact} (off by {off:.1e})");
    }
}

/// The gradient of `loss` at `x` by central differences.
pub(crate) fn differences(x: &[f64], loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut x = x.to_vec();
    (0..x.len())
        .map(|at| {
            let (middle, h) = (x[at], 1e-5);
            x[at] = middle + h;
            let above = loss(&x);
            x[at] = middle - h;
            let below = loss(&x);
            x[at] = middle;
            (above - below) / (2.0 * h)
        })
        .collect()
}

/// LayerNorm of each row by plain loops.
pub(crate) fn layer_norm(x: &[f64], weight: &[f64], bias: &[f64], eps: f64) -> Vec<f64> {
    let width = weight.len();
    let mut out = Vec::new();
    for row in x.chunks(width) {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
        out.extend(
            row.iter()
                .zip(weight.iter().zip(bias))
                .map(|(x, (weight, bias))| (x - mean) / (variance + eps).sqrt() * weight + bias),
        );
    }
    out
}

/// A linear layer by plain loops.
pub(crate) fn linear(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
    let mut out = Vec::new();
    for row in x.chunks(inputs) {
        out.extend(
            (0..outputs).map(|j| {
                bias[j] + (0..inputs).map(|i| row[i] * weight[i * outputs + j]).sum::<f64>()
            }),
        );
    }
    out
}

/// `x + scale * gamma * branch` with a scale for each sample.
pub(crate) fn add_branch(x: &[f64], branch: &[f64], gamma: &[f64], scales: &[f64]) -> Vec<f64> {
    let (width, sample) = (gamma.len(), x.len() / scales.len());
    let value = |(at, (x, branch)): (usize, (&f64, &f64))| {
        x + scales[at / sample] * gamma[at % width] * branch
    };
    x.iter().zip(branch).enumerate().map(value).collect()
}

/// The gradients of `sum(out * gradient)` at each of several inputs, where `out` is a function of
/// all of them.
pub(crate) fn all_differences(
    inputs: &[&[f32]],
    gradient: &[f32],
    out: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) -> Vec<Vec<f64>> {
    let inputs: Vec<Vec<f64>> = inputs.iter().map(|input| wide(input)).collect();
    (0..inputs.len())
        .map(|which| {
            differences(&inputs[which], |changed| {
                let mut inputs = inputs.clone();
                inputs[which] = changed.to_vec();
                let out = out(&inputs);
                out.iter().zip(gradient).map(|(out, gradient)| out * f64::from(*gradient)).sum()
            })
        })
        .collect()
}
