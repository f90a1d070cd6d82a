//! The plugin's programs against talking heads in plain loops.

#[path = "../../window/tests/behaviour/support.rs"]
mod support;

use support::{
    BATCHES, Head, Run, assert_close, assert_drops_weights, assert_softmax_attention, layer,
    softmax, trace, traced,
};
use vitral_host::{Layer, Value};
use vitral_talking_heads::{TalkingHeads, plugin};

fn settings(scores: bool, weights: bool) -> [(&'static str, Value); 2] {
    [("scores", Value::Boolean(scores)), ("weights", Value::Boolean(weights))]
}

fn layers() -> [Layer; 4] {
    [
        layer(0, [2, 3], 0, [4, 4]),
        layer(1, [4, 4], 1, [3, 5]),
        layer(2, [3, 1], 5, [1, 2]),
        layer(3, [1, 8], 1, [2, 2]),
    ]
}

/// Matrices of all heads mixed: `x + P x` along the heads, where there is a `P`.
fn mixed(matrices: Vec<Vec<f64>>, change: Option<&[f64]>) -> Vec<Vec<f64>> {
    let Some(change) = change else { return matrices };
    let heads = matrices.len();
    let mut result = matrices.clone();
    for to in 0..heads {
        for from in 0..heads {
            for (sum, value) in result[to].iter_mut().zip(&matrices[from]) {
                *sum += change[to * heads + from] * value;
            }
        }
    }
    result
}

fn expected(run: &Run, scores: Option<&[f64]>, weights: Option<&[f64]>) -> Vec<f64> {
    let heads: Vec<_> = run.heads().collect();
    let image = |heads: &[Head<'_>]| -> Vec<f64> {
        let (tokens, width) = (heads[0].tokens, heads[0].width);
        let pairs = || (0..tokens * tokens).map(|at| (at / tokens, at % tokens));
        let score = |head: &Head<'_>| pairs().map(|(q, k)| head.score(q, k)).collect();
        let scores = mixed(heads.iter().map(score).collect(), scores);
        let rows = |scores: Vec<f64>| scores.chunks(tokens).flat_map(softmax).collect();
        let weights = mixed(scores.into_iter().map(rows).collect(), weights);
        let mut output = Vec::new();
        for (head, weights) in heads.iter().zip(weights) {
            for query in 0..tokens {
                for d in 0..width {
                    let of =
                        |key: usize| weights[query * tokens + key] * head.value[key * width + d];
                    output.push((0..tokens).map(of).sum());
                }
            }
        }
        output
    };
    heads.chunks(run.layer.heads as usize).flat_map(image).collect()
}

#[test]
fn heads_are_mixed_before_and_after_the_softmax() {
    for layer in layers() {
        for (scores, weights) in [(true, true), (true, false), (false, true)] {
            let program = traced(plugin(), &settings(scores, weights), &layer);
            let names: Vec<_> = program.parameters().iter().map(|p| p.name.as_str()).collect();
            for batch in BATCHES {
                let run = Run::new(&program, &layer, batch);
                let of = |name| {
                    let at = names.iter().position(|found| *found == name)?;
                    Some(run.parameters[at].values())
                };
                let expected = expected(&run, of("mix_scores"), of("mix_weights"));
                let what = format!("scores {scores}, weights {weights}, {layer:?}");
                assert_close(&run.output(&program, None), &expected, 1e-12, &what);
            }
        }
    }
}

#[test]
fn it_starts_as_softmax_attention() {
    for layer in layers() {
        assert_softmax_attention(&traced(plugin(), &[], &layer), &layer);
    }
}

#[test]
fn weights_are_dropped_in_training() {
    assert_drops_weights(plugin(), &[], &layer(0, [2, 3], 1, [4, 5]));
}

#[test]
fn heads_that_do_not_talk_are_refused() {
    let error = trace(plugin(), &settings(false, false), &layers()[0]).unwrap_err();
    assert!(error.contains("both `scores` and `weights`"), "{error}");
}

#[test]
fn documented_configurations_work() {
    vitral_testkit::check_attention::<TalkingHeads>();
}

#[test]
fn programs_are_small() {
    let layer = layer(0, [3, 64], 1, [14, 14]);
    assert_eq!(traced(plugin(), &[], &layer).nodes().len(), 16);
    assert_eq!(traced(plugin(), &settings(false, true), &layer).nodes().len(), 11);
}
