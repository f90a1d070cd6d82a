//! The filter that resizes learned positions.

use crate::grid::Grid;

/// `[to, from]`: how much each of `from` samples adds to each of `to`, of an antialiased bicubic
/// filter (Keys 1981 with a = -1/2), as PyTorch's `interpolate` and Pillow have it.
pub fn bicubic_weights(from: usize, to: usize) -> Vec<f64> {
    let grid = Grid { side: to, full: from };
    let stretch = (from as f64 / to as f64).max(1.0);
    let mut values = Vec::with_capacity(to * from);
    for row in 0..to {
        let place = grid.place(row);
        let weights: Vec<f64> =
            (0..from).map(|other| keys_cubic((other as f64 - place) / stretch)).collect();
        let sum: f64 = weights.iter().sum();
        values.extend(weights.into_iter().map(|weight| weight / sum));
    }
    values
}

/// The cubic convolution kernel with a = -1/2.
fn keys_cubic(distance: f64) -> f64 {
    let x = distance.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}
