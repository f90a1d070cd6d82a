//! Tokens into windows and back.

use vitral_sdk::prelude::*;

use crate::grid::{Grid, Side};

/// What attends within windows: queries `[B, heads, windows, places, width]`, and keys and values
/// with the prefix in front of each window's places.
pub(crate) struct Folded {
    pub query: Tensor,
    pub key: Tensor,
    pub value: Tensor,
}

/// Queries, keys and values `[B, heads, tokens, width]` in windows, and the prefix's queries.
pub(crate) fn fold(grid: &Grid, layer: &Layer, tensors: [Tensor; 3]) -> (Folded, Option<Tensor>) {
    let (heads, prefix) = (layer.heads, layer.prefix_tokens);
    let stacked = label("queries, keys and values", || concat(&tensors, 1));
    if prefix == 0 {
        let folded = label("into windows", || into_windows(grid, layer, stacked));
        let [query, key, value] = parts(folded, [heads, heads, heads], 1);
        return (Folded { query, key, value }, None);
    }
    let [front, patches] = parts(stacked, [prefix, grid.patches()], 2);
    let folded = label("into windows", || into_windows(grid, layer, patches));
    label("prefix in front of each window", || {
        let [query, keys_values] = parts(folded, [heads, 2 * heads], 1);
        let [front_query, front] = parts(front, [heads, 2 * heads], 1);
        let front = front.reshape(shape![B, 2 * heads, 1, prefix, layer.head_width]);
        let front = front.expand(shape![B, 2 * heads, grid.windows(), prefix, layer.head_width]);
        let [key, value] = parts(concat(&[front, keys_values], 3), [heads, heads], 1);
        (Folded { query, key, value }, Some(front_query))
    })
}

/// Patches `[B, 3 heads, patches, width]` to `[B, 3 heads, windows, places, width]`.
fn into_windows(grid: &Grid, layer: &Layer, patches: Tensor) -> Tensor {
    let (stack, width) = (3 * layer.heads, layer.head_width);
    let Grid { rows, columns } = *grid;
    let mut x = patches;
    if grid.masked() {
        x = x.reshape(shape![B * stack, rows.patches, columns.patches, width]);
        if grid.padded() {
            x = x.pad([0; 4], [0, rows.padding(), columns.padding(), 0], 0.0);
        }
        x = turned(x, 1, rows, rows.shift);
        x = turned(x, 2, columns, columns.shift);
    }
    let cut =
        shape![B * stack, rows.windows(), rows.window, columns.windows(), columns.window, width];
    let windows = x.reshape(cut).transpose([0, 1, 3, 2, 4, 5]);
    windows.reshape(shape![B, stack, grid.windows(), grid.places(), width])
}

/// `[B, heads, windows, places, width]` to `[B, heads, patches, width]`.
pub(crate) fn unfold(grid: &Grid, layer: &Layer, windows: Tensor) -> Tensor {
    let (heads, width) = (layer.heads, layer.head_width);
    let Grid { rows, columns } = *grid;
    let cut =
        shape![B * heads, rows.windows(), columns.windows(), rows.window, columns.window, width];
    let mut x = windows.reshape(cut).transpose([0, 1, 3, 2, 4, 5]);
    if grid.masked() {
        x = x.reshape(shape![B * heads, rows.padded(), columns.padded(), width]);
        x = turned(x, 1, rows, rows.padded() - rows.shift);
        x = turned(x, 2, columns, columns.padded() - columns.shift);
        if grid.padded() {
            x = x.slice([0; 4], shape![B * heads, rows.patches, columns.patches, width]);
        }
    }
    x.reshape(shape![B, heads, grid.patches(), width])
}

/// The content of an axis moved towards its start, in a circle; nothing happens on a side without a
/// shift.
fn turned(x: Tensor, axis: usize, side: Side, by: u32) -> Tensor {
    if side.shift == 0 {
        return x;
    }
    let [first, last] = parts(x, [by, side.padded() - by], axis);
    concat(&[last, first], axis)
}

/// A tensor cut into parts along an axis.
fn parts<const N: usize>(x: Tensor, sizes: [u32; N], axis: usize) -> [Tensor; N] {
    let parts = x.split(sizes, axis);
    // There is a part for each size.
    std::array::from_fn(|part| parts[part])
}
