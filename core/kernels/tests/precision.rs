//! Kernels in `bf16` against those in `f32`, on each instruction set that this machine has.

use std::sync::{Mutex, PoisonError};

use half::bf16;
use vitral_kernels::{
    Compiled,
    activation::Activation,
    attention_branch::{AttentionBranch, AttentionBranchGradients, AttentionSaved},
    branch_norm::KeptNorm,
    convert::convert,
    layer_norm::{LayerNorm, LayerNormGradients},
    linear::{Linear, LinearGradients},
    mlp_branch::{MlpBranch, MlpGradients, MlpSaved},
    patch_embedding::{PatchEmbedding, PatchEmbeddingGradients},
    residual::Residual,
    simd::InstructionSet,
};

const BATCH: usize = 4;
const TOKENS: usize = 37;
const HEADS: usize = 3;
const WIDTH: usize = 48;
const HIDDEN: usize = 4 * WIDTH;
const PATCH: usize = 5;
const GRID: usize = 6;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `body` on each instruction set that this machine has, and prints which.
fn on_each_instruction_set(body: impl Fn(&str)) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for set in InstructionSet::available() {
        assert!(set.choose());
        println!("on {}", set.name());
        body(set.name());
    }
}

/// Reproducible values between -scale and scale.
fn values(len: usize, seed: u64, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
    };
    (0..len).map(|_| next()).collect()
}

fn typed<T: Compiled>(values: &[f32]) -> Vec<T> {
    let mut out = vec![T::default(); values.len()];
    convert(values, &mut out);
    out
}

