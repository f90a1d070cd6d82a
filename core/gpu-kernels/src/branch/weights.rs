//! Weights in the type of a branch's products.

use burn::tensor::DType;
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use crate::memory::{element, input, new_beside, output};

/// Rounds two lists of numbers, a number a unit of each.
#[cube(launch_unchecked)]
fn round<E: Float>(
    first: &[f32],
    second: &[f32],
    rounded_first: &mut [E],
    rounded_second: &mut [E],
    first_count: usize,
    second_count: usize,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < first_count {
        rounded_first[at] = E::cast_from(first[at]);
    }
    if at < second_count {
        rounded_second[at] = E::cast_from(second[at]);
    }
}

/// Two matrices of `f32` in a type, in one launch.
pub(super) fn rounded(weights: [CubeTensor; 2], dtype: DType) -> [CubeTensor; 2] {
    if dtype == DType::F32 {
        return weights.map(into_contiguous);
    }
    let count = |of: &CubeTensor| of.meta.shape().num_elements();
    let counts = weights.each_ref().map(count);
    let out = weights.each_ref().map(|of| new_beside(of, of.meta.shape().clone(), dtype));
    let [first, second] = &weights;
    let most = counts[0].max(counts[1]);
    let dim = CubeDim::new(&first.client, most);
    // SAFETY: a unit reads and writes its own number of each list, below the list's length.
    unsafe {
        round::launch_unchecked(
            &first.client,
            cubecl::calculate_cube_count_elemwise(&first.client, most, dim),
            dim,
            input(first),
            input(second),
            output(&out[0]),
            output(&out[1]),
            counts[0],
            counts[1],
            element(&out[0]),
        );
    }
    out
}
