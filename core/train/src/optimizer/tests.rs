//! Each way of computing an update, on its own, against the papers' (for SGD and Muon their code's) formulas
//! carried out value by value in float64: with clipping by the global norm, groups of parameters, and the
//! weights' moving average.

use burn::tensor::Device;

use super::*;
use crate::gradients::{clip_factor, global_norm};

/// How an update is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// By the kernel, which must have the rule.
    Fused,
    /// By Burn's operations.
    Plain,
    /// By kernels that take all parameters at once, on a GPU.
    #[cfg(feature = "wgpu")]
    AtOnce,
}

impl Way {
    /// Where it is to be had.
    fn device(self) -> Device {
        match self {
            Self::Fused | Self::Plain => Device::flex(),
            #[cfg(feature = "wgpu")]
            Self::AtOnce => {
                use vitral_model::device::{DeviceChoice, Gpu};
                DeviceChoice::Gpu(Gpu::Wgpu, 0).open().unwrap()
            }
        }
    }
}

const ALL: &[Way] = &[
    Way::Fused,
    Way::Plain,
    #[cfg(feature = "wgpu")]
    Way::AtOnce,
];
const OF_MUON: &[Way] = &[Way::Fused, Way::Plain];

const LEARNING_RATE: f64 = 0.1;
const WEIGHT_DECAY: f64 = 0.05;
const EMA: f64 = 0.4;
/// Below the norm of some gradients, and above that of others.
const CLIP_NORM: f64 = 4.0;
const STEPS: u64 = 6;

/// A learning rate's factor and a weight decay for each parameter: those of the schedule, a decay of its
/// own, none at a lower rate, and a frozen one.
const GROUPS: [ParameterGroup; 4] = [
    ParameterGroup { learning_rate_scale: 1.0, weight_decay: None },
    ParameterGroup { learning_rate_scale: 1.0, weight_decay: Some(0.3) },
    ParameterGroup { learning_rate_scale: 0.5, weight_decay: Some(0.0) },
    ParameterGroup { learning_rate_scale: 0.0, weight_decay: None },
];

/// The parameters: whole vectors of a processor, a rest, less than one. Muon moves the first two as
/// matrices, one of which is wide and one tall.
const PARAMETERS: [(&str, &[usize]); 4] = [
    ("blocks.0.attn.qkv.weight", &[4, 8]),
    ("blocks.0.mlp.fc2.weight", &[7, 6]),
    ("blocks.0.norm1.weight", &[3]),
    ("head.bias", &[5]),
];

/// How many values each parameter has.
const LENGTHS: [usize; 4] = [32, 42, 3, 5];

/// Numbers around zero without a pattern, another list for each `seed`.
fn numbers(length: usize, seed: u64) -> Vec<f64> {
    let number = |index: usize| {
        let turned = ((index + 1) as f64 * 12.9898 + (seed + 1) as f64 * 78.233).sin() * 43758.5453;
        // As `f32` has it, so that both sides start from the same.
        f64::from((2.0 * (turned - turned.floor()) - 1.0) as f32)
    };
    (0..length).map(number).collect()
}

/// The values that the parameters begin with.
fn start() -> Vec<Vec<f64>> {
    (0..).zip(LENGTHS).map(|(index, length)| numbers(length, index)).collect()
}

/// The gradients of a step, which become smaller from one to the next.
fn gradients(step: u64) -> Vec<Vec<f64>> {
    let factor = 0.5f64.powi(step as i32) * 2.0;
    let of = |(index, length)| numbers(length, 100 + 10 * step + index);
    let lists = (0..).zip(LENGTHS).map(of);
    lists.map(|list| list.into_iter().map(|value| value * factor).collect()).collect()
}

fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The parameters after all steps, and their moving average.
type Trained = [Vec<Vec<f64>>; 2];

