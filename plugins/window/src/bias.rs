//! What is added to the scores: the learned bias by offset, and the mask.

use vitral_sdk::prelude::*;

use crate::grid::Grid;

/// Deviation of the bias at the start, as in Swin.
const DEVIATION: f64 = 0.02;

/// The bias of the scores `[B, heads, windows, places, prefix + places]`, or, if there is one window,
/// of `[B, heads, tokens, tokens]`. None if there is nothing to add.
pub(crate) fn bias(grid: &Grid, layer: &Layer, learned: bool) -> Option<Tensor> {
    let by_offset = learned.then(|| label("relative position bias", || by_offset(grid, layer)));
    let bias = if grid.masked() {
        label("mask", || {
            let seen = same_region(grid);
            match by_offset {
                Some(bias) => seen.where_(bias, f64::NEG_INFINITY),
                None => seen.where_(0.0, f64::NEG_INFINITY),
            }
        })
    } else {
        by_offset?
    };
    // One window has no padding and no shift, so that there is no mask.
    let rank = if learned && grid.windows() > 1 { 4 } else { 3 };
    Some(beside_prefix(grid, layer, bias, rank))
}

/// The learned bias, `[heads, 1, places, places]`, or without the 1 if there is one window. As
/// indices are differences of two numbers, they need no large constant.
fn by_offset(grid: &Grid, layer: &Layer) -> Tensor {
    let (places, offsets) = (grid.places(), grid.offsets());
    let table = parameter(
        "relative_bias",
        shape![layer.heads, offsets],
        Initializer::TruncatedNormal(DEVIATION),
        false,
    );
    let numbers = grid.offset_numbers();
    let middle = i64::from(offsets - 1) / 2;
    let from: Vec<_> = numbers.iter().map(|number| number + middle).collect();
    let (from_shape, to_shape) = match grid.windows() {
        1 => (shape![places, 1], shape![places]),
        _ => (shape![1, places, 1], shape![places]),
    };
    let indices = constant_i32(from_shape, &from) - constant_i32(to_shape, &numbers);
    table.gather(indices, 1)
}

/// Whether two places of a window see each other, `[windows, places, places]`.
fn same_region(grid: &Grid) -> Tensor {
    let (windows, places) = (grid.windows(), grid.places());
    let regions = constant_i32(shape![windows, places, 1], &grid.regions());
    regions.equal(regions.reshape(shape![windows, 1, places]))
}

/// The bias of this rank with zeros for the prefix: everything sees it, and it sees everything.
fn beside_prefix(grid: &Grid, layer: &Layer, bias: Tensor, rank: usize) -> Tensor {
    let prefix = layer.prefix_tokens;
    if prefix == 0 {
        return bias;
    }
    let mut before = vec![0; rank];
    before[rank - 1] = prefix;
    if grid.windows() == 1 {
        before[rank - 2] = prefix;
    }
    label("prefix", || bias.pad(before, vec![0; rank], 0.0))
}
