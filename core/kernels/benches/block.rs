//! A transformer block's two branches, forward and backward, next to plain products of the same
//! sizes by the `gemm` crate: `cargo bench -p vitral-kernels`.

use std::time::Instant;

use vitral_kernels::{
    activation::Activation,
    attention_branch::{AttentionBranch, AttentionBranchGradients, AttentionSaved},
    layer_norm::{LayerNorm, LayerNormGradients},
    linear::{Linear, LinearGradients},
    mlp_branch::{MlpBranch, MlpGradients, MlpSaved},
    residual::Residual,
};

/// The median of some runs, in seconds.
fn median(mut body: impl FnMut()) -> f64 {
    body();
    let mut times: Vec<f64> = (0..31)
        .map(|_| {
            let start = Instant::now();
            body();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[if std::env::var_os("BEST").is_some() { 0 } else { times.len() / 2 }]
}

fn report(what: &str, flops: f64, seconds: f64) {
    println!("  {what:<28} {:7.2} ms  {:6.1} GFLOP/s", seconds * 1e3, flops / seconds / 1e9);
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 % 1000) as f32 - 500.0) * 1e-4).collect()
}

fn plain(m: usize, k: usize, n: usize) {
    let (a, b, mut c) = (values(m * k), values(k * n), vec![0.0f32; m * n]);
    let seconds = median(|| {
        // SAFETY: the slices are as large as the matrices.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c.as_mut_ptr(),
                1,
                n as isize,
                false,
                a.as_ptr(),
                1,
                k as isize,
                b.as_ptr(),
                1,
                n as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::Rayon(0),
            );
        }
    });
    report(&format!("gemm {m}x{k}x{n}"), 2.0 * (m * k * n) as f64, seconds);
    let linear = Linear { weight: &b, bias: None, inputs: k, outputs: n };
    let seconds = median(|| linear.forward(&a, &mut c));
    report(&format!("linear {m}x{k}x{n}"), 2.0 * (m * k * n) as f64, seconds);
    let mut db = vec![0.0f32; k * n];
    let seconds = median(|| {
        linear.backward(&a, &c, None, LinearGradients { weight: &mut db, bias: None });
    });
    report(&format!("weight gradient {k}x{m}x{n}"), 2.0 * (m * k * n) as f64, seconds);
}

fn block(name: &str, batch: usize, tokens: usize, width: usize, heads: usize) {
    println!("{name}, batch {batch}:");
    let (rows, hidden) = (batch * tokens, 4 * width);
    plain(rows, width, 3 * width);
    plain(rows, width, hidden);
    plain(rows, hidden, width);
    let x = values(rows * width);
    let gradient = values(rows * width);
    let (mut out, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let parameters = values(hidden * width);
    let bias = values(hidden);
    let norm = LayerNorm { weight: &bias[..width], bias: &bias[..width], eps: 1e-6 };
    let residual = Residual { batch, tokens, norm, layer_scale: None, sample_scales: None };
    let linear = |inputs: usize, outputs: usize| Linear {
        weight: &parameters[..inputs * outputs],
        bias: Some(&bias[..outputs]),
        inputs,
        outputs,
    };
    let mut gradients = [vec![0.0; hidden * width], vec![0.0; hidden * width]];
    let mut small = [vec![0.0; width], vec![0.0; width], vec![0.0; hidden], vec![0.0; width]];

    let mlp = MlpBranch {
        residual,
        fc1: linear(width, hidden),
        fc2: linear(hidden, width),
        activation: Activation::Gelu,
    };
    let mut kept = vec![0.0; rows * hidden];
    let flops = 4.0 * (rows * width * hidden) as f64;
    let seconds = median(|| mlp.forward(&x, &mut out, Some(MlpSaved { hidden: &mut kept })));
    report("MLP branch forward", flops, seconds);
    let seconds = median(|| {
        let [fc1, fc2] = &mut gradients;
        let [norm_weight, norm_bias, fc1_bias, fc2_bias] = &mut small;
        mlp.backward(
            &x,
            Some(MlpSaved { hidden: &mut kept }),
            &gradient,
            &mut dx,
            MlpGradients {
                norm: LayerNormGradients { weight: norm_weight, bias: norm_bias },
                fc1: LinearGradients { weight: fc1, bias: Some(fc1_bias) },
                fc2: LinearGradients { weight: fc2, bias: Some(fc2_bias) },
                layer_scale: None,
            },
        );
    });
    report("MLP branch backward", 2.0 * flops, seconds);

    let attention = AttentionBranch {
        residual,
        qkv: linear(width, 3 * width),
        proj: linear(width, width),
        heads,
    };
    let (mut qkv, mut attended) = (vec![0.0; rows * 3 * width], vec![0.0; rows * width]);
    let mut logsumexp = vec![0.0; rows * heads];
    let flops = 8.0 * (rows * width * width) as f64 + 4.0 * (rows * tokens * width) as f64;
    macro_rules! saved {
        () => {
            Some(AttentionSaved {
                qkv: &mut qkv,
                attended: &mut attended,
                logsumexp: &mut logsumexp,
            })
        };
    }
    let seconds = median(|| attention.forward(&x, &mut out, saved!()));
    report("attention branch forward", flops, seconds);
    let (mut dqkv, mut dproj) = (vec![0.0; 3 * width * width], vec![0.0; width * width]);
    let mut qkv_bias = vec![0.0; 3 * width];
    let seconds = median(|| {
        let [norm_weight, norm_bias, _, proj_bias] = &mut small;
        attention.backward(
            &x,
            saved!(),
            &gradient,
            &mut dx,
            AttentionBranchGradients {
                norm: LayerNormGradients { weight: norm_weight, bias: norm_bias },
                qkv: LinearGradients { weight: &mut dqkv, bias: Some(&mut qkv_bias) },
                proj: LinearGradients { weight: &mut dproj, bias: Some(proj_bias) },
                layer_scale: None,
            },
        );
    });
    report("attention branch backward", 2.0 * flops, seconds);
}

fn main() {
    block("Ti/16", 16, 197, 192, 3);
    block("S/16", 8, 197, 384, 6);
    block("B/16", 4, 197, 768, 12);
}
