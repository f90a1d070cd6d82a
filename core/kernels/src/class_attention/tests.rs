//! The class token's attention against plain loops in `f64`, and its gradients against finite differences.

use super::*;
use crate::testing::{self, all_differences, assert_close, on_each_instruction_set, values};

/// As attention has it: queries and keys by the packed projection, and of the weights the first row.
fn exact(all: &[Vec<f64>], (batch, tokens, heads, eps): (usize, usize, usize, f64)) -> Vec<f64> {
    let [x, norm_weight, norm_bias, qkv, qkv_bias] = all else { unreachable!() };
    let normalized = testing::layer_norm(x, norm_weight, norm_bias, eps);
    let (qkv, inner) = (testing::linear(&normalized, qkv, qkv_bias), qkv_bias.len() / 3);
    let (dim, mut out) = (inner / heads, vec![0.0; batch * tokens]);
    for (sample, head) in (0..batch).flat_map(|sample| (0..heads).map(move |head| (sample, head))) {
        let at = |token: usize, part: usize| {
            &qkv[(sample * tokens + token) * 3 * inner + part * inner + head * dim..][..dim]
        };
        let query = at(0, 0);
        let score = |token| {
            let product: f64 = query.iter().zip(at(token, 1)).map(|(q, k)| q * k).sum();
            (product / (dim as f64).sqrt()).exp()
        };
        let scores: Vec<f64> = (0..tokens).map(score).collect();
        let sum: f64 = scores.iter().sum();
        for (token, score) in scores.into_iter().enumerate() {
            out[sample * tokens + token] += score / sum / heads as f64;
        }
    }
    out
}

#[test]
fn values_and_gradients_are_exact() {
    on_each_instruction_set(|set| {
        for (batch, tokens, width, heads, head_width, biased) in [
            (3, 5, 6, 2, 3, true),
            (2, 9, 17, 1, 5, true),
            (1, 1, 4, 3, 2, true),
            (4, 7, 20, 2, 9, false),
        ] {
            let name = format!("{set:?} {batch}x{tokens}x{width}, {heads} heads of {head_width}");
            let inner = heads * head_width;
            let x = values(batch * tokens * width, 1);
            let [norm_weight, norm_bias] = [2, 3].map(|seed| values(width, seed));
            let qkv: Vec<f32> =
                values(width * 3 * inner, 4).iter().map(|value| 2.0 * value).collect();
            let qkv_bias = match biased {
                true => values(3 * inner, 5),
                false => vec![0.0; 3 * inner],
            };
            let attention = ClassAttention {
                batch,
                tokens,
                norm: LayerNorm { weight: &norm_weight, bias: &norm_bias, eps: 1e-3 },
                qkv: Linear {
                    weight: &qkv,
                    bias: biased.then_some(&qkv_bias[..]),
                    inputs: width,
                    outputs: 3 * inner,
                },
                heads,
            };
            let inputs = [&x[..], &norm_weight, &norm_bias, &qkv, &qkv_bias];
            let shape = (batch, tokens, heads, f64::from(1e-3f32));
            let mut out = vec![f32::NAN; batch * tokens];
            let mut saved = vec![f32::NAN; attention.saved_len()];
            attention.forward(&x, &mut out, &mut saved);
            assert_close(&name, &out, &exact(&inputs.map(testing::wide), shape), 3e-6);
            let gradient = values(out.len(), 6);
            let mut got = inputs.map(|input| vec![f32::NAN; input.len()]);
            let [dx, dnorm_weight, dnorm_bias, dqkv, dqkv_bias] = &mut got;
            attention.backward(
                &x,
                &mut saved,
                &gradient,
                dx,
                ClassAttentionGradients {
                    norm: LayerNormGradients { weight: dnorm_weight, bias: dnorm_bias },
                    qkv: LinearGradients { weight: dqkv, bias: biased.then_some(dqkv_bias) },
                },
            );
            let expected = all_differences(&inputs, &gradient, |all| exact(all, shape));
            let checked = if biased { 5 } else { 4 };
            for (which, (got, exact)) in got.iter().zip(&expected).take(checked).enumerate() {
                assert_close(&format!("{name}, gradient {which}"), got, exact, 2e-5);
            }
        }
    });
}

/// A model that diverges must say so, and not stop for another reason.
#[test]
fn what_is_not_a_number_stays_so() {
    let (x, ones, qkv) = (vec![f32::NAN; 12], vec![1.0; 4], values(48, 1));
    let attention = ClassAttention {
        batch: 1,
        tokens: 3,
        norm: LayerNorm { weight: &ones, bias: &ones, eps: 1e-6 },
        qkv: Linear { weight: &qkv, bias: None, inputs: 4, outputs: 12 },
        heads: 2,
    };
    let (mut out, mut saved) = (vec![0.0; 3], vec![0.0; attention.saved_len()]);
    attention.forward(&x, &mut out, &mut saved);
    assert!(out.iter().all(|value| value.is_nan()), "{out:?}");
}
