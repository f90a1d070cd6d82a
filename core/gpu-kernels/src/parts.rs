//! How the rows of a matrix are shared among cubes that each sum up columns of a part of them.

use cubecl::prelude::*;

/// Columns of a cube, and how many of its units share one.
pub(crate) const COLUMNS: usize = 64;
pub(crate) const LANES: usize = 4;
pub(crate) const UNITS: usize = COLUMNS * LANES;

/// Cubes that fill a large device.
pub(crate) const ENOUGH: usize = 512;
/// Rows that are worth a cube.
const FEWEST: usize = 32;

/// How rows are shared among cubes: how many are in each part, and how many parts there are.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) rows: usize,
    pub(crate) count: usize,
}

impl Parts {
    pub(crate) fn of(rows: usize, width: usize) -> Self {
        let most = ENOUGH.div_ceil(width.div_ceil(COLUMNS).max(1));
        let of_part = rows.div_ceil(most).max(FEWEST);
        Self { rows: of_part, count: rows.div_ceil(of_part).max(1) }
    }

    pub(crate) fn cubes(self, width: usize) -> CubeCount {
        CubeCount::new_2d(width.div_ceil(COLUMNS) as u32, self.count as u32)
    }
}

/// Writes what the units of a column have summed up, to a place in the row of the cube's part, of `row` sums.
#[cube]
pub(crate) fn write_sum(
    sum: f32,
    column: usize,
    place: usize,
    #[comptime] row: usize,
    #[comptime] width: usize,
    memory: &mut Shared<[f32]>,
    sums: &mut [f32],
) {
    let unit = UNIT_POS as usize;
    memory[unit] = sum;
    sync_cube();
    if unit < COLUMNS && column < width {
        let mut all = f32::new(0.0);
        #[unroll]
        for lane in 0..LANES {
            all += memory[lane * COLUMNS + unit];
        }
        sums[CUBE_POS_Y as usize * row + place] = all;
    }
}
