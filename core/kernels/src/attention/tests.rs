//! Attention against plain loops, and its gradients against finite differences.

use super::*;
use crate::testing::{assert_close, differences, on_each_instruction_set, values, wide};

/// `[batch, heads, queries, value_dim]`, by plain loops.
fn exact(shape: AttentionShape, q: &[f64], k: &[f64], v: &[f64], bias: &[f64]) -> Vec<f64> {
    let AttentionShape { batch, heads, queries, keys, head_dim, value_dim, scale } = shape;
    let mut out = Vec::new();
    for both in 0..batch * heads {
        for query in 0..queries {
            let q = &q[(both * queries + query) * head_dim..][..head_dim];
            let weights: Vec<f64> = (0..keys)
                .map(|key| {
                    let k = &k[(both * keys + key) * head_dim..][..head_dim];
                    let score: f64 = q.iter().zip(k).map(|(q, k)| q * k).sum();
                    let bias = bias[((both % heads) * queries + query) * keys + key];
                    (score * f64::from(scale) + bias).exp()
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            out.extend((0..value_dim).map(|at| {
                (0..keys)
                    .map(|key| weights[key] / sum * v[(both * keys + key) * value_dim + at])
                    .sum::<f64>()
            }));
        }
    }
    out
}

fn check(shape: AttentionShape, with_bias: bool) {
    let AttentionShape { batch, heads, queries, keys, head_dim, value_dim, .. } = shape;
    let both = batch * heads;
    let (q, k) = (values(both * queries * head_dim, 1), values(both * keys * head_dim, 2));
    let v = values(both * keys * value_dim, 3);
    let bias = match with_bias {
        true => values(heads * queries * keys, 4),
        false => vec![0.0; heads * queries * keys],
    };
    let gradient = values(both * queries * value_dim, 5);
    let q_strides = HeadStrides::heads_first(heads, queries, head_dim);
    let k_strides = HeadStrides::heads_first(heads, keys, head_dim);
    let v_strides = HeadStrides::heads_first(heads, keys, value_dim);
    let out_strides = HeadStrides::heads_first(heads, queries, value_dim);
    let attention = Attention {
        shape,
        q: Heads { data: &q, strides: q_strides },
        k: Heads { data: &k, strides: k_strides },
        v: Heads { data: &v, strides: v_strides },
        bias: with_bias.then_some(&bias[..]),
    };
    let mut out = vec![0.0; gradient.len()];
    let mut logsumexp = vec![0.0; both * queries];
    attention.forward(HeadsMut { data: &mut out, strides: out_strides }, &mut logsumexp);
    let (wide_q, wide_k, wide_v, wide_bias) = (wide(&q), wide(&k), wide(&v), wide(&bias));
    assert_close("out", &out, &exact(shape, &wide_q, &wide_k, &wide_v, &wide_bias), 2e-6);

    let mut memory = vec![0.0; q.len() + k.len() + v.len()];
    let mut bias_gradient = vec![0.0; bias.len()];
    attention.backward(
        AttentionResult { out: Heads { data: &out, strides: out_strides }, logsumexp: &logsumexp },
        Heads { data: &gradient, strides: out_strides },
        AttentionGradients {
            memory: QkvMemory::Packed(&mut memory),
            strides: [
                q_strides,
                HeadStrides { offset: q.len(), ..k_strides },
                HeadStrides { offset: q.len() + k.len(), ..v_strides },
            ],
            bias: with_bias.then_some(&mut bias_gradient),
        },
    );
    let gradient = wide(&gradient);
    let loss = |q: &[f64], k: &[f64], v: &[f64], bias: &[f64]| {
        let out = exact(shape, q, k, v, bias);
        out.iter().zip(&gradient).map(|(out, gradient)| out * gradient).sum::<f64>()
    };
    let of_q = differences(&wide_q, |q| loss(q, &wide_k, &wide_v, &wide_bias));
    let of_k = differences(&wide_k, |k| loss(&wide_q, k, &wide_v, &wide_bias));
    let of_v = differences(&wide_v, |v| loss(&wide_q, &wide_k, v, &wide_bias));
    let (dq, rest) = memory.split_at(q.len());
    let (dk, dv) = rest.split_at(k.len());
    assert_close("q", dq, &of_q, 2e-5);
    assert_close("k", dk, &of_k, 2e-5);
    assert_close("v", dv, &of_v, 2e-5);
    if with_bias {
        let of_bias = differences(&wide_bias, |bias| loss(&wide_q, &wide_k, &wide_v, bias));
        assert_close("bias", &bias_gradient, &of_bias, 2e-5);
    }
}

/// A query that is not a number makes its own row none, and no other.
#[test]
fn what_is_not_a_number_does_not_hide() {
    on_each_instruction_set(|set| {
        let shape = AttentionShape {
            batch: 1,
            heads: 1,
            queries: 3,
            keys: 20,
            head_dim: 4,
            value_dim: 4,
            scale: 0.5,
        };
        let (mut q, k, v) = (values(12, 1), values(80, 2), values(80, 3));
        q[4] = f32::NAN;
        let strides = HeadStrides::heads_first(1, 20, 4);
        let heads = |data| Heads { data, strides };
        let attention = Attention { shape, q: heads(&q), k: heads(&k), v: heads(&v), bias: None };
        let (mut out, mut logsumexp) = ([0.0; 12], [0.0; 3]);
        attention.forward(HeadsMut { data: &mut out, strides }, &mut logsumexp);
        let is_nan: Vec<bool> = out.iter().map(|value| value.is_nan()).collect();
        assert_eq!(is_nan, (0..12).map(|at| at / 4 == 1).collect::<Vec<_>>(), "{set:?}");
    });
}

#[test]
fn values_and_gradients_are_exact() {
    on_each_instruction_set(|_| {
        let shape = AttentionShape {
            batch: 2,
            heads: 2,
            queries: 5,
            keys: 5,
            head_dim: 4,
            value_dim: 4,
            scale: 0.5,
        };
        check(shape, false);
        check(shape, true);
        check(AttentionShape { queries: 1, keys: 19, value_dim: 9, ..shape }, true);
        check(AttentionShape { queries: 14, keys: 1, ..shape }, false);
    });
}

/// Sizes that take several blocks of scores give what one block gives.
#[test]
fn blocks_of_scores_add_up() {
    on_each_instruction_set(|_| {
        let (tokens, dim) = (4000, 3);
        let shape = AttentionShape {
            batch: 1,
            heads: 1,
            queries: 50,
            keys: tokens,
            head_dim: dim,
            value_dim: 1,
            scale: 1.0,
        };
        assert!(shape.block(tokens) < shape.queries);
        let (q, k, v) = (values(50 * dim, 1), values(tokens * dim, 2), values(tokens, 3));
        let strides = HeadStrides::heads_first(1, tokens, dim);
        let v_strides = HeadStrides::heads_first(1, tokens, 1);
        let attention = Attention {
            shape,
            q: Heads { data: &q, strides },
            k: Heads { data: &k, strides },
            v: Heads { data: &v, strides: v_strides },
            bias: None,
        };
        let (mut out, mut logsumexp) = (vec![0.0; 50], vec![0.0; 50]);
        attention.forward(HeadsMut { data: &mut out, strides: v_strides }, &mut logsumexp);
        let bias = vec![0.0; 50 * tokens];
        assert_close("out", &out, &exact(shape, &wide(&q), &wide(&k), &wide(&v), &bias), 1e-5);
        let ones = vec![1.0; 50];
        let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; tokens]);
        attention.backward(
            AttentionResult {
                out: Heads { data: &out, strides: v_strides },
                logsumexp: &logsumexp,
            },
            Heads { data: &ones, strides: v_strides },
            AttentionGradients {
                memory: QkvMemory::Apart([&mut dq, &mut dk, &mut dv]),
                strides: [strides, strides, v_strides],
                bias: None,
            },
        );
        // Each query's weights sum to one, and so the gradients of the values sum to 50.
        let sum: f32 = dv.iter().sum();
        assert!((sum - 50.0).abs() < 1e-3, "{sum}");
        let of_k = differences(&wide(&k[..30]), |part| {
            let mut k = wide(&k);
            k[..30].copy_from_slice(part);
            exact(shape, &wide(&q), &k, &wide(&v), &bias).iter().sum()
        });
        assert_close("k", &dk[..30], &of_k, 2e-4);
    });
}
