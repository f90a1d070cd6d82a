//! Where the largest values are, without sorting and without a word to the host: each value counts those before it.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::{calculate_cube_count_elemwise, prelude::*};

use crate::memory::{input, new_beside, output};

/// A number in the order of [`f32::total_cmp`].
#[cube]
fn order(value: f32) -> u32 {
    let bits = u32::reinterpret(value);
    let sign = bits >> 31u32;
    // All bits of what is negative are turned around, and the sign of the others.
    let turned = (0u32 - sign) | 2147483648u32;
    bits ^ turned
}

/// A unit takes a value of a lane `[size]` of `[outer, size, inner]`. Each value has a rank of its own, since of equal
/// ones the first comes first.
#[cube(launch_unchecked)]
fn rank(values: &[f32], out: &mut [i32], count: usize, size: usize, inner: usize, k: usize) {
    let unit = ABSOLUTE_POS;
    if unit >= count {
        terminate!();
    }
    let (lane, within) = (unit / (size * inner), unit % (size * inner));
    let (place, after) = (within / inner, within % inner);
    let first = lane * size * inner + after;
    let own = order(values[unit]);
    let mut rank = 0usize;
    for other in 0..size {
        let value = order(values[first + other * inner]);
        if value > own || (value == own && other < place) {
            rank += 1;
        }
    }
    if rank < k {
        out[(lane * k + rank) * inner + after] = place as i32;
    }
}

pub(crate) fn top_k(values: CubeTensor, k: usize) -> CubeTensor {
    let [outer, size, inner] = values.meta.shape().dims();
    let count = outer * size * inner;
    let out = new_beside(&values, [outer, k, inner], DType::I32);
    if count * k == 0 {
        return out;
    }
    let dim = CubeDim::new(&out.client, count);
    let cubes = calculate_cube_count_elemwise(&out.client, count, dim);
    // SAFETY: a unit reads values of its own lane, all of which are there, and writes one of the `k` numbers of that
    // lane: that of its rank, which no other value of the lane has.
    unsafe {
        rank::launch_unchecked(
            &out.client,
            cubes,
            dim,
            input(&values),
            output(&out),
            count,
            size,
            inner,
            k,
        );
    }
    out
}
