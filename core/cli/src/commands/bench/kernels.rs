//! `vitral bench kernels`: the kernels of a model's blocks, one by one.

use std::{collections::BTreeMap, fmt, time::Instant};

use clap::Args;
use serde::Serialize;
use vitral_kernels::{
    activation::Activation,
    attention_branch::{AttentionBranch, AttentionBranchGradients, AttentionSaved},
    layer_norm::{LayerNorm, LayerNormGradients},
    linear::{Linear, LinearGradients},
    mlp_branch::{MlpBranch, MlpGradients, MlpSaved},
    residual::Residual,
    simd::InstructionSet,
};
use vitral_model::ViTConfig;

use super::{
    limit::{multiply, sgemm_limit},
    report::Spread,
};
use crate::{failure::Failure, progress::Steps};

#[derive(Debug, Args)]
pub struct KernelArguments {
    /// The published model whose sizes are taken: a size and a patch size.
    #[arg(long, default_value = "Ti/16")]
    pub variant: String,
    /// Side of the images in pixels.
    #[arg(long, default_value_t = 224)]
    pub image_size: usize,
    /// Images at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// How often each kernel is run; all take turns.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// portable, avx2, avx512 or neon; by default the best that the machine has.
    #[arg(long)]
    pub instruction_set: Option<String>,
    /// Print one JSON object with every sample instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Measures every kernel in turn, round after round, and prints what each takes.
pub fn run(arguments: &KernelArguments) -> Result<(), Failure> {
    let set = instruction_set(arguments.instruction_set.as_deref())?;
    let sizes = Sizes::of(arguments)?;
    let mut bench = Bench::new(sizes);
    let mut progress = Steps::new(1, arguments.rounds);
    let mut samples: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    let kernels = sizes.kernels();
    for round in 0..=arguments.rounds {
        for (index, kernel) in kernels.iter().enumerate() {
            let start = Instant::now();
            bench.run(*kernel);
            if round > 0 {
                samples.entry(index).or_default().push(start.elapsed().as_secs_f64());
            }
        }
        progress.next();
    }
    progress.finish();
    let report = KernelResults {
        instruction_set: set.name(),
        threads: rayon::current_num_threads(),
        sizes,
        sgemm_limit_gflops: sgemm_limit() / 1e9,
        kernels: kernels
            .iter()
            .zip(samples.into_values())
            .map(|(kernel, seconds)| Measured {
                name: kernel.to_string(),
                gflop: sizes.flops(*kernel) / 1e9,
                seconds,
            })
            .collect(),
    };
    if arguments.json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| Failure::Other(format!("the report cannot be written: {error}")))?;
        println!("{text}");
    } else {
        print!("{report}");
    }
    Ok(())
}

fn instruction_set(name: Option<&str>) -> Result<InstructionSet, Failure> {
    let Some(name) = name else { return Ok(InstructionSet::current()) };
    let available = InstructionSet::available();
    match available.iter().find(|set| set.name() == name) {
        Some(set) if set.choose() => Ok(*set),
        _ => {
            let names: Vec<&str> = available.iter().map(|set| set.name()).collect();
            Err(Failure::Other(format!(
                "--instruction-set `{name}`: this machine has {}",
                names.join(", ")
            )))
        }
    }
}

/// The sizes of a model's block.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sizes {
    batch: usize,
    tokens: usize,
    width: usize,
    hidden: usize,
    heads: usize,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
enum Kernel {
    /// A product by the `gemm` crate, `[rows, inputs]` times `[inputs, outputs]`.
    Gemm(usize, usize),
    /// The same by our own.
    Linear(usize, usize),
    /// The gradient of its weights.
    WeightGradient(usize, usize),
    MlpForward,
    MlpBackward,
    AttentionForward,
    AttentionBackward,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gemm(inputs, outputs) => write!(f, "gemm crate {inputs}x{outputs}"),
            Self::Linear(inputs, outputs) => write!(f, "linear {inputs}x{outputs}"),
            Self::WeightGradient(inputs, outputs) => {
                write!(f, "weight gradient {inputs}x{outputs}")
            }
            Self::MlpForward => f.write_str("MLP branch, forward"),
            Self::MlpBackward => f.write_str("MLP branch, backward"),
            Self::AttentionForward => f.write_str("attention branch, forward"),
            Self::AttentionBackward => f.write_str("attention branch, backward"),
        }
    }
}

