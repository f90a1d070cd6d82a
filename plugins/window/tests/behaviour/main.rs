//! The plugin's programs against attention in plain loops, where a patch's window follows from its
//! row and column alone.

mod support;

use support::{
    BATCHES, Run, assert_close, assert_drops_weights, assert_softmax_attention, layer, trace,
    traced,
};
use vitral_host::{Layer, Value};
use vitral_window::{Window, plugin};

fn settings(size: i64, shift: &str, bias: bool) -> [(&'static str, Value); 3] {
    [
        ("size", Value::Integer(size)),
        ("shift", Value::Text(shift.to_owned())),
        ("bias", Value::Boolean(bias)),
    ]
}

/// Windows of one side: their size, and how many patches of the grid precede the second.
#[derive(Clone, Copy)]
struct Side {
    window: usize,
    first: usize,
}

fn side(patches: u32, size: usize, shifted: bool) -> Side {
    let window = size.min(patches as usize);
    let moved = shifted && window < patches as usize;
    Side { window, first: if moved { window / 2 } else { window } }
}

impl Side {
    fn window_of(self, at: usize) -> usize {
        (at + self.window - self.first) / self.window
    }
}

/// The plugin's attention: a patch sees the prefix and its window; the prefix sees everything.
fn expected(run: &Run, size: usize, shifted: bool, bias: bool) -> Vec<f64> {
    let Layer { prefix_tokens, grid_height, grid_width, .. } = run.layer;
    let (prefix, across) = (prefix_tokens as usize, grid_width as usize);
    let (rows, columns) = (side(grid_height, size, shifted), side(grid_width, size, shifted));
    let patch = |token: usize| {
        let patch = token.checked_sub(prefix)?;
        Some((patch / across, patch % across))
    };
    let window = |(y, x): (usize, usize)| (rows.window_of(y), columns.window_of(x));
    let offsets = [2 * rows.window - 1, 2 * columns.window - 1];
    let heads = run.heads().flat_map(|head| {
        head.attend(|query, key| {
            let score = head.score(query, key);
            let (Some(from), Some(to)) = (patch(query), patch(key)) else { return Some(score) };
            if window(from) != window(to) {
                return None;
            }
            if !bias {
                return Some(score);
            }
            let (y, x) = (from.0 + rows.window - 1 - to.0, from.1 + columns.window - 1 - to.1);
            let table = run.parameters[0].values();
            Some(score + table[head.index * offsets[0] * offsets[1] + y * offsets[1] + x])
        })
    });
    heads.collect()
}

#[test]
fn patches_attend_within_windows_and_to_the_prefix() {
    for (heads, prefix, grid, size) in [
        ([2, 3], 0, [4, 4], 2),
        ([1, 4], 1, [6, 6], 3),
        ([3, 2], 5, [7, 5], 3),
        ([2, 4], 1, [3, 8], 4),
        ([1, 2], 0, [9, 1], 4),
        ([2, 2], 1, [5, 5], 4),
        ([1, 1], 1, [3, 4], 1),
        ([2, 5], 2, [4, 6], 9),
    ] {
        for (shift, shifted_layers) in
            [("never", [false, false]), ("alternate", [false, true]), ("always", [true, true])]
        {
            for (index, shifted) in (0..).zip(shifted_layers) {
                for bias in [false, true] {
                    let layer = layer(index, heads, prefix, grid);
                    let program = traced(plugin(), &settings(size, shift, bias), &layer);
                    assert_eq!(program.parameters().len(), usize::from(bias));
                    for batch in BATCHES {
                        let run = Run::new(&program, &layer, batch);
                        let expected = expected(&run, size as usize, shifted, bias);
                        let what = format!("size {size}, {shift}, bias {bias}, {layer:?}");
                        assert_close(&run.output(&program, None), &expected, 1e-12, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn a_window_as_large_as_the_grid_is_softmax_attention() {
    for (prefix, grid) in [(0, [4, 4]), (1, [3, 5]), (5, [1, 1])] {
        let layer = layer(1, [2, 3], prefix, grid);
        let program = traced(plugin(), &settings(5, "always", false), &layer);
        assert_softmax_attention(&program, &layer);
        assert_eq!(program.nodes().len(), 1, "{program}");
    }
}

#[test]
fn weights_are_dropped_in_training() {
    for (size, prefix) in [(2, 0), (2, 1), (3, 1), (8, 1)] {
        assert_drops_weights(
            plugin(),
            &settings(size, "always", true),
            &layer(0, [2, 3], prefix, [4, 5]),
        );
    }
}

#[test]
fn padding_has_no_effect_and_gives_no_nan() {
    let layer = layer(1, [1, 2], 0, [5, 5]);
    let program = traced(plugin(), &settings(4, "alternate", true), &layer);
    let run = Run::new(&program, &layer, 1);
    assert!(run.output(&program, None).iter().all(|value| value.is_finite()));
}

#[test]
fn documented_configurations_work() {
    vitral_testkit::check_attention::<Window>();
}

#[test]
fn programs_are_small() {
    let of = |index, prefix, grid, bias| {
        let layer = layer(index, [3, 64], prefix, grid);
        traced(plugin(), &settings(7, "alternate", bias), &layer).nodes().len()
    };
    assert_eq!(of(0, 0, [14, 14], false), 9);
    assert_eq!(of(0, 1, [14, 14], true), 22);
    assert_eq!(of(1, 1, [14, 14], true), 37);
    assert_eq!(of(1, 1, [16, 16], true), 39);
}

/// Large grids and windows fit the host's limits.
#[test]
fn constants_are_small() {
    let layer = layer(1, [1, 8], 1, [112, 112]);
    let program = traced(plugin(), &settings(14, "always", true), &layer);
    assert!(program.to_bytes().len() < 100_000, "{} bytes", program.to_bytes().len());
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let layer = layer(0, [1, 2], 0, [4, 4]);
    for (name, value) in [
        ("size", Value::Integer(0)),
        ("size", Value::Integer(65)),
        ("shift", Value::Text("sometimes".to_owned())),
        ("bias", Value::Integer(1)),
    ] {
        let error = trace(plugin(), &[(name, value)], &layer).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
}
