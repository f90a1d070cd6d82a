//! Positions of a grid of another size than the model's, for training on smaller images
//! (progressive resizing).
//!
//! Learned embeddings are resized as timm's `resample_abs_pos_embed` does it, with an antialiased
//! bicubic filter (Keys 1981 with a = -1/2), inside of the forward pass: the parameter keeps its
//! shape, and gets its gradient through the filter. Fixed positions (sines and cosines, RoPE) are
//! computed for where the centres of the patches lie in the model's own grid.

use vitral_program::Dim;

pub use crate::bicubic::bicubic_weights;
use crate::ops::Ops;

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

#[cfg(test)]
mod tests;
