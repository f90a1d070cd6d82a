//! The micro-kernel: a tile of the result in registers.

use std::mem::MaybeUninit;

use pulp::Simd;

#[cfg(target_arch = "x86_64")]
use super::avx512;
use crate::simd::prefetch_second;

/// Rows of a tile where there are 32 vector registers: with two columns of vectors it takes 24 of
/// them for sums, two for the right operand and one for the left.
pub(crate) const TALL: usize = 12;

/// Rows of a tile where there are 16 vector registers.
pub(crate) const SHORT: usize = 6;

/// How many tiles bring a panel as large as their own from the third cache to the second.
pub(crate) const AHEAD: usize = 4;

/// The sums of `ROWS` rows of the left operand times `VECTORS` vectors of the right one's columns. What this tile
/// may bring closer lies at `ahead`: it does so by the micro-kernel in assembly, and where tiles are [`SHORT`].
///
/// # Safety
/// `left` must have `depth` values `left_depth` apart in each of `ROWS` rows `left_row` apart, and
/// `right` must have `depth * VECTORS` vectors.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    depth: usize,
    mut left: *const f32,
    left_row: usize,
    left_depth: usize,
    mut right: *const f32,
    ahead: Option<*const f32>,
) -> [[S::f32s; VECTORS]; ROWS] {
    #[cfg(target_arch = "x86_64")]
    if const { S::F32_LANES * VECTORS == avx512::COLUMNS && ROWS == avx512::ROWS }
        && left_depth == 1
        && depth >= avx512::DEEP
    {
        // In memory of their own: those below stay in registers.
        let mut sums = MaybeUninit::<[[S::f32s; VECTORS]; ROWS]>::uninit();
        // SAFETY: two vectors of so many values are those of AVX-512, and all are written; the rest as the caller says.
        unsafe {
            let ahead = ahead.unwrap_or(right);
            avx512::tile(depth, left, left_row, right, sums.as_mut_ptr().cast(), ahead);
            return sums.assume_init();
        }
    }
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    // A line of the next panel is brought with each so many steps: where tiles are short, two vectors are a line.
    let fours = if const { ROWS == SHORT } && ahead.is_some() { depth / AHEAD } else { 0 };
    let mut ahead = ahead.unwrap_or(right);
    macro_rules! steps {
        ($count:expr) => {
            for _ in 0..$count {
                // SAFETY: what the caller says of `right`.
                let columns: [S::f32s; VECTORS] = std::array::from_fn(|vector| unsafe {
                    right.add(vector * S::F32_LANES).cast::<S::f32s>().read_unaligned()
                });
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: what the caller says of `left`.
                    let value = simd.splat_f32s(unsafe { *left.add(row * left_row) });
                    for (sum, &column) in sums.iter_mut().zip(&columns) {
                        *sum = simd.mul_add_e_f32s(value, column, *sum);
                    }
                }
                left = left.wrapping_add(left_depth);
                right = right.wrapping_add(VECTORS * S::F32_LANES);
            }
        };
    }
    for _ in 0..fours {
        prefetch_second(ahead);
        ahead = ahead.wrapping_add(VECTORS * S::F32_LANES);
        steps!(AHEAD);
    }
    steps!(depth - fours * AHEAD);
    sums
}