/// What the formulas give.
fn reference(optimizer: Optimizer) -> Trained {
    let mut values = start();
    let mut averages = values.clone();
    let zeros = || LENGTHS.map(|length| vec![0.0; length]);
    let (mut first, mut second) = (zeros(), zeros());
    for step in 0..STEPS {
        let t = (step + 1) as i32;
        let gradients = gradients(step);
        let whole = norm(gradients.iter().flatten().copied());
        let clip = (CLIP_NORM / whole).min(1.0);
        for parameter in 0..LENGTHS.len() {
            let group = GROUPS[parameter];
            let rate = LEARNING_RATE * group.learning_rate_scale;
            let decay = group.weight_decay.unwrap_or(WEIGHT_DECAY);
            let (m, v) = (&mut first[parameter], &mut second[parameter]);
            let w = &mut values[parameter];
            let g = gradients[parameter].iter().map(|gradient| gradient * clip);
            let g: Vec<f64> = g.collect();
            let mut adam = |beta1: f64, beta2: f64, eps: f64| -> Vec<f64> {
                let direction = |i: usize| {
                    m[i] = beta1 * m[i] + (1.0 - beta1) * g[i];
                    v[i] = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i];
                    let corrected = v[i] / (1.0 - beta2.powi(t));
                    m[i] / (1.0 - beta1.powi(t)) / (corrected.sqrt() + eps)
                };
                (0..g.len()).map(direction).collect()
            };
            match optimizer {
                Optimizer::AdamW { beta1, beta2, eps } => {
                    for (w, direction) in w.iter_mut().zip(adam(beta1, beta2, eps)) {
                        *w -= rate * (direction + decay * *w);
                    }
                }
                Optimizer::Lamb { beta1, beta2, eps } => {
                    let mut direction = adam(beta1, beta2, eps);
                    let mut trust = 1.0;
                    if decay > 0.0 {
                        direction.iter_mut().zip(&*w).for_each(|(r, w)| *r += decay * w);
                        trust = norm(w.iter().copied()) / norm(direction.iter().copied());
                    }
                    w.iter_mut().zip(direction).for_each(|(w, r)| *w -= rate * trust * r);
                }
                Optimizer::Lion { beta1, beta2 } => {
                    for i in 0..w.len() {
                        let c = beta1 * m[i] + (1.0 - beta1) * g[i];
                        w[i] -= rate * (c.signum() + decay * w[i]);
                        m[i] = beta2 * m[i] + (1.0 - beta2) * g[i];
                    }
                }
                Optimizer::Sgd { momentum, nesterov } => {
                    for i in 0..w.len() {
                        let gradient = g[i] + decay * w[i];
                        m[i] = momentum * m[i] + gradient;
                        let ahead = gradient + momentum * m[i];
                        w[i] -= rate * if nesterov { ahead } else { m[i] };
                    }
                }
                Optimizer::Muon { adamw_scale, beta1, beta2, eps, .. } if parameter > 1 => {
                    let rate = rate * adamw_scale;
                    for (w, direction) in w.iter_mut().zip(adam(beta1, beta2, eps)) {
                        *w -= rate * (direction + decay * *w);
                    }
                }
                Optimizer::Muon { momentum, nesterov, iterations, update_scale, .. } => {
                    let ahead = |i: usize| {
                        m[i] += (1.0 - momentum) * (g[i] - m[i]);
                        if nesterov { g[i] + momentum * (m[i] - g[i]) } else { m[i] }
                    };
                    let &[rows, columns] = PARAMETERS[parameter].1 else { unreachable!() };
                    let ahead: Vec<f64> = (0..g.len()).map(ahead).collect();
                    let direction = orthogonal(ahead, rows, columns, iterations);
                    let (inputs, outputs) = (rows as f64, columns as f64);
                    let scale = match update_scale {
                        UpdateScale::MatchAdamW => 0.2 * inputs.max(outputs).sqrt(),
                        UpdateScale::Original => (outputs / inputs).max(1.0).sqrt(),
                    };
                    for (w, direction) in w.iter_mut().zip(direction) {
                        *w = *w * (1.0 - rate * decay) - rate * scale * direction;
                    }
                }
            }
            let stays = EMA.min((1.0 + f64::from(t)) / (10.0 + f64::from(t)));
            for (average, w) in averages[parameter].iter_mut().zip(w) {
                *average = stays * *average + (1.0 - stays) * *w;
            }
        }
    }
    [values, averages]
}

/// `zeropower_via_newtonschulz5` of Jordan's code, value by value.
fn orthogonal(mut x: Vec<f64>, rows: usize, columns: usize, iterations: u32) -> Vec<f64> {
    let length = norm(x.iter().copied());
    x.iter_mut().for_each(|value| *value /= length);
    for _ in 0..iterations {
        let row = |i: usize| &x[i * columns..][..columns];
        let gram =
            |i: usize, j: usize| -> f64 { row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum() };
        let gram: Vec<f64> = (0..rows * rows).map(|at| gram(at / rows, at % rows)).collect();
        let square = |i: usize, j: usize| -> f64 {
            (0..rows).map(|k| gram[i * rows + k] * gram[k * rows + j]).sum()
        };
        let b = |i: usize, j: usize| -4.7750 * gram[i * rows + j] + 2.0315 * square(i, j);
        let next = |at: usize| -> f64 {
            let (i, j) = (at / columns, at % columns);
            3.4445 * x[at] + (0..rows).map(|k| b(i, k) * x[k * columns + j]).sum::<f64>()
        };
        x = (0..x.len()).map(next).collect();
    }
    x
}

