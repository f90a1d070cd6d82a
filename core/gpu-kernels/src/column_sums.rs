//! Sums of columns: of long matrices in parts, and of the parts.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use crate::{
    memory::{at_once, element, input, new_beside, new_together, output},
    parts::{COLUMNS, ENOUGH, LANES, Parts, UNITS, write_sum},
};

/// Columns of a matrix of `f32` of which each row has the sums of a part of the rows that there were.
#[derive(Clone)]
pub(crate) struct Columns {
    /// `[parts, ..]`.
    pub(crate) parts: CubeTensor,
    /// The first column.
    pub(crate) first: usize,
    /// How many there are.
    pub(crate) count: usize,
}

/// The sums of lists of columns, each list on cubes of its own. A column is shared by 8 units, whose sums are added in
/// their order.
#[cube(launch_unchecked)]
fn sum_parts(
    matrices: Sequence<Box<[f32]>>,
    mut out: Sequence<Box<[f32]>>,
    rows: Sequence<usize>,
    pitches: Sequence<usize>,
    firsts: Sequence<usize>,
    counts: Sequence<usize>,
    #[comptime] lists: usize,
) {
    let mut memory = Shared::<[f32]>::new_slice(comptime!(NARROW * SUMS));
    let (column, part) = (UNIT_POS as usize % NARROW, UNIT_POS as usize / NARROW);
    let at = CUBE_POS_X as usize * NARROW + column;
    let mut sum = f32::new(0.0);
    #[unroll]
    for list in 0..lists {
        if CUBE_POS_Y as usize == list {
            if at < *counts.index(list) {
                let matrix = matrices.index(list);
                let (end, pitch) = (*rows.index(list), *pitches.index(list));
                let first = *firsts.index(list) + at;
                let mut row = part;
                while row < end {
                    sum += matrix[row * pitch + first];
                    row += SUMS;
                }
            }
        }
    }
    memory[UNIT_POS as usize] = sum;
    sync_cube();
    if part == 0 {
        let mut sum = f32::new(0.0);
        #[unroll]
        for part in 0..SUMS {
            sum += memory[part * NARROW + column];
        }
        #[unroll]
        for list in 0..lists {
            if CUBE_POS_Y as usize == list {
                if at < *counts.index(list) {
                    out.index_mut(list)[at] = sum;
                }
            }
        }
    }
}

/// Columns and sums of each column in a cube of [`sum_parts`].
const NARROW: usize = 32;
const SUMS: usize = 8;

/// The sums of each of these columns, `[count]` in `f32`, in one launch if the device binds as many buffers.
pub(crate) fn sums_of_parts(lists: &[Columns]) -> Vec<CubeTensor> {
    let Some(first) = lists.first() else { return Vec::new() };
    let out = new_together(&first.parts, lists.iter().map(|of| [of.count].into()), DType::F32);
    let client = &first.parts.client;
    let most = at_once(client, 2);
    for (lists, out) in lists.chunks(most).zip(out.chunks(most)) {
        let shape = |of: &Columns| of.parts.meta.shape().dims::<2>();
        let widest = lists.iter().map(|of| of.count).max().unwrap_or_default();
        let cubes = CubeCount::new_2d(widest.div_ceil(NARROW).max(1) as u32, lists.len() as u32);
        // SAFETY: a unit reads one column of one list, which its matrix has, in the matrix's rows, and writes one sum
        // below their count.
        unsafe {
            sum_parts::launch_unchecked(
                client,
                cubes,
                CubeDim::new_1d((NARROW * SUMS) as u32),
                lists.iter().map(|of| input(&of.parts)).collect(),
                out.iter().map(output).collect(),
                lists.iter().map(|of| shape(of)[0]).collect(),
                lists.iter().map(|of| shape(of)[1]).collect(),
                lists.iter().map(|of| of.first).collect(),
                lists.iter().map(|of| of.count).collect(),
                lists.len(),
            );
        }
    }
    out
}

/// Of each part of the rows the sum of each column.
#[cube(launch_unchecked)]
fn sum_columns<E: Float>(
    values: &[E],
    sums: &mut [f32],
    rows: usize,
    rows_of_part: usize,
    #[comptime] width: usize,
    #[define(E)] _element: ElemType,
) {
    let mut memory = Shared::<[f32]>::new_slice(UNITS);
    let (column, lane) = (UNIT_POS as usize % COLUMNS, UNIT_POS as usize / COLUMNS);
    let column = CUBE_POS_X as usize * COLUMNS + column;
    let start = CUBE_POS_Y as usize * rows_of_part;
    let end = min(start + rows_of_part, rows);
    let mut sum = f32::new(0.0);
    if column < width {
        let mut row = start + lane;
        while row < end {
            sum += f32::cast_from(values[row * width + column]);
            row += LANES;
        }
    }
    write_sum(sum, column, column, width, width, &mut memory, sums);
}

/// The sum of each column of `[rows, width]`: `[width]`, in `f32`.
pub(crate) fn column_sums(mut values: CubeTensor) -> CubeTensor {
    loop {
        let [rows, width] = values.meta.shape().dims();
        let parts = match rows <= ENOUGH {
            true => Parts { rows: rows.max(1), count: 1 },
            false => Parts::of(rows, width),
        };
        let is_last = parts.count == 1;
        let sums = match is_last {
            true => new_beside(&values, [width], DType::F32),
            false => new_beside(&values, [parts.count, width], DType::F32),
        };
        // SAFETY: a unit reads rows below `rows` of a column below `width`, and writes one of `sums` in the row of
        // its cube's part.
        unsafe {
            sum_columns::launch_unchecked(
                &values.client,
                parts.cubes(width),
                CubeDim::new_1d(UNITS as u32),
                input(&values),
                output(&sums),
                rows,
                parts.rows,
                width,
                element(&values),
            );
        }
        if is_last {
            return sums;
        }
        values = sums;
    }
}
