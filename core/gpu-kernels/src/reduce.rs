//! Sums and maxima over the units of a cube, and how rows are spread over cubes.

use cubecl::{client::Client, prelude::*};

/// Units of a cube that works on a row.
pub(crate) const UNITS: usize = 128;

/// The sum over all units of a cube, in each of them.
#[cube]
pub(crate) fn cube_sum(value: f32, memory: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS as usize;
    sync_cube();
    memory[unit] = value;
    sync_cube();
    let mut half = comptime!(UNITS / 2).runtime();
    while half > 0 {
        if unit < half {
            let other = memory[unit + half];
            memory[unit] += other;
        }
        sync_cube();
        half /= 2;
    }
    memory[0]
}

/// The largest value of all units of a cube, in each of them.
#[cube]
pub(crate) fn cube_max(value: f32, memory: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS as usize;
    sync_cube();
    memory[unit] = value;
    sync_cube();
    let mut half = comptime!(UNITS / 2).runtime();
    while half > 0 {
        if unit < half {
            let other = memory[unit + half];
            memory[unit] = max(memory[unit], other);
        }
        sync_cube();
        half /= 2;
    }
    memory[0]
}

/// The number of this cube where they lie in two dimensions.
#[cube]
pub(crate) fn cube_number() -> usize {
    CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize
}

/// So many cubes, or a few more, in as many dimensions as a device wants.
pub(crate) fn cubes(client: &Client, count: usize) -> CubeCount {
    let most = client.properties().hardware.max_cube_count.0 as usize;
    let columns = count.clamp(1, most);
    CubeCount::new_2d(columns as u32, count.div_ceil(columns).max(1) as u32)
}