impl Sizes {
    fn of(arguments: &KernelArguments) -> Result<Self, Failure> {
        let variant = arguments.variant.parse().map_err(|error| {
            Failure::Other(format!("--variant `{}`: {error}", arguments.variant))
        })?;
        let config =
            ViTConfig { image_size: arguments.image_size, ..ViTConfig::of_variant(variant) };
        if config.is_mixer() {
            return Err(Failure::Other(format!(
                "--variant `{variant}`: these are kernels of transformer blocks; `vitral bench step --variant {variant}` times an MLP-Mixer"
            )));
        }
        config.check().map_err(|problem| {
            Failure::Other(format!("{}: {} ({})", problem.field, problem.message, problem.help))
        })?;
        Ok(Self {
            batch: arguments.batch as usize,
            tokens: config.grid().pow(2) + config.prefix_tokens(),
            width: config.width(),
            hidden: config.mlp_dim(),
            heads: config.heads_of(0),
        })
    }

    fn rows(&self) -> usize {
        self.batch * self.tokens
    }

    fn kernels(&self) -> Vec<Kernel> {
        let shapes =
            [(self.width, 3 * self.width), (self.width, self.hidden), (self.hidden, self.width)];
        let mut kernels: Vec<Kernel> = shapes
            .into_iter()
            .flat_map(|(i, o)| {
                [Kernel::Gemm(i, o), Kernel::Linear(i, o), Kernel::WeightGradient(i, o)]
            })
            .collect();
        kernels.extend([
            Kernel::AttentionForward,
            Kernel::AttentionBackward,
            Kernel::MlpForward,
            Kernel::MlpBackward,
        ]);
        kernels
    }

    /// Of the matrix products alone; backward has twice those of forward.
    fn flops(&self, kernel: Kernel) -> f64 {
        let (rows, width) = (self.rows() as f64, self.width as f64);
        let mlp = 4.0 * rows * width * self.hidden as f64;
        let attention = 8.0 * rows * width * width + 4.0 * rows * self.tokens as f64 * width;
        match kernel {
            Kernel::Gemm(inputs, outputs)
            | Kernel::Linear(inputs, outputs)
            | Kernel::WeightGradient(inputs, outputs) => {
                2.0 * rows * inputs as f64 * outputs as f64
            }
            Kernel::MlpForward => mlp,
            Kernel::MlpBackward => 2.0 * mlp,
            Kernel::AttentionForward => attention,
            Kernel::AttentionBackward => 2.0 * attention,
        }
    }
}

/// Memory for every kernel.
struct Bench {
    sizes: Sizes,
    x: Vec<f32>,
    gradient: Vec<f32>,
    out: Vec<f32>,
    parameters: Vec<f32>,
    bias: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    logsumexp: Vec<f32>,
    hidden: Vec<f32>,
    weight_gradients: [Vec<f32>; 2],
    bias_gradients: [Vec<f32>; 4],
}

impl Bench {
    fn new(sizes: Sizes) -> Self {
        let values = |len: usize| -> Vec<f32> {
            (0..len).map(|index| ((index * 7919 % 1000) as f32 - 500.0) * 1e-4).collect()
        };
        let Sizes { width, hidden, heads, .. } = sizes;
        let (rows, widest) = (sizes.rows(), hidden.max(3 * width));
        Self {
            sizes,
            x: values(rows * widest),
            gradient: values(rows * widest),
            out: vec![0.0; rows * widest],
            parameters: values(width * widest),
            bias: values(widest),
            qkv: vec![0.0; rows * 3 * width],
            attended: vec![0.0; rows * width],
            logsumexp: vec![0.0; rows * heads],
            hidden: vec![0.0; rows * hidden],
            weight_gradients: [(); 2].map(|()| vec![0.0; width * widest]),
            bias_gradients: [(); 4].map(|()| vec![0.0; widest]),
        }
    }