/// What the optimizer gives.
fn trained(optimizer: Optimizer, way: Way) -> Trained {
    let device = way.device();
    let tensors = |lists: Vec<Vec<f64>>| -> Vec<Tensor<1>> {
        let tensor = |list: Vec<f64>| {
            let values: Vec<f32> = list.into_iter().map(|value| value as f32).collect();
            Tensor::from_floats(values.as_slice(), &device)
        };
        lists.into_iter().map(tensor).collect()
    };
    let mut values = tensors(start());
    let mut ema = Ema::new(EMA, tensors(start()));
    let infos = PARAMETERS.map(|(name, shape)| ParameterInfo {
        name: name.into(),
        shape: shape.into(),
        decay: None,
    });
    let mut state = OptimizerState::new(optimizer, &infos, &values);
    for step in 0..STEPS {
        let hyper =
            Hyper { learning_rate: LEARNING_RATE, weight_decay: WEIGHT_DECAY, update: step + 1 };
        let gradients = tensors(gradients(step));
        let clip = clip_factor(&global_norm(&gradients), CLIP_NORM);
        assert!(way == Way::Plain || state.is_one_pass(&values), "no kernel has this rule");
        let (clip, ema) = (Some(&clip), Some(&mut ema));
        values = match way {
            Way::Plain => state.step_by_parameter(values, gradients, clip, &GROUPS, hyper, ema),
            _ => state.step(values, gradients, clip, &GROUPS, hyper, ema),
        };
    }
    let read = |tensor: Tensor<1>| -> Vec<f64> {
        let values: Vec<f32> = tensor.try_into_vec_as().unwrap();
        values.into_iter().map(f64::from).collect()
    };
    [values, ema.values].map(|tensors| tensors.into_iter().map(read).collect())
}

fn check(optimizer: Optimizer, ways: &[Way]) {
    check_within(2e-6, optimizer, ways);
}

fn check_within(tolerance: f64, optimizer: Optimizer, ways: &[Way]) {
    let expected = reference(optimizer);
    for &way in ways {
        let found = trained(optimizer, way);
        for (what, (found, expected)) in
            ["weights", "averages"].into_iter().zip(found.into_iter().zip(&expected))
        {
            for (index, (found, expected)) in
                found.iter().flatten().zip(expected.iter().flatten()).enumerate()
            {
                assert!(
                    (found - expected).abs() < tolerance * expected.abs().max(1.0),
                    "{way:?} {optimizer:?}, {what}, value {index}: {found} is not {expected}"
                );
            }
        }
    }
}

#[test]
fn adamw_equals_the_reference() {
    check(Optimizer::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8 }, ALL);
}

#[test]
fn sgd_equals_the_reference() {
    check(Optimizer::Sgd { momentum: 0.0, nesterov: false }, ALL);
    check(Optimizer::Sgd { momentum: 0.9, nesterov: false }, ALL);
    check(Optimizer::Sgd { momentum: 0.9, nesterov: true }, ALL);
}

#[test]
fn lion_equals_the_reference() {
    check(Optimizer::Lion { beta1: 0.9, beta2: 0.99 }, ALL);
}

#[test]
fn lamb_equals_the_reference() {
    check(Optimizer::Lamb { beta1: 0.9, beta2: 0.999, eps: 1e-6 }, &[Way::Plain]);
}

/// Rounding of the gradient grows as the iterations make small singular values larger.
#[test]
fn muon_equals_the_reference() {
    let muon = |nesterov, update_scale| Optimizer::Muon {
        momentum: 0.95,
        nesterov,
        iterations: 5,
        update_scale,
        adamw_scale: 0.5,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
    };
    check_within(1e-5, muon(true, UpdateScale::MatchAdamW), OF_MUON);
    check_within(1e-5, muon(false, UpdateScale::Original), OF_MUON);
}

/// So that the other tests clip some gradients, and leave others as they are.
#[test]
fn some_of_the_gradients_are_clipped() {
    let norms = (0..STEPS).map(|step| norm(gradients(step).into_iter().flatten()));
    let clipped = norms.filter(|norm| *norm > CLIP_NORM).count() as u64;
    assert!((1..STEPS).contains(&clipped), "{clipped}");
}
