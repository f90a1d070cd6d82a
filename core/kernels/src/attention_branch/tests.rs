//! The attention branch against plain loops in `f64`, and its gradients against finite differences.

use super::*;
use crate::{
    layer_norm::LayerNorm,
    testing::{self, all_differences, assert_close, on_each_instruction_set, values},
};

const BATCH: usize = 3;
const TOKENS: usize = 5;
const WIDTH: usize = 6;
const HEAD_WIDTH: usize = 3;

/// From packed queries, keys and values to the heads' results, by plain loops.
fn attend(qkv: &[f64], heads: usize) -> Vec<f64> {
    let (dim, inner) = (HEAD_WIDTH, heads * HEAD_WIDTH);
    let at = |sample: usize, token: usize, part: usize, head: usize, i: usize| {
        qkv[(sample * TOKENS + token) * 3 * inner + part * inner + head * dim + i]
    };
    let mut out = vec![0.0; BATCH * TOKENS * inner];
    for (sample, head) in (0..BATCH).flat_map(|s| (0..heads).map(move |h| (s, h))) {
        for query in 0..TOKENS {
            let weights: Vec<f64> = (0..TOKENS)
                .map(|key| {
                    let product = |i| at(sample, query, 0, head, i) * at(sample, key, 1, head, i);
                    ((0..dim).map(product).sum::<f64>() / (dim as f64).sqrt()).exp()
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            for i in 0..dim {
                out[(sample * TOKENS + query) * inner + head * dim + i] =
                    (0..TOKENS).map(|key| weights[key] / sum * at(sample, key, 2, head, i)).sum();
            }
        }
    }
    out
}

#[test]
fn values_and_gradients_are_exact() {
    on_each_instruction_set(|set| {
        for scales in [None, Some([0.0f32, 1.25, 1.25])] {
            for scaled in [false, true] {
                // All heads, one that others were pruned beside, and more than the width has.
                for heads in [2, 1, 3] {
                    let name = format!("{set:?} {scales:?} {scaled} {heads} heads");
                    check(&name, scales, scaled, heads);
                }
            }
        }
    });
}

fn check(name: &str, scales: Option<[f32; 3]>, scaled: bool, heads: usize) {
    let inner = heads * HEAD_WIDTH;
    let x = values(BATCH * TOKENS * WIDTH, 1);
    let gradient = values(x.len(), 2);
    let [norm_weight, norm_bias, proj_bias, gamma] = [3, 4, 5, 6].map(|s| values(WIDTH, s));
    let (qkv, qkv_bias) = (values(WIDTH * 3 * inner, 7), values(3 * inner, 8));
    let proj = values(inner * WIDTH, 9);
    let norm = LayerNorm { weight: &norm_weight, bias: &norm_bias, eps: 1e-3 };
    let linear = |weight, bias, inputs, outputs| Linear { weight, bias, inputs, outputs };
    let branch = AttentionBranch {
        residual: Residual {
            batch: BATCH,
            tokens: TOKENS,
            norm,
            layer_scale: scaled.then_some(&gamma[..]),
            sample_scales: scales.as_ref().map(|scales| &scales[..]),
        },
        qkv: linear(&qkv, Some(&qkv_bias), WIDTH, 3 * inner),
        proj: linear(&proj, Some(&proj_bias), inner, WIDTH),
        heads,
    };
    let inputs = [&x[..], &norm_weight, &norm_bias, &qkv, &qkv_bias, &proj, &proj_bias, &gamma];
    let exact = |inputs: &[Vec<f64>]| {
        let [x, norm_weight, norm_bias, qkv, qkv_bias, proj, proj_bias, gamma] = inputs else {
            unreachable!()
        };
        let x1 = testing::layer_norm(x, norm_weight, norm_bias, f64::from(1e-3f32));
        let attended = attend(&testing::linear(&x1, qkv, qkv_bias), heads);
        let branch = testing::linear(&attended, proj, proj_bias);
        let ones = vec![1.0; WIDTH];
        let scales = testing::wide(&scales.unwrap_or([1.0; 3]));
        testing::add_branch(x, &branch, if scaled { gamma } else { &ones }, &scales)
    };
    let (rows, samples) = (branch.residual.kept_rows(), branch.residual.kept_samples());
    let mut out = vec![f32::NAN; x.len()];
    let (mut qkv_kept, mut attended) = (vec![0.0; rows * 3 * inner], vec![0.0; rows * inner]);
    let mut logsumexp = vec![0.0; samples * heads * TOKENS];
    macro_rules! saved {
        () => {
            AttentionSaved {
                qkv: &mut qkv_kept,
                attended: &mut attended,
                logsumexp: &mut logsumexp,
                norm: None,
            }
        };
    }
    branch.forward(&x, &mut out, Some(saved!()));
    assert_close(name, &out, &exact(&inputs.map(testing::wide)), 3e-6);
    let mut alone = vec![f32::NAN; x.len()];
    branch.forward::<f32>(&x, &mut alone, None);
    assert_eq!(alone, out, "{name}: whatever is kept");
    let mut got = inputs.map(|input| vec![f32::NAN; input.len()]);
    let [dx, dnorm_weight, dnorm_bias, dqkv, dqkv_bias, dproj, dproj_bias, dgamma] = &mut got;
    branch.backward(
        &x,
        saved!(),
        &gradient,
        dx,
        AttentionBranchGradients {
            norm: LayerNormGradients { weight: dnorm_weight, bias: dnorm_bias },
            qkv: LinearGradients { weight: dqkv, bias: Some(dqkv_bias) },
            proj: LinearGradients { weight: dproj, bias: Some(dproj_bias) },
            layer_scale: scaled.then_some(dgamma),
        },
    );
    let expected = all_differences(&inputs, &gradient, exact);
    for (which, (got, exact)) in got.iter().zip(&expected).enumerate() {
        if which < 7 || scaled {
            assert_close(&format!("{name}, gradient {which}"), got, exact, 2e-5);
        }
    }
}
