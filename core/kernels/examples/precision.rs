//! `cargo run --release -p vitral-kernels --example precision [ROUNDS [SET]]`: what `bf16` gains over
//! `f32` on this processor, or on one of its instruction sets, for the products of ViT-Ti/16, S/16 and
//! B/16 and for a whole block.
//!
//! The two take turns, and each figure is the median of all rounds.

use std::{hint::black_box, time::Instant};

use half::bf16;
use vitral_kernels::{
    Compiled,
    activation::Activation,
    attention_branch::{AttentionBranch, AttentionBranchGradients, AttentionSaved},
    branch_norm::KeptNorm,
    layer_norm::{LayerNorm, LayerNormGradients},
    linear::{Linear, LinearGradients},
    mlp_branch::{MlpBranch, MlpGradients, MlpSaved},
    residual::Residual,
    simd::InstructionSet,
};

/// Tokens of an image of 224 x 224 pixels in patches of 16 x 16, and the class token.
const TOKENS: usize = 197;

/// A model's width, its heads, and the images that a step takes.
const MODELS: [(&str, usize, usize, usize); 3] =
    [("Ti/16", 192, 3, 16), ("S/16", 384, 6, 8), ("B/16", 768, 12, 4)];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().map_or(Ok(15), |rounds| rounds.parse::<usize>());
    let sets = InstructionSet::available();
    let wanted = arguments.next();
    let chosen =
        wanted.is_none_or(|name| sets.iter().any(|set| set.name() == name && set.choose()));
    let (Ok(rounds @ 1..), true) = (rounds, chosen) else {
        let names: Vec<&str> = sets.iter().map(|set| set.name()).collect();
        eprintln!(
            "usage: precision [ROUNDS [SET]]: at least 1 round; a set of {}",
            names.join(", ")
        );
        std::process::exit(2);
    };
    let set = InstructionSet::current().name();
    println!("{set}, {} threads, median of {rounds} rounds\n", rayon::current_num_threads());
    println!("{:34} {:>13} {:>13} {:>8}", "product", "f32 GFLOP/s", "bf16 GFLOP/s", "faster");
    for (name, width, _, batch) in MODELS {
        let layers = [
            ("qkv", width, 3 * width),
            ("proj", width, width),
            ("fc1", width, 4 * width),
            ("fc2", 4 * width, width),
        ];
        for (layer, inputs, outputs) in layers {
            products(&format!("{name} {layer}"), rounds, batch * TOKENS, inputs, outputs);
        }
    }
    println!("\n{:34} {:>13} {:>13} {:>8}", "block", "f32 ms", "bf16 ms", "faster");
    for (name, width, heads, batch) in MODELS {
        block(name, rounds, width, heads, batch);
    }
}

/// Reproducible values between -scale and scale.
fn values(len: usize, scale: f32) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
    };
    (0..len).map(|_| next()).collect()
}

/// The median seconds of each of two bodies that take turns.
fn in_turns(rounds: usize, mut bodies: [&mut dyn FnMut(); 2]) -> [f64; 2] {
    let mut samples = [const { Vec::new() }; 2];
    for round in 0..=rounds {
        for (body, samples) in bodies.iter_mut().zip(&mut samples) {
            let start = Instant::now();
            body();
            if round > 0 {
                samples.push(start.elapsed().as_secs_f64());
            }
        }
    }
    samples.map(|mut samples| {
        samples.sort_by(f64::total_cmp);
        samples[samples.len() / 2]
    })
}

/// The three products of a linear layer, in `f32` and in `bf16`.
fn products(name: &str, rounds: usize, rows: usize, inputs: usize, outputs: usize) {
    let weight = values(inputs * outputs, 0.1);
    let linear = Linear { weight: &weight, bias: None, inputs, outputs };
    let (mut exact, mut brief) =
        (Layer::<f32>::new(linear, rows), Layer::<bf16>::new(linear, rows));
    let gflop = 2e-9 * (rows * inputs * outputs) as f64;
    let report = |what: &str, [exact, brief]: [f64; 2]| {
        let name = format!("{name} {what}");
        let ratio = exact / brief;
        println!("{name:34} {:13.0} {:13.0} {ratio:8.2}", gflop / exact, gflop / brief);
    };
    report("forward", in_turns(rounds, [&mut || exact.forward(), &mut || brief.forward()]));
    report(
        "input gradient",
        in_turns(rounds, [&mut || exact.input_gradient(), &mut || brief.input_gradient()]),
    );
    report(
        "weight gradient",
        in_turns(rounds, [&mut || exact.weight_gradient(), &mut || brief.weight_gradient()]),
    );
}

