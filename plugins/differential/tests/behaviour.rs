//! The plugin's programs against differential attention in plain loops.

#[path = "../../window/tests/behaviour/support.rs"]
mod support;

use support::{BATCHES, Run, assert_close, dot, layer, row, softmax, trace, traced};
use vitral_differential::{Differential, plugin};
use vitral_host::{Layer, Value};

fn settings(lambda: f64, by_depth: bool) -> [(&'static str, Value); 2] {
    [("lambda", Value::Number(lambda)), ("by_depth", Value::Boolean(by_depth))]
}

fn layers() -> [Layer; 4] {
    [
        layer(0, [2, 4], 0, [4, 4]),
        layer(1, [1, 6], 1, [3, 5]),
        layer(2, [3, 2], 5, [1, 2]),
        layer(3, [2, 8], 1, [1, 1]),
    ]
}

fn expected(run: &Run, start: f64) -> Vec<f64> {
    let [query, key, gain] = [0, 1, 2].map(|at| run.parameters[at].values());
    let half = run.layer.head_width as usize / 2;
    let product = |at| dot(row(query, at, half), row(key, at, half)).exp();
    let lambda = product(0) - product(1) + start;
    let heads = run.heads().flat_map(|head| {
        let (tokens, width) = (head.tokens, head.width);
        let mut output = Vec::new();
        for query in 0..tokens {
            let weights = |first: usize| {
                let part = |x, token| &row(x, token, width)[first..first + half];
                let score =
                    |key| dot(part(head.query, query), part(head.key, key)) / (half as f64).sqrt();
                softmax(&(0..tokens).map(score).collect::<Vec<_>>())
            };
            let (first, second) = (weights(0), weights(half));
            let mean = |d: usize| -> f64 {
                let of =
                    |key: usize| (first[key] - lambda * second[key]) * head.value[key * width + d];
                (0..tokens).map(of).sum()
            };
            let means: Vec<_> = (0..width).map(mean).collect();
            let root = (dot(&means, &means) / width as f64 + 1e-5).sqrt();
            output.extend((0..width).map(|d| means[d] / root * gain[d] * (1.0 - start)));
        }
        output
    });
    heads.collect()
}

#[test]
fn outputs_are_normalised_differences_of_softmaxes() {
    for layer in layers() {
        let by_depth = 0.8 - 0.6 * (-0.3 * f64::from(layer.index)).exp();
        for (settings, start) in [(settings(0.8, true), by_depth), (settings(0.5, false), 0.5)] {
            let program = traced(plugin(), &settings, &layer);
            let names: Vec<_> = program.parameters().iter().map(|p| p.name.as_str()).collect();
            assert_eq!(names, ["lambda_query", "lambda_key", "norm"]);
            for batch in BATCHES {
                let run = Run::new(&program, &layer, batch);
                let expected = expected(&run, start);
                assert_close(&run.output(&program, None), &expected, 1e-9, &format!("{layer:?}"));
            }
        }
    }
}

#[test]
fn the_papers_start_is_the_default() {
    let layer = layer(2, [2, 4], 1, [3, 3]);
    assert_eq!(traced(plugin(), &[], &layer), traced(plugin(), &settings(0.8, true), &layer));
}

#[test]
fn differences_are_dropped_in_training_only() {
    let layer = layer(1, [2, 4], 1, [3, 4]);
    let plain = traced(plugin(), &[], &layer);
    let dropping = traced(plugin(), &[], &Layer { dropout: 0.25, ..layer });
    let run = Run::new(&plain, &layer, 3);
    let expected = run.output(&plain, None);
    assert_close(&run.output(&dropping, None), &expected, 1e-9, "evaluation");
    assert_ne!(run.output(&dropping, Some(1)), expected);
    assert_ne!(run.output(&dropping, Some(1)), run.output(&dropping, Some(2)));
}

#[test]
fn odd_heads_are_refused() {
    let error = trace(plugin(), &[], &layer(3, [2, 5], 1, [3, 3])).unwrap_err();
    assert!(error.contains("layer 3's heads are 5 wide"), "{error}");
    let error = trace(plugin(), &settings(1.0, true), &layers()[0]).unwrap_err();
    assert!(error.contains("lambda"), "{error}");
}

#[test]
fn documented_configurations_work() {
    vitral_testkit::check_attention::<Differential>();
}

#[test]
fn programs_are_small() {
    let layer = layer(0, [3, 64], 1, [14, 14]);
    assert_eq!(traced(plugin(), &[], &layer).nodes().len(), 23);
}
