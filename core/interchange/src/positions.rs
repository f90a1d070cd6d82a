//! Positions of another grid: absolute embeddings as vit_jax and as timm resize them, and tables of
//! relative biases.

use vitral_model::resized_positions::bicubic_weights;

use crate::Array;

/// How learned positions are resized to another grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resize {
    /// Linear between aligned corners, as google-research/vision_transformer does it with
    /// `scipy.ndimage.zoom(order=1)`.
    #[default]
    Zoom,
    /// Antialiased bicubic, as timm's `resample_abs_pos_embed` does it.
    Bicubic,
}

/// Takes `[1, prefix + from * from, width]` to `[1, prefix + to * to, width]`; the prefix stays.
///
/// # Panics
/// If the tensor is of another shape.
pub fn resize_positions(positions: &Array, prefix: usize, to: usize, how: Resize) -> Array {
    let &[1, count, _] = positions.shape.as_slice() else {
        panic!("positions are [1, count, width], not {:?}", positions.shape)
    };
    let from = (count - prefix).isqrt();
    resize_grid(positions, prefix, [from, from], to, how)
}

/// The same of a grid of any rows and columns, which becomes a square one.
pub(crate) fn resize_grid(
    positions: &Array,
    prefix: usize,
    from: [usize; 2],
    to: usize,
    how: Resize,
) -> Array {
    let &[1, count, width] = positions.shape.as_slice() else {
        panic!("positions are [1, count, width], not {:?}", positions.shape)
    };
    assert_eq!(prefix + from[0] * from[1], count, "positions of that grid");
    let (kept, grid) = positions.values.split_at(prefix * width);
    let weights = from.map(|from| match how {
        Resize::Zoom => zoom_weights(from, to),
        Resize::Bicubic => bicubic_weights(from, to),
    });
    let mut values = kept.to_vec();
    values.extend(separable(grid, [&weights[0], &weights[1]], from, to, width));
    Array::new([1, prefix + to * to, width], values)
}

/// Takes a table `[(2 from - 1)^2 + extra, heads]` to another grid, as timm's
/// `resize_rel_pos_bias_table_simple` does it: bicubic without antialiasing; entries beyond the
/// distances stay.
///
/// # Panics
/// If the tensor is of another shape.
pub fn resize_relative_bias(table: &Array, extra: usize, to: usize) -> Array {
    let &[count, heads] = table.shape.as_slice() else {
        panic!("a table is [distances, heads], not {:?}", table.shape)
    };
    let from = (count - extra).isqrt();
    assert_eq!(from * from + extra, count, "distances of a square grid");
    let to = 2 * to - 1;
    let (distances, kept) = table.values.split_at(from * from * heads);
    let weights = cubic_weights(from, to);
    let mut values = separable(distances, [&weights, &weights], [from, from], to, heads);
    values.extend_from_slice(kept);
    Array::new([to * to + extra, heads], values)
}

/// Applies `[to, rows]` weights down the columns and `[to, columns]` along the rows of
/// `[rows, columns, width]`.
fn separable(
    grid: &[f32],
    weights: [&[f64]; 2],
    [rows, columns]: [usize; 2],
    to: usize,
    width: usize,
) -> Vec<f32> {
    let mut tall = vec![0f64; to * columns * width];
    for (sums, weights) in tall.chunks_mut(columns * width).zip(weights[0].chunks(rows)) {
        for (weight, values) in weights.iter().zip(grid.chunks(columns * width)) {
            if *weight != 0.0 {
                sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += weight * f64::from(*v));
            }
        }
    }
    let mut resized = Vec::with_capacity(to * to * width);
    for values in tall.chunks(columns * width) {
        for weights in weights[1].chunks(columns) {
            let mut sums = vec![0f64; width];
            for (weight, values) in weights.iter().zip(values.chunks(width)) {
                if *weight != 0.0 {
                    sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += weight * v);
                }
            }
            resized.extend(sums.into_iter().map(|sum| sum as f32));
        }
    }
    resized
}