struct Layer<'a, T> {
    linear: Linear<'a>,
    x: Vec<T>,
    out: Vec<T>,
    weight_gradient: Vec<f32>,
}

impl<'a, T: Compiled> Layer<'a, T> {
    fn new(linear: Linear<'a>, rows: usize) -> Self {
        let typed = |len: usize| -> Vec<T> {
            let from = values(len, 1.0);
            let mut to = vec![T::default(); len];
            vitral_kernels::convert::convert(&from, &mut to);
            to
        };
        let weight_gradient = vec![0.0; linear.weight.len()];
        Self {
            linear,
            x: typed(rows * linear.inputs),
            out: typed(rows * linear.outputs),
            weight_gradient,
        }
    }

    fn forward(&mut self) {
        self.linear.forward(&self.x, &mut self.out);
        black_box(&mut self.out);
    }

    fn input_gradient(&mut self) {
        self.linear.input_gradient(&self.out, &mut self.x);
        black_box(&mut self.x);
    }

    fn weight_gradient(&mut self) {
        let gradients = LinearGradients { weight: &mut self.weight_gradient, bias: None };
        self.linear.backward(&self.x, &self.out, None, gradients);
        black_box(&mut self.weight_gradient);
    }
}

/// A transformer block, forward and backward, in `f32` and in `bf16`.
fn block(name: &str, rounds: usize, width: usize, heads: usize, batch: usize) {
    let sizes = Sizes { width, heads, batch };
    let (mut exact, mut brief) = (Block::<f32>::new(sizes), Block::<bf16>::new(sizes));
    let mut all = [0.0; 2];
    for part in Part::ALL {
        let seconds = in_turns(rounds, [&mut || exact.run(part), &mut || brief.run(part)]);
        all = [all[0] + seconds[0], all[1] + seconds[1]];
        report(&format!("{name} {part:?}"), seconds);
    }
    report(&format!("{name} whole block"), all);
    let [exact, brief] = [exact.kept_bytes(), brief.kept_bytes()].map(|bytes| bytes as f64 / 1e6);
    println!("{:34} {exact:10.1} MB {brief:10.1} MB {:8.2}", "  kept for backward", exact / brief);
}

fn report(name: &str, [exact, brief]: [f64; 2]) {
    println!("{name:34} {:13.2} {:13.2} {:8.2}", exact * 1e3, brief * 1e3, exact / brief);
}

#[derive(Clone, Copy, Debug)]
enum Part {
    AttentionForward,
    MlpForward,
    MlpBackward,
    AttentionBackward,
}

impl Part {
    const ALL: [Self; 4] =
        [Self::AttentionForward, Self::MlpForward, Self::MlpBackward, Self::AttentionBackward];
}

#[derive(Clone, Copy)]
struct Sizes {
    width: usize,
    heads: usize,
    batch: usize,
}

/// A block's parameters, and memory for all that it computes.
struct Block<T> {
    sizes: Sizes,
    parameters: Vec<f32>,
    x: Vec<f32>,
    gradient: Vec<f32>,
    out: Vec<f32>,
    qkv: Vec<T>,
    attended: Vec<T>,
    logsumexp: Vec<f32>,
    hidden: Vec<T>,
    units: [Vec<T>; 2],
    statistics: [Vec<f32>; 2],
    weight_gradients: [Vec<f32>; 2],
    bias_gradients: [Vec<f32>; 4],
}