    fn run(&mut self, kernel: Kernel) {
        let Self { sizes, x, gradient, out, parameters, bias, weight_gradients, .. } = self;
        let Sizes { batch, tokens, width, hidden, heads } = *sizes;
        let rows = sizes.rows();
        let linear = |inputs: usize, outputs: usize| Linear {
            weight: &parameters[..inputs * outputs],
            bias: Some(&bias[..outputs]),
            inputs,
            outputs,
        };
        let norm = LayerNorm { weight: &bias[..width], bias: &bias[..width], eps: 1e-6 };
        let residual = Residual { batch, tokens, norm, layer_scale: None, sample_scales: None };
        let mlp = MlpBranch {
            residual,
            fc1: linear(width, hidden),
            fc2: linear(hidden, width),
            activation: Activation::Gelu,
        };
        let attention = AttentionBranch {
            residual,
            qkv: linear(width, 3 * width),
            proj: linear(width, width),
            heads,
        };
        let tokens_of = rows * width;
        let [first, second] = weight_gradients;
        let [norm_weight, norm_bias, in_bias, out_bias] = &mut self.bias_gradients;
        let norm_gradients =
            LayerNormGradients { weight: &mut norm_weight[..width], bias: &mut norm_bias[..width] };
        let attention_saved = AttentionSaved {
            qkv: &mut self.qkv,
            attended: &mut self.attended,
            logsumexp: &mut self.logsumexp,
            norm: None,
        };
        let mlp_saved = MlpSaved { hidden: &mut self.hidden, norm: None };
        let linear_gradients = |weight, bias| LinearGradients { weight, bias: Some(bias) };
        match kernel {
            Kernel::Gemm(inputs, outputs) => multiply(
                [rows, inputs, outputs],
                &x[..rows * inputs],
                &parameters[..inputs * outputs],
                &mut out[..rows * outputs],
            ),
            Kernel::Linear(inputs, outputs) => {
                linear(inputs, outputs).forward(&x[..rows * inputs], &mut out[..rows * outputs]);
            }
            Kernel::WeightGradient(inputs, outputs) => linear(inputs, outputs).backward(
                &x[..rows * inputs],
                &gradient[..rows * outputs],
                None,
                LinearGradients { weight: &mut first[..inputs * outputs], bias: None },
            ),
            Kernel::AttentionForward => {
                attention.forward(&x[..tokens_of], &mut out[..tokens_of], Some(attention_saved));
            }
            Kernel::AttentionBackward => attention.backward(
                &x[..tokens_of],
                attention_saved,
                &gradient[..tokens_of],
                &mut out[..tokens_of],
                AttentionBranchGradients {
                    norm: norm_gradients,
                    qkv: linear_gradients(
                        &mut first[..3 * width * width],
                        &mut in_bias[..3 * width],
                    ),
                    proj: linear_gradients(&mut second[..width * width], &mut out_bias[..width]),
                    layer_scale: None,
                },
            ),
            Kernel::MlpForward => {
                mlp.forward(&x[..tokens_of], &mut out[..tokens_of], Some(mlp_saved));
            }
            Kernel::MlpBackward => mlp.backward(
                &x[..tokens_of],
                Some(mlp_saved),
                &gradient[..tokens_of],
                &mut out[..tokens_of],
                MlpGradients {
                    norm: norm_gradients,
                    fc1: linear_gradients(&mut first[..width * hidden], &mut in_bias[..hidden]),
                    fc2: linear_gradients(&mut second[..width * hidden], &mut out_bias[..width]),
                    layer_scale: None,
                },
            ),
        }
    }
}

/// What one kernel took.
#[derive(Debug, Serialize)]
struct Measured {
    name: String,
    /// Of one run, 1e9 floating-point operations.
    gflop: f64,
    /// Of every round.
    seconds: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct KernelResults {
    instruction_set: &'static str,
    threads: usize,
    sizes: Sizes,
    sgemm_limit_gflops: f64,
    kernels: Vec<Measured>,
}

impl fmt::Display for KernelResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sizes { batch, tokens, width, hidden, heads } = self.sizes;
        writeln!(
            f,
            "kernels of a block: batch {batch}, {tokens} tokens, width {width}, MLP {hidden}, {heads} heads"
        )?;
        writeln!(
            f,
            "  {} on {} threads; sgemm limit {:.0} GFLOP/s",
            self.instruction_set, self.threads, self.sgemm_limit_gflops
        )?;
        for Measured { name, gflop, seconds } in &self.kernels {
            let Some(Spread { median, least, most }) = Spread::of(seconds.iter().copied()) else {
                continue;
            };
            writeln!(
                f,
                "  {name:27} {:8.2} ms  ({:.2} to {:.2})  {:6.1} GFLOP/s  {:3.0}%",
                median * 1e3,
                least * 1e3,
                most * 1e3,
                gflop / median,
                100.0 * gflop / median / self.sgemm_limit_gflops
            )?;
        }
        Ok(())
    }
}
