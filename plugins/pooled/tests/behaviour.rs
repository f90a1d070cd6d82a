//! The plugin's programs against attention to pooled keys and values in plain loops.

#[path = "../../window/tests/behaviour/support.rs"]
mod support;

use support::{
    BATCHES, Head, Run, assert_close, assert_drops_weights, assert_softmax_attention, layer, trace,
    traced,
};
use vitral_host::{Layer, Value};
use vitral_pooled::{Pooled, plugin};

fn settings(ratio: i64, mode: &str) -> [(&'static str, Value); 2] {
    [("ratio", Value::Integer(ratio)), ("mode", Value::Text(mode.to_owned()))]
}

/// Tokens `[tokens, width]` pooled; weights `[width, rows, columns]` of a window, or its mean.
fn pooled(tokens: &[f64], layer: &Layer, ratio: usize, filter: Option<&[f64]>) -> Vec<f64> {
    let [prefix, height, across, width] =
        [layer.prefix_tokens, layer.grid_height, layer.grid_width, layer.head_width]
            .map(|size| size as usize);
    let [rows, columns] = [height.min(ratio), across.min(ratio)];
    let (front, patches) = tokens.split_at(prefix * width);
    let mut result = front.to_vec();
    for top in (0..height).step_by(rows) {
        for left in (0..across).step_by(columns) {
            for d in 0..width {
                let (mut sum, mut count) = (0.0, 0.0);
                for y in top..(top + rows).min(height) {
                    for x in left..(left + columns).min(across) {
                        let value = patches[(y * across + x) * width + d];
                        let weight = filter.map_or(1.0, |filter| {
                            let size = (rows * columns) as f64;
                            size * filter[(d * rows + y - top) * columns + x - left]
                        });
                        sum += weight * value;
                        count += 1.0;
                    }
                }
                result.push(sum / count);
            }
        }
    }
    result
}

fn expected(run: &Run, ratio: usize) -> Vec<f64> {
    let filter = |at: usize| run.parameters.get(at).map(|filter| filter.values());
    let heads = run.heads().flat_map(|head| {
        let key = pooled(head.key, &run.layer, ratio, filter(0));
        let value = pooled(head.value, &run.layer, ratio, filter(1));
        let keys = key.len() / head.width;
        let pooled = Head { key: &key, value: &value, ..head };
        pooled.attend_to(keys, |q, k| Some(pooled.score(q, k)))
    });
    heads.collect()
}

#[test]
fn queries_attend_to_the_prefix_and_pooled_patches() {
    for (heads, prefix, grid, ratio) in [
        ([2, 3], 0, [4, 4], 2),
        ([1, 4], 1, [5, 7], 2),
        ([3, 2], 5, [4, 3], 3),
        ([2, 1], 1, [2, 9], 4),
        ([1, 2], 2, [3, 3], 8),
        ([2, 2], 1, [1, 1], 2),
    ] {
        for mode in ["average", "conv"] {
            let layer = layer(1, heads, prefix, grid);
            let program = traced(plugin(), &settings(ratio, mode), &layer);
            for batch in BATCHES {
                let run = Run::new(&program, &layer, batch);
                let what = format!("ratio {ratio}, {mode}, {layer:?}");
                let expected = expected(&run, ratio as usize);
                assert_close(&run.output(&program, None), &expected, 1e-12, &what);
            }
        }
    }
}

#[test]
fn a_convolution_starts_as_the_average() {
    for grid in [[4, 4], [5, 3]] {
        let layer = layer(0, [2, 3], 1, grid);
        let [average, conv] =
            ["average", "conv"].map(|mode| traced(plugin(), &settings(2, mode), &layer));
        assert_eq!((average.parameters().len(), conv.parameters().len()), (0, 2));
        let run = Run::at_start(&conv, &layer, 3);
        let mean = Run::at_start(&average, &layer, 3);
        let (found, expected) = (run.output(&conv, None), mean.output(&average, None));
        assert_close(&found, &expected, 1e-12, "conv");
    }
}

#[test]
fn a_ratio_of_1_is_softmax_attention() {
    for mode in ["average", "conv"] {
        for (prefix, grid) in [(0, [4, 4]), (1, [3, 5])] {
            let layer = layer(1, [2, 3], prefix, grid);
            let program = traced(plugin(), &settings(1, mode), &layer);
            assert_softmax_attention(&program, &layer);
            assert_eq!(program.nodes().len(), 1, "{program}");
        }
    }
}

#[test]
fn weights_are_dropped_in_training() {
    for prefix in [0, 1] {
        assert_drops_weights(plugin(), &settings(2, "average"), &layer(0, [2, 3], prefix, [4, 5]));
    }
}

#[test]
fn documented_configurations_work() {
    vitral_testkit::check_attention::<Pooled>();
}

#[test]
fn programs_are_small() {
    let of = |prefix, grid, mode| {
        let layer = layer(0, [3, 64], prefix, grid);
        traced(plugin(), &settings(2, mode), &layer).nodes().len()
    };
    assert_eq!(of(0, [14, 14], "average"), 7);
    assert_eq!(of(1, [14, 14], "average"), 11);
    assert_eq!(of(1, [14, 14], "conv"), 11);
    assert_eq!(of(1, [15, 15], "conv"), 15);
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let layer = layer(0, [1, 2], 0, [4, 4]);
    for (name, value) in [("ratio", Value::Integer(0)), ("mode", Value::Text("maximum".to_owned()))]
    {
        let error = trace(plugin(), &[(name, value)], &layer).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
}
