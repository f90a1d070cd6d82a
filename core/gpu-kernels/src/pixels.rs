//! Pixels as bytes, each of which becomes what a table has for it.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::{calculate_cube_count_elemwise, prelude::*};

use crate::memory::{input, new_beside, output};

/// A unit takes four bytes.
#[cube(launch_unchecked)]
fn look_up(
    bytes: &[i32],
    table: &[f32],
    out: &mut [f32],
    count: usize,
    #[comptime] channels: usize,
) {
    let first = ABSOLUTE_POS * 4;
    if first >= count {
        terminate!();
    }
    let word = u32::cast_from(bytes[ABSOLUTE_POS]);
    #[unroll]
    for byte in 0..4usize {
        let at = first + byte;
        if at < count {
            let value = (word >> (byte as u32 * 8u32)) & 255u32;
            out[at] = table[value as usize * channels + at % channels];
        }
    }
}

pub(crate) fn looked_up(bytes: CubeTensor, table: CubeTensor, shape: [usize; 4]) -> CubeTensor {
    let count = shape.iter().product::<usize>();
    let out = new_beside(&table, shape, DType::F32);
    if count == 0 {
        return out;
    }
    let units = count.div_ceil(4);
    let dim = CubeDim::new(&out.client, units);
    let cubes = calculate_cube_count_elemwise(&out.client, units, dim);
    // SAFETY: a unit reads the word of its own number, of which there is one for each four bytes of `count`,
    // and the table has a value for each byte and channel; it writes its own four values, up to `count`.
    unsafe {
        look_up::launch_unchecked(
            &out.client,
            cubes,
            dim,
            input(&bytes),
            input(&table),
            output(&out),
            count,
            shape[3],
        );
    }
    out
}