impl<T: Compiled> Block<T> {
    fn new(sizes: Sizes) -> Self {
        let Sizes { width, heads, batch } = sizes;
        let rows = batch * TOKENS;
        Self {
            sizes,
            parameters: values(width * 4 * width, 0.05),
            x: values(rows * width, 1.0),
            gradient: values(rows * width, 1.0),
            out: vec![0.0; rows * width],
            qkv: vec![T::default(); rows * 3 * width],
            attended: vec![T::default(); rows * width],
            logsumexp: vec![0.0; rows * heads],
            hidden: vec![T::default(); rows * 4 * width],
            units: [(); 2].map(|()| vec![T::default(); rows * width]),
            statistics: [(); 2].map(|()| vec![0.0; rows * 2]),
            weight_gradients: [(); 2].map(|()| vec![0.0; width * 4 * width]),
            bias_gradients: [(); 4].map(|()| vec![0.0; 4 * width]),
        }
    }

    /// Whether branches keep what they have normalised in the place of what went in.
    const KEEPS_NORM: bool = size_of::<T>() < size_of::<f32>();

    /// What lies in memory between forward and backward: what the branches keep, and tokens before both
    /// in `f32` or as they are normalised.
    fn kept_bytes(&self) -> usize {
        let norm = size_of_val(&self.units[0][..]) + size_of_val(&self.statistics[0][..]);
        2 * if Self::KEEPS_NORM { norm } else { size_of_val(&self.x[..]) }
            + size_of_val(&self.qkv[..])
            + size_of_val(&self.attended[..])
            + size_of_val(&self.logsumexp[..])
            + size_of_val(&self.hidden[..])
    }

    fn run(&mut self, part: Part) {
        let Sizes { width, heads, batch } = self.sizes;
        let (parameters, vector) = (&self.parameters, &self.parameters[..4 * width]);
        let linear = |inputs: usize, outputs: usize| Linear {
            weight: &parameters[..inputs * outputs],
            bias: Some(&vector[..outputs]),
            inputs,
            outputs,
        };
        let residual = Residual {
            batch,
            tokens: TOKENS,
            norm: LayerNorm { weight: &vector[..width], bias: &vector[..width], eps: 1e-6 },
            layer_scale: None,
            sample_scales: None,
        };
        let attention = AttentionBranch {
            residual,
            qkv: linear(width, 3 * width),
            proj: linear(width, width),
            heads,
        };
        let mlp = MlpBranch {
            residual,
            fc1: linear(width, 4 * width),
            fc2: linear(4 * width, width),
            activation: Activation::Gelu,
        };
        let [first, second] = &mut self.weight_gradients;
        let [norm_weight, norm_bias, in_bias, out_bias] = &mut self.bias_gradients;
        let norm =
            LayerNormGradients { weight: &mut norm_weight[..width], bias: &mut norm_bias[..width] };
        let [of_attention, of_mlp] = &mut self.units;
        let [statistics_of_attention, statistics_of_mlp] = &mut self.statistics;
        let attention_norm = KeptNorm { units: of_attention, statistics: statistics_of_attention };
        let mlp_norm = KeptNorm { units: of_mlp, statistics: statistics_of_mlp };
        let attention_saved = AttentionSaved {
            qkv: &mut self.qkv,
            attended: &mut self.attended,
            logsumexp: &mut self.logsumexp,
            norm: Self::KEEPS_NORM.then_some(attention_norm),
        };
        let mlp_saved =
            MlpSaved { hidden: &mut self.hidden, norm: Self::KEEPS_NORM.then_some(mlp_norm) };
        let (x, gradient, out) = (&self.x, &self.gradient, &mut self.out);
        match part {
            Part::AttentionForward => attention.forward(x, out, Some(attention_saved)),
            Part::MlpForward => mlp.forward(x, out, Some(mlp_saved)),
            Part::MlpBackward => mlp.backward(
                x,
                Some(mlp_saved),
                gradient,
                out,
                MlpGradients {
                    norm,
                    fc1: LinearGradients { weight: first, bias: Some(in_bias) },
                    fc2: LinearGradients { weight: second, bias: Some(&mut out_bias[..width]) },
                    layer_scale: None,
                },
            ),
            Part::AttentionBackward => attention.backward(
                x,
                attention_saved,
                gradient,
                out,
                AttentionBranchGradients {
                    norm,
                    qkv: LinearGradients {
                        weight: &mut first[..3 * width * width],
                        bias: Some(&mut in_bias[..3 * width]),
                    },
                    proj: LinearGradients {
                        weight: &mut second[..width * width],
                        bias: Some(&mut out_bias[..width]),
                    },
                    layer_scale: None,
                },
            ),
        }
    }
}
