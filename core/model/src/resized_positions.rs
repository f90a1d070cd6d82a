//! Positions of a grid of another size than the model's, for training on smaller images
//! (progressive resizing).
//!
//! Learned embeddings are resized as timm's `resample_abs_pos_embed` does it, with an antialiased
//! bicubic filter (Keys 1981 with a = -1/2), inside of the forward pass: the parameter keeps its
//! shape, and gets its gradient through the filter. Fixed positions (sines and cosines, RoPE) are
//! computed for where the centres of the patches lie in the model's own grid.

use burn::tensor::{Device, Tensor, TensorData};

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
    pub(crate) fn own(side: usize) -> Self {
        Self { side, full: side }
    }

    /// Where the centre of a row or column lies in the model's grid, in patches from the centre of
    /// its first; the index itself in the model's own grid.
    pub(crate) fn place(self, index: usize) -> f64 {
        (index as f64 + 0.5) * (self.full as f64 / self.side as f64) - 0.5
    }

    /// Resizes embeddings of the model's grid, `[1, full * full, width]`, to this one,
    /// `[1, side * side, width]`.
    pub(crate) fn resize(self, positions: Tensor<3>) -> Tensor<3> {
        let Self { side, full } = self;
        let width = positions.dims()[2];
        let device = positions.device().without_autodiff();
        let filter = filter(self, &device);
        let filter = if positions.is_autodiff() { filter.autodiff() } else { filter };
        // Down the columns, then with rows and columns exchanged the other way.
        let resized = filter.clone().matmul(positions.reshape([full, full * width]));
        let resized = resized.reshape([side, full, width]).swap_dims(0, 1);
        let resized = filter.matmul(resized.reshape([full, side * width]));
        resized.reshape([side, side, width]).swap_dims(0, 1).reshape([1, side * side, width])
    }
}

/// `[side, full]`: how much each row of the model's grid adds to a row of the other one.
fn filter(grid: Grid, device: &Device) -> Tensor<2> {
    let values: Vec<f32> =
        bicubic_weights(grid.full, grid.side).into_iter().map(|weight| weight as f32).collect();
    Tensor::from_data(TensorData::new(values, [grid.side, grid.full]), device)
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
