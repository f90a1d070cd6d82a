//! The MLP branch against its formula in `f64`, and its gradients against finite differences.

use super::*;
use crate::{
    layer_norm::LayerNorm,
    testing::{self, all_differences, assert_close, on_each_instruction_set, values},
};

/// The activations in f64, `Phi` by its series.
fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Gelu => {
            let (mut term, mut sum, mut n) = (x, x, 0.0);
            while term.abs() > 1e-18 {
                n += 1.0;
                term *= -x * x / (2.0 * n);
                sum += term / (2.0 * n + 1.0);
            }
            x * (0.5 + sum / std::f64::consts::TAU.sqrt())
        }
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
    }
}

#[test]
fn values_and_gradients_are_exact() {
    on_each_instruction_set(|set| {
        for activation in [Activation::Gelu, Activation::GeluTanh] {
            for scales in [None, Some([1.25f32, 0.0, 1.25])] {
                for scaled in [false, true] {
                    for recompute in [false, true] {
                        let name = format!("{set:?} {activation:?} {scales:?} {scaled}");
                        check(&name, activation, scales, scaled, recompute);
                    }
                }
            }
        }
    });
}

fn check(
    name: &str,
    activation: Activation,
    scales: Option<[f32; 3]>,
    scaled: bool,
    recompute: bool,
) {
    let (batch, tokens, width, hidden) = (3, 5, 7, 19);
    let x = values(batch * tokens * width, 1);
    let gradient = values(x.len(), 2);
    let [norm_weight, norm_bias, fc2_bias, gamma] = [3, 4, 5, 6].map(|s| values(width, s));
    let [fc1, fc2] = [7, 8].map(|seed| values(width * hidden, seed));
    let fc1_bias = values(hidden, 9);
    let norm = LayerNorm { weight: &norm_weight, bias: &norm_bias, eps: 1e-3 };
    let mlp = MlpBranch {
        residual: Residual {
            batch,
            tokens,
            norm,
            layer_scale: scaled.then_some(&gamma[..]),
            sample_scales: scales.as_ref().map(|scales| &scales[..]),
        },
        fc1: Linear { weight: &fc1, bias: Some(&fc1_bias), inputs: width, outputs: hidden },
        fc2: Linear { weight: &fc2, bias: Some(&fc2_bias), inputs: hidden, outputs: width },
        activation,
    };
    let inputs = [&x[..], &norm_weight, &norm_bias, &fc1, &fc1_bias, &fc2, &fc2_bias, &gamma];
    let exact = |inputs: &[Vec<f64>]| {
        let [x, norm_weight, norm_bias, fc1, fc1_bias, fc2, fc2_bias, gamma] = inputs else {
            unreachable!()
        };
        let x1 = testing::layer_norm(x, norm_weight, norm_bias, f64::from(1e-3f32));
        let hidden: Vec<f64> = testing::linear(&x1, fc1, fc1_bias)
            .into_iter()
            .map(|x| activate(activation, x))
            .collect();
        let branch = testing::linear(&hidden, fc2, fc2_bias);
        let ones = vec![1.0; width];
        let scales = testing::wide(&scales.unwrap_or([1.0; 3]));
        testing::add_branch(x, &branch, if scaled { gamma } else { &ones }, &scales)
    };
    let mut out = vec![f32::NAN; x.len()];
    let mut kept = vec![f32::NAN; mlp.residual.kept_rows() * hidden];
    mlp.forward(&x, &mut out, (!recompute).then_some(MlpSaved { hidden: &mut kept, norm: None }));
    assert_close(name, &out, &exact(&inputs.map(testing::wide)), 3e-6);
    let mut got = inputs.map(|input| vec![f32::NAN; input.len()]);
    let [dx, dnorm_weight, dnorm_bias, dfc1, dfc1_bias, dfc2, dfc2_bias, dgamma] = &mut got;
    mlp.backward(
        &x,
        (!recompute).then_some(MlpSaved { hidden: &mut kept, norm: None }),
        &gradient,
        dx,
        MlpGradients {
            norm: LayerNormGradients { weight: dnorm_weight, bias: dnorm_bias },
            fc1: LinearGradients { weight: dfc1, bias: Some(dfc1_bias) },
            fc2: LinearGradients { weight: dfc2, bias: Some(dfc2_bias) },
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