/// `[to, from]`: linear, first on first and last on last.
fn zoom_weights(from: usize, to: usize) -> Vec<f64> {
    let step = if to > 1 { (from - 1) as f64 / (to - 1) as f64 } else { 0.0 };
    let mut weights = vec![0.0; to * from];
    for (out, row) in weights.chunks_mut(from).enumerate() {
        let place = (out as f64 * step).min((from - 1) as f64);
        let below = place.floor();
        row[below as usize] += 1.0 - (place - below);
        if let Some(above) = row.get_mut(below as usize + 1) {
            *above += place - below;
        }
    }
    weights
}

/// `[to, from]`: PyTorch's bicubic without antialiasing (a = -3/4), edges repeated.
fn cubic_weights(from: usize, to: usize) -> Vec<f64> {
    const A: f64 = -0.75;
    let cubic = |distance: f64| {
        let x = distance.abs();
        if x <= 1.0 {
            ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
        } else if x < 2.0 {
            ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
        } else {
            0.0
        }
    };
    let mut weights = vec![0.0; to * from];
    for (out, row) in weights.chunks_mut(from).enumerate() {
        let place = (out as f64 + 0.5) * (from as f64 / to as f64) - 0.5;
        let below = place.floor() as isize;
        for at in below - 1..=below + 2 {
            let inside = at.clamp(0, from as isize - 1) as usize;
            row[inside] += cubic(at as f64 - place);
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(shape: &[usize]) -> Array {
        let count: usize = shape.iter().product();
        Array::new(shape, (0..count).map(|value| value as f32).collect())
    }

    #[test]
    fn a_grid_of_the_same_size_stays_as_it_is() {
        let positions = counted(&[1, 10, 2]);
        assert_eq!(resize_positions(&positions, 1, 3, Resize::Zoom), positions);
        assert_eq!(resize_positions(&positions, 1, 3, Resize::Bicubic), positions);
        let table = counted(&[28, 2]);
        assert_eq!(resize_relative_bias(&table, 3, 3), table);
    }

    #[test]
    fn corners_stay_where_zoom_aligns_them() {
        let resized = resize_positions(&counted(&[1, 9, 1]), 0, 5, Resize::Zoom);
        let at = |row: usize, column: usize| resized.values[row * 5 + column];
        assert_eq!([at(0, 0), at(0, 4), at(4, 0), at(4, 4)], [0., 2., 6., 8.]);
        assert_eq!(at(1, 1), 2.0, "half of one right, half of one down");
        let single = resize_positions(&counted(&[1, 1, 2]), 0, 3, Resize::Zoom);
        assert_eq!(single.values, [0., 1.].repeat(9));
    }

    #[test]
    fn a_grid_that_is_not_square_becomes_square_along_each_side() {
        // Each value says its row and column: they are still straight lines afterwards.
        let values =
            (0..4).flat_map(|row| (0..7).flat_map(move |column| [row as f32, column as f32]));
        let positions = Array::new([1, 29, 2], [9.0, 9.0].into_iter().chain(values).collect());
        for how in [Resize::Zoom, Resize::Bicubic] {
            let resized = resize_grid(&positions, 1, [4, 7], 4, how);
            assert_eq!(
                (resized.shape.as_slice(), &resized.values[..2]),
                (&[1, 17, 2][..], &[9.0; 2][..])
            );
            for (place, value) in resized.values[2..].chunks(2).enumerate() {
                let (row, column) = (place / 4, place % 4);
                assert!((value[0] - row as f32).abs() < 1e-6, "{how:?}: {value:?} at {place}");
                if how == Resize::Zoom {
                    assert!((value[1] - 2.0 * column as f32).abs() < 1e-6, "{value:?} at {place}");
                }
            }
        }
    }
}
