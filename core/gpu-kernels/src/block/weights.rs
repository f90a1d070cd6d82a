//! Weights in the type of a block's products.

use burn::tensor::DType;
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use crate::{
    memory::{at_once, element, input, new_together, output},
    reduce::UNITS,
};

/// Rounds lists of numbers, each on cubes of its own.
#[cube(launch_unchecked)]
fn round<E: Float>(
    lists: Sequence<Box<[f32]>>,
    mut rounded: Sequence<Box<[E]>>,
    lengths: Sequence<usize>,
    #[comptime] count: usize,
    #[define(E)] _element: ElemType,
) {
    let stride = CUBE_COUNT_X as usize * UNITS;
    #[unroll]
    for list in 0..count {
        if CUBE_POS_Y as usize == list {
            let length = *lengths.index(list);
            let mut at = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
            while at < length {
                rounded.index_mut(list)[at] = E::cast_from(lists.index(list)[at]);
                at += stride;
            }
        }
    }
}

/// Values that a unit rounds of the longest list, and the most cubes for a list; more values come in turns.
const OF_UNIT: usize = 4;
const MOST_CUBES: usize = 1024;

/// Matrices of `f32` in a type, in one launch if the device binds as many buffers.
pub(super) fn rounded(weights: Vec<CubeTensor>, dtype: DType) -> Vec<CubeTensor> {
    if dtype == DType::F32 {
        return weights.into_iter().map(into_contiguous).collect();
    }
    let Some(first) = weights.first() else { return weights };
    let out = new_together(first, weights.iter().map(|of| of.meta.shape().clone()), dtype);
    let client = &first.client;
    let most = at_once(client, 2);
    for (weights, out) in weights.chunks(most).zip(out.chunks(most)) {
        let lengths: Vec<usize> = weights.iter().map(|of| of.meta.shape().num_elements()).collect();
        let longest = lengths.iter().copied().max().unwrap_or_default();
        let cubes = longest.div_ceil(UNITS * OF_UNIT).clamp(1, MOST_CUBES);
        // SAFETY: a unit reads and writes numbers of one list below its length.
        unsafe {
            round::launch_unchecked(
                client,
                CubeCount::new_2d(cubes as u32, weights.len() as u32),
                CubeDim::new_1d(UNITS as u32),
                weights.iter().map(input).collect(),
                out.iter().map(output).collect(),
                lengths.into_iter().collect(),
                weights.len(),
                element(&out[0]),
            );
        }
    }
    out
}