/// A result, or a gradient, and what it is of.
type Named = (&'static str, Vec<f32>);

/// Each of `brief` points where the one of `exact` does, and is as long.
fn assert_alike(set: &str, exact: &[Named], brief: &[Named]) {
    for ((name, exact), (_, brief)) in exact.iter().zip(brief) {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let norms = [dot(exact, exact).sqrt(), dot(brief, brief).sqrt()];
        let cosine = dot(exact, brief) / (norms[0] * norms[1]);
        assert!(cosine >= 0.9995, "{set}, {name}: cosine {cosine}");
        let ratio = norms[1] / norms[0];
        assert!((ratio - 1.0).abs() < 0.01, "{set}, {name}: {ratio} of the length");
        assert!(exact != brief, "{set}, {name}: rounded operands give other values");
    }
}

/// Parameters of a block, with drop path and LayerScale.
struct Block {
    norm: [Vec<f32>; 2],
    wide: Vec<f32>,
    narrow: Vec<f32>,
    bias: Vec<f32>,
    gamma: Vec<f32>,
    scales: [f32; BATCH],
    x: Vec<f32>,
    gradient: Vec<f32>,
}

impl Block {
    fn new() -> Self {
        Self {
            norm: [values(WIDTH, 1, 1.0), values(WIDTH, 2, 0.5)],
            wide: values(WIDTH * HIDDEN, 3, 0.25),
            narrow: values(HIDDEN * WIDTH, 4, 0.25),
            bias: values(HIDDEN, 5, 0.5),
            gamma: values(WIDTH, 6, 1.0),
            scales: [1.25, 0.0, 1.25, 1.25],
            x: values(BATCH * TOKENS * WIDTH, 7, 1.0),
            gradient: values(BATCH * TOKENS * WIDTH, 8, 1.0),
        }
    }

    fn residual(&self) -> Residual<'_> {
        Residual {
            batch: BATCH,
            tokens: TOKENS,
            norm: LayerNorm { weight: &self.norm[0], bias: &self.norm[1], eps: 1e-6 },
            layer_scale: Some(&self.gamma),
            sample_scales: Some(&self.scales),
        }
    }

    fn linear<'a>(&'a self, weight: &'a [f32], inputs: usize, outputs: usize) -> Linear<'a> {
        let weight = &weight[..inputs * outputs];
        Linear { weight, bias: Some(&self.bias[..outputs]), inputs, outputs }
    }

    /// The MLP branch's result and gradients. With `norm`, backward is not given what went in.
    fn mlp<T: Compiled>(&self, recompute: bool, norm: bool) -> Vec<Named> {
        let mlp = MlpBranch {
            residual: self.residual(),
            fc1: self.linear(&self.wide, WIDTH, HIDDEN),
            fc2: self.linear(&self.narrow, HIDDEN, WIDTH),
            activation: Activation::Gelu,
        };
        let mut out = vec![f32::NAN; self.x.len()];
        let rows = mlp.residual.kept_rows();
        let mut hidden = vec![T::default(); rows * HIDDEN];
        let (mut units, mut statistics) = (vec![T::default(); rows * WIDTH], vec![0.0; rows * 2]);
        macro_rules! saved {
            () => {{
                let kept = KeptNorm { units: &mut units, statistics: &mut statistics };
                MlpSaved { hidden: &mut hidden, norm: norm.then_some(kept) }
            }};
        }
        mlp.forward(&self.x, &mut out, Some(saved!()));
        let mut alone = vec![f32::NAN; self.x.len()];
        mlp.forward::<T>(&self.x, &mut alone, None);
        assert_eq!(alone, out, "whatever is kept");
        let [mut dx, mut dfc1, mut dfc2] =
            [self.x.len(), WIDTH * HIDDEN, WIDTH * HIDDEN].map(|len| vec![f32::NAN; len]);
        let [mut dnorm_weight, mut dnorm_bias, mut dfc2_bias, mut dgamma] =
            [(); 4].map(|()| vec![f32::NAN; WIDTH]);
        let mut dfc1_bias = vec![f32::NAN; HIDDEN];
        mlp.backward(
            if norm { &[] } else { &self.x },
            if recompute { None } else { Some(saved!()) },
            &self.gradient,
            &mut dx,
            MlpGradients {
                norm: LayerNormGradients { weight: &mut dnorm_weight, bias: &mut dnorm_bias },
                fc1: LinearGradients { weight: &mut dfc1, bias: Some(&mut dfc1_bias) },
                fc2: LinearGradients { weight: &mut dfc2, bias: Some(&mut dfc2_bias) },
                layer_scale: Some(&mut dgamma),
            },
        );
        vec![
            ("MLP branch", out),
            ("x", dx),
            ("LayerNorm's weight", dnorm_weight),
            ("LayerNorm's bias", dnorm_bias),
            ("fc1", dfc1),
            ("fc1's bias", dfc1_bias),
            ("fc2", dfc2),
            ("LayerScale", dgamma),
        ]
    }

    /// The attention branch's result and gradients. With `norm`, backward is not given what went in.
    fn attention<T: Compiled>(&self, norm: bool) -> Vec<Named> {
        let attention = AttentionBranch {
            residual: self.residual(),
            qkv: self.linear(&self.wide, WIDTH, 3 * WIDTH),
            proj: self.linear(&self.narrow, WIDTH, WIDTH),
            heads: HEADS,
        };
        let rows = attention.residual.kept_rows();
        let mut out = vec![f32::NAN; self.x.len()];
        let mut qkv = vec![T::default(); rows * 3 * WIDTH];
        let mut attended = vec![T::default(); rows * WIDTH];
        let mut logsumexp = vec![0.0; attention.residual.kept_samples() * HEADS * TOKENS];
        let (mut units, mut statistics) = (vec![T::default(); rows * WIDTH], vec![0.0; rows * 2]);
        macro_rules! saved {
            () => {{
                let kept = KeptNorm { units: &mut units, statistics: &mut statistics };
                AttentionSaved {
                    qkv: &mut qkv,
                    attended: &mut attended,
                    logsumexp: &mut logsumexp,
                    norm: norm.then_some(kept),
                }
            }};
        }
        attention.forward(&self.x, &mut out, Some(saved!()));
        let mut alone = vec![f32::NAN; self.x.len()];
        attention.forward::<T>(&self.x, &mut alone, None);
        assert_eq!(alone, out, "whatever is kept");
        let [mut dx, mut dqkv, mut dproj] =
            [self.x.len(), 3 * WIDTH * WIDTH, WIDTH * WIDTH].map(|len| vec![f32::NAN; len]);
        let [mut dnorm_weight, mut dnorm_bias, mut dproj_bias, mut dgamma] =
            [(); 4].map(|()| vec![f32::NAN; WIDTH]);
        let mut dqkv_bias = vec![f32::NAN; 3 * WIDTH];
        attention.backward(
            if norm { &[] } else { &self.x },
            saved!(),
            &self.gradient,
            &mut dx,
            AttentionBranchGradients {
                norm: LayerNormGradients { weight: &mut dnorm_weight, bias: &mut dnorm_bias },
                qkv: LinearGradients { weight: &mut dqkv, bias: Some(&mut dqkv_bias) },
                proj: LinearGradients { weight: &mut dproj, bias: Some(&mut dproj_bias) },
                layer_scale: Some(&mut dgamma),
            },
        );
        vec![
            ("attention branch", out),
            ("x", dx),
            ("LayerNorm's weight", dnorm_weight),
            ("LayerNorm's bias", dnorm_bias),
            ("qkv", dqkv),
            ("qkv's bias", dqkv_bias),
            ("proj", dproj),
            ("LayerScale", dgamma),
        ]
    }

    /// Each layer on its own: patch embedding, LayerNorm, linear layer, activation.
    fn layers<T: Compiled>(&self) -> Vec<Named> {
        let inputs = PATCH * PATCH * 3;
        let images: Vec<T> = typed(&values(BATCH * GRID * GRID * inputs, 9, 1.0));
        let positions = values(GRID * GRID * WIDTH, 10, 0.1);
        let embedding = PatchEmbedding {
            batch: BATCH,
            grid: [GRID; 2],
            patch: PATCH,
            channels: 3,
            proj: self.linear(&self.wide, inputs, WIDTH),
            positions: Some(&positions),
            prefix: &self.gamma,
        };
        assert_eq!(embedding.tokens(), TOKENS);
        let mut tokens = vec![f32::NAN; self.x.len()];
        embedding.forward(&images, &mut tokens);
        let mut dimages = vec![T::default(); images.len()];
        let [mut dpatches, mut dpositions] =
            [inputs * WIDTH, positions.len()].map(|len| vec![f32::NAN; len]);
        let [mut dprefix, mut dbias] = [(); 2].map(|()| vec![f32::NAN; WIDTH]);
        embedding.backward(
            &images,
            &self.gradient,
            Some(&mut dimages),
            PatchEmbeddingGradients {
                proj: LinearGradients { weight: &mut dpatches, bias: Some(&mut dbias) },
                positions: Some(&mut dpositions),
                prefix: &mut dprefix,
            },
        );

        let norm = self.residual().norm;
        let mut normalized = vec![T::default(); tokens.len()];
        let mut statistics = vec![0.0; BATCH * TOKENS * 2];
        norm.forward(&tokens, &mut normalized, &mut statistics);
        let gradient: Vec<T> = typed(&self.gradient);
        let mut dtokens = vec![f32::NAN; tokens.len()];
        let [mut dnorm_weight, mut dnorm_bias] = [(); 2].map(|()| vec![f32::NAN; WIDTH]);
        norm.backward(
            &tokens,
            &statistics,
            &gradient,
            &mut dtokens,
            LayerNormGradients { weight: &mut dnorm_weight, bias: &mut dnorm_bias },
        );

        let linear = self.linear(&self.wide, WIDTH, HIDDEN);
        let mut hidden = vec![T::default(); BATCH * TOKENS * HIDDEN];
        linear.forward(&normalized, &mut hidden);
        let mut activated = hidden.clone();
        Activation::Gelu.forward(&hidden, &mut activated);
        let mut dhidden = hidden.clone();
        Activation::Gelu.backward(&hidden, &activated, &mut dhidden);
        let mut dnormalized = normalized.clone();
        let mut dlinear = vec![f32::NAN; linear.weight.len()];
        let gradients = LinearGradients { weight: &mut dlinear, bias: None };
        linear.backward(&normalized, &dhidden, Some(&mut dnormalized), gradients);
        let mut logits = vec![f32::NAN; hidden.len()];
        linear.forward(&normalized, &mut logits);

        let wide = |values: &[T]| {
            let mut out = vec![0.0; values.len()];
            convert(values, &mut out);
            out
        };
        vec![
            ("patch embedding", tokens),
            ("images", wide(&dimages)),
            ("projection of patches", dpatches),
            ("LayerNorm's input", dtokens),
            ("LayerNorm's weight", dnorm_weight),
            ("activation", wide(&activated)),
            ("linear layer's input", wide(&dnormalized)),
            ("linear layer", dlinear),
            ("logits", logits),
        ]
    }

    fn all<T: Compiled>(&self) -> Vec<Named> {
        let mlp = [self.mlp::<T>(false, false), self.mlp::<T>(true, false)].concat();
        [mlp, self.attention::<T>(false), self.layers::<T>()].concat()
    }
}

#[test]
fn results_and_gradients_in_bf16_are_those_in_f32_but_for_rounding() {
    let block = Block::new();
    on_each_instruction_set(|set| assert_alike(set, &block.all::<f32>(), &block.all::<bf16>()));
}

#[test]
fn branches_that_keep_their_norm_need_not_keep_what_went_in() {
    let block = Block::new();
    on_each_instruction_set(|set| {
        let of = |norm| [block.mlp::<bf16>(false, norm), block.attention::<bf16>(norm)].concat();
        for ((name, expected), (_, got)) in of(false).iter().zip(of(true)) {
            assert_eq!(expected, &got, "{set}, {name}");
        }
    });
}

#[test]
fn results_are_the_same_with_any_number_of_threads() {
    let block = Block::new();
    on_each_instruction_set(|set| {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("so few threads can be started").install(|| block.all::<bf16>())
        };
        let one = with(1);
        for threads in [2, 3] {
            for ((name, expected), (_, got)) in one.iter().zip(with(threads)) {
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(expected), bits(&got), "{set}, {name}, {threads} threads");
            }
        }
    });
}
