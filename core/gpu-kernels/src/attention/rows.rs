//! Which rows of the packed projection a cube takes, and how they come into shared memory.

use cubecl::prelude::*;

use super::tiling::{GROUP, SIDE, Tiling};

/// Where the packed projection has what, for one head of one image.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Packed {
    /// The image's first token, for this head's queries.
    pub(super) first: usize,
    /// From queries to keys, and from keys to values: the width of all heads.
    pub(super) part: usize,
    /// From token to token.
    pub(super) stride: usize,
}

#[cube]
pub(super) fn packed(
    batch: usize,
    head: usize,
    tokens: usize,
    heads: usize,
    #[comptime] width: usize,
) -> Packed {
    let part = heads * width;
    Packed { first: batch * tokens * part * 3 + head * width, part, stride: part * 3 }
}

/// Copies rows into a tile: `rows` of `count` in the tile from `first` on, `stride` apart, and zeros for the rest.
#[cube]
pub(super) fn stage<E: Float>(
    source: &[E],
    first: usize,
    stride: usize,
    rows: usize,
    tile: &mut Shared<[E]>,
    #[comptime] count: usize,
    #[comptime] tiling: Tiling,
) {
    let all = comptime!(count * tiling.padded);
    let mut at = UNIT_POS as usize;
    while at < all {
        let (row, column) = (at / tiling.padded, at % tiling.padded);
        let mut value = E::from_int(0);
        if row < rows && column < tiling.width {
            value = source[first + row * stride + column];
        }
        tile[row * tiling.pitch + column] = value;
        at += CUBE_DIM as usize;
    }
}

/// How many of `count` rows there are from `start` on, of `all`.
#[cube]
pub(super) fn rows_from(start: usize, all: usize, #[comptime] count: usize) -> usize {
    min(all - start, count)
}

/// The row of a unit's elements of scores, and the first of their columns, of which it has every second.
#[cube]
pub(super) fn row_of_unit() -> usize {
    let lane = UNIT_POS as usize % GROUP;
    UNIT_POS as usize / GROUP * SIDE + lane / 2
}
