//! Positions of a grid of another size than the model's, for training on smaller images
//! (progressive resizing).
//!
//! Learned embeddings are resized as timm's `resample_abs_pos_embed` does it, with an antialiased
//! bicubic filter (Keys 1981 with a = -1/2), inside of the forward pass: the parameter keeps its
//! shape, and gets its gradient through the filter. Fixed positions (sines and cosines, RoPE) are
//! computed for where the centres of the patches lie in the model's own grid.

use vitral_program::Dim;

use crate::ops::Ops;

/// A square grid of patches that covers the same image as the model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Patches along one side.
    pub(crate) side: usize,
    /// Patches along one side of the model's own grid.
    pub(crate) full: usize,
}

impl Grid {
    /// The model's own grid.
    #[cfg(test)]
    pub(crate) fn own(side: usize) -> Self {
        Self { side, full: side }
    }

    /// Where the centre of a row or column lies in the model's grid, in patches from the centre of
    /// its first; the index itself in the model's own grid.
    pub(crate) fn place(self, index: usize) -> f64 {
        (index as f64 + 0.5) * (self.full as f64 / self.side as f64) - 0.5
    }
}

/// Resizes embeddings of the model's grid, `[1, full * full, width]`, to another grid of rows and
/// columns, `[1, rows * columns, width]`.
pub(crate) fn resized<O: Ops>(
    ops: &mut O,
    positions: O::Tensor,
    full: usize,
    [rows, columns]: [usize; 2],
) -> O::Tensor {
    let width = ops.size(&positions, 2);
    let fixed = |sizes: &[usize]| sizes.iter().copied().map(Dim::from).collect::<Vec<_>>();
    ops.within("resize", |ops| {
        let down = ops.resize_filter(full, rows);
        let flat = ops.reshape(positions, fixed(&[full, full * width]));
        let resized = ops.matmul(down, flat);
        let resized = ops.reshape(resized, fixed(&[rows, full, width]));
        let across = ops.resize_filter(full, columns);
        let resized = ops.matmul(across, resized);
        ops.reshape(resized, fixed(&[1, rows * columns, width]))
    })
}

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

#[cfg(test)]
mod tests;
