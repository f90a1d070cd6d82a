//! The norm of all gradients.

use burn::tensor::DType;
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{buffers, grid, length};
use crate::{
    memory::{at_once, input, new_beside, output},
    reduce::{UNITS, cube_sum},
};

/// Adds up squares: of a cube's share of its tensor, one sum.
#[cube(launch_unchecked)]
fn sum_squares(
    tensors: Sequence<Box<[f32]>>,
    sums: &mut [f32],
    lengths: Sequence<usize>,
    first: usize,
    #[comptime] count: usize,
) {
    let mut memory = Shared::<[f32]>::new_slice(UNITS);
    let stride = CUBE_COUNT_X as usize * UNITS;
    let mut sum = f32::new(0.0);
    #[unroll]
    for tensor in 0..count {
        if CUBE_POS_Y as usize == tensor {
            let values = tensors.index(tensor);
            let length = *lengths.index(tensor);
            let mut at = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
            while at < length {
                sum += values[at] * values[at];
                at += stride;
            }
        }
    }
    let sum = cube_sum(sum, &mut memory);
    if UNIT_POS == 0 {
        sums[first + CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize] = sum;
    }
}

/// The sum of all of `count` values, by one cube.
#[cube(launch_unchecked)]
fn sum_all(values: &[f32], out: &mut [f32], count: usize) {
    let mut memory = Shared::<[f32]>::new_slice(UNITS);
    let mut sum = f32::new(0.0);
    let mut at = UNIT_POS as usize;
    while at < count {
        sum += values[at];
        at += UNITS;
    }
    let sum = cube_sum(sum, &mut memory);
    if UNIT_POS == 0 {
        out[0] = sum;
    }
}

/// The sum of the squares of all values of all of these, `[1]`, which are `f32`. It does not depend on the order in
/// which cubes run.
pub(crate) fn squared_norm(tensors: Vec<CubeTensor>) -> CubeTensor {
    let tensors: Vec<CubeTensor> = tensors.into_iter().map(into_contiguous).collect();
    let client = tensors[0].client.clone();
    let parts: Vec<&[CubeTensor]> = tensors.chunks(at_once(&client, 1)).collect();
    let lengths = |part: &[CubeTensor]| part.iter().map(length).collect::<Vec<usize>>();
    let count = parts.iter().map(|part| grid(&lengths(part)).0 * part.len()).sum();
    let sums = new_beside(&tensors[0], [count], DType::F32);
    let mut first = 0;
    for part in parts {
        let lengths = lengths(part);
        let (of_each, cubes) = grid(&lengths);
        // SAFETY: a cube reads a tensor of `part` below its length, and writes the sum of its own number, of which
        // each part has as many as cubes, `count` together.
        unsafe {
            sum_squares::launch_unchecked(
                &client,
                cubes,
                CubeDim::new_1d(UNITS as u32),
                buffers(part),
                output(&sums),
                lengths.into_iter().collect(),
                first,
                part.len(),
            );
        }
        first += of_each * part.len();
    }
    let out = new_beside(&sums, [1], DType::F32);
    // SAFETY: units read `count` values; one writes one.
    unsafe {
        sum_all::launch_unchecked(
            &client,
            CubeCount::new_1d(1),
            CubeDim::new_1d(UNITS as u32),
            input(&sums),
            output(&out),
            count,
        );
    }
    out
}
