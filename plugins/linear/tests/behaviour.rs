//! The plugin's programs against linear attention in plain loops.

#[path = "../../window/tests/behaviour/support.rs"]
mod support;

use support::{BATCHES, Run, assert_close, assert_drops_weights, dot, layer, row, trace, traced};
use vitral_host::{Layer, Value};
use vitral_linear::{Linear, plugin};
use vitral_program::{Array, Op, Program};
use vitral_testkit::arrays;

fn favor(features: i64, seed: i64) -> [(&'static str, Value); 3] {
    [
        ("kernel", Value::Text("favor".to_owned())),
        ("features", Value::Integer(features)),
        ("seed", Value::Integer(seed)),
    ]
}

fn layers() -> [Layer; 4] {
    [
        layer(0, [2, 3], 0, [4, 4]),
        layer(1, [1, 4], 1, [3, 5]),
        layer(2, [3, 1], 5, [1, 2]),
        layer(3, [2, 8], 1, [1, 1]),
    ]
}

/// The mean of values by weights that are functions of a query and a key.
fn weighted_means(run: &Run, weight: impl Fn(&[f64], &[f64]) -> f64) -> Vec<f64> {
    let heads = run.heads().flat_map(|head| {
        let (tokens, width) = (head.tokens, head.width);
        let mut output = Vec::new();
        for query in 0..tokens {
            let query = row(head.query, query, width);
            let weights: Vec<_> =
                (0..tokens).map(|key| weight(query, row(head.key, key, width))).collect();
            let sum: f64 = weights.iter().sum();
            for d in 0..width {
                let of = |key: usize| weights[key] * head.value[key * width + d];
                output.push((0..tokens).map(of).sum::<f64>() / sum);
            }
        }
        output
    });
    heads.collect()
}

#[test]
fn elu_weights_are_products_of_features() {
    let feature = |&x: &f64| if x > 0.0 { x + 1.0 } else { x.exp() };
    let features = |x: &[f64]| x.iter().map(feature).collect::<Vec<_>>();
    for layer in layers() {
        let program = traced(plugin(), &[], &layer);
        for batch in BATCHES {
            let run = Run::new(&program, &layer, batch);
            let expected = weighted_means(&run, |q, k| dot(&features(q), &features(k)));
            assert_close(&run.output(&program, None), &expected, 1e-5, &format!("{layer:?}"));
        }
    }
}

/// The random projection in a program, `[width, features]`, already scaled.
fn projection(program: &Program, width: usize) -> Vec<Vec<f64>> {
    let constant = program.nodes().iter().find_map(|node| match node.op() {
        Op::Constant(op) if op.values.len() > 1 => Some(op.values.clone()),
        _ => None,
    });
    let values = constant.expect("a projection");
    let features = values.len() / width;
    (0..features).map(|f| (0..width).map(|d| values[d * features + f]).collect()).collect()
}

#[test]
fn favor_weights_are_products_of_random_features() {
    for layer in layers() {
        let program = traced(plugin(), &favor(7, 2), &layer);
        let width = layer.head_width as usize;
        let rows = projection(&program, width);
        assert_eq!(rows.len(), 7);
        // As in the paper, with nothing taken out for stability.
        let features = |x: &[f64]| -> Vec<f64> {
            let half_square = dot(x, x) / (2.0 * (width as f64).sqrt());
            rows.iter().map(|row| (dot(row, x) - half_square).exp()).collect()
        };
        for batch in BATCHES {
            let run = Run::new(&program, &layer, batch);
            let expected = weighted_means(&run, |q, k| dot(&features(q), &features(k)));
            assert_close(&run.output(&program, None), &expected, 1e-4, &format!("{layer:?}"));
        }
    }
}

#[test]
fn more_features_come_closer_to_softmax_attention() {
    let layer = layer(0, [2, 8], 1, [3, 3]);
    let error = |features| {
        let of = |seed| {
            let program = traced(plugin(), &favor(features, seed), &layer);
            let run = Run::new(&program, &layer, 1);
            let softmax = run.heads().flat_map(|head| head.softmax_attention());
            let output = run.output(&program, None);
            output.iter().zip(softmax).map(|(a, b)| (a - b).powi(2)).sum::<f64>()
        };
        (0..20).map(of).sum::<f64>()
    };
    // The squared error goes with one over the features, once there are enough of them.
    let (few, more, many) = (error(32), error(128), error(512));
    assert!(more < few / 2.5 && many < more / 2.5, "{few}, {more}, {many}");
}

/// A run whose queries and keys are multiplied, and its output.
fn scaled(settings: &[(&str, Value)], layer: &Layer, factors: [f64; 2]) -> (Run, Vec<f64>) {
    let program = traced(plugin(), settings, layer);
    let mut run = Run::new(&program, layer, 1);
    for (input, factor) in factors.into_iter().enumerate() {
        let array = &run.inputs[input];
        let values = array.values().iter().map(|value| value * factor).collect();
        run.inputs[input] = Array::new(array.dtype(), array.shape(), values).unwrap();
    }
    let output = run.output(&program, None);
    (run, output)
}

#[test]
fn extreme_queries_and_keys_stay_finite() {
    for settings in [&[][..], &favor(16, 0)[..]] {
        let (_, output) = scaled(settings, &layer(0, [1, 4], 1, [2, 2]), [1e3, -1e3]);
        assert!(output.iter().all(|value| value.abs() <= 1.0 + 1e-9), "{output:?}");
    }
}

/// Features of large keys are tiny, all of them; weights are still not lost in what is added.
#[test]
fn large_keys_are_told_apart() {
    let layer = layer(0, [1, 4], 1, [2, 2]);
    let (run, output) = scaled(&favor(64, 0), &layer, [1.0, 30.0]);
    let means = weighted_means(&run, |_, _| 1.0);
    let far = output.iter().zip(&means).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(far > 0.1, "as far from the mean of all values as {far}");
}

#[test]
fn seeds_and_layers_have_their_own_projection() {
    let of = |index, seed| {
        let program = traced(plugin(), &favor(4, seed), &layer(index, [1, 4], 0, [2, 2]));
        projection(&program, 4)
    };
    assert_eq!(of(0, 1), of(0, 1));
    assert_ne!(of(0, 1), of(0, 2));
    assert_ne!(of(0, 1), of(1, 1));
}

#[test]
fn keys_are_dropped_in_training() {
    for settings in [&[][..], &favor(16, 0)[..]] {
        assert_drops_weights(plugin(), settings, &layer(0, [2, 4], 1, [3, 4]));
    }
}

#[test]
fn a_dropped_key_has_no_weight_for_any_query() {
    let layer = Layer { dropout: 0.5, ..layer(0, [1, 4], 0, [2, 2]) };
    let program = traced(plugin(), &[], &layer);
    let mut run = Run::new(&program, &layer, 1);
    // Each value tells its key.
    let one_hot = (0..16).map(|at| f64::from(u8::from(at / 4 == at % 4))).collect();
    run.inputs[2] = arrays::array(&[1, 1, 4, 4], one_hot);
    let (kept, weights) = (run.output(&program, Some(2)), run.output(&program, None));
    let dropped: Vec<_> = (0..4).map(|key| kept[key] == 0.0).collect();
    assert!(dropped.contains(&true) && dropped.contains(&false), "{kept:?}");
    let expected: Vec<_> = weights
        .iter()
        .enumerate()
        .map(|(at, weight)| if dropped[at % 4] { 0.0 } else { 2.0 * weight })
        .collect();
    assert_close(&kept, &expected, 1e-12, "twice the weight or none");
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let layer = layer(0, [1, 4], 0, [2, 2]);
    for (name, value) in
        [("features", Value::Integer(0)), ("kernel", Value::Text("relu".to_owned()))]
    {
        let error = trace(plugin(), &[(name, value)], &layer).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn documented_configurations_work() {
    vitral_testkit::check_attention::<Linear>();
}

#[test]
fn programs_are_small() {
    let layer = layer(0, [3, 64], 1, [14, 14]);
    assert_eq!(traced(plugin(), &[], &layer).nodes().len(), 14);
    assert_eq!(traced(plugin(), &favor(128, 0), &layer).nodes().len(), 19);
}
