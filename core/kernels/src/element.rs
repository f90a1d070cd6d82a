//! What values are kept as: `f32`, or `bf16` in half the memory.
//!
//! Arithmetic is in `f32` either way. A product takes the type of its operands: those of `bf16` are
//! multiplied exactly and summed in `f32`, on processors that have instructions for it at twice the
//! speed of `f32`. What is rounded goes to the nearest value, ties to the even one.

use std::fmt::Debug;

use half::bf16;
use pulp::Simd;

/// The type of values in memory: `f32` or [`bf16`].
pub trait Element: stored::Stored {
    /// Its name: `f32`, `bf16`.
    const NAME: &'static str;
}

impl Element for f32 {
    const NAME: &'static str = "f32";
}

impl Element for bf16 {
    const NAME: &'static str = "bf16";
}

/// The nearest values that `bf16` has, as `f32`. What is not a number stays so.
#[inline(always)]
pub(crate) fn round<S: Simd>(simd: S, values: S::f32s) -> S::f32s {
    let bits = simd.transmute_u32s_f32s(values);
    let last =
        simd.and_u32s(simd.wrapping_dyn_shr_u32s(bits, simd.splat_u32s(16)), simd.splat_u32s(1));
    let up = simd.add_u32s(simd.add_u32s(bits, simd.splat_u32s(0x7fff)), last);
    let is_number = simd.equal_f32s(values, values);
    let quiet = simd.or_u32s(bits, simd.splat_u32s(0x0040_0000));
    let rounded = simd.select_u32s(is_number, up, quiet);
    simd.transmute_f32s_u32s(simd.and_u32s(rounded, simd.splat_u32s(0xffff_0000)))
}

/// Values of two rows, as [`round`] gives them, in one word each: the first in the lower half.
#[inline(always)]
pub(crate) fn pair<S: Simd>(simd: S, first: S::f32s, second: S::f32s) -> S::f32s {
    let first = simd.transmute_u32s_f32s(first);
    let first = simd.wrapping_dyn_shr_u32s(first, simd.splat_u32s(16));
    simd.transmute_f32s_u32s(simd.or_u32s(first, simd.transmute_u32s_f32s(second)))
}

/// Out of sight of other crates: an element's way between memory and vectors.
pub(crate) mod stored {
    use super::*;

    /// The longest vector's values.
    const MOST: usize = 16;

    /// Values of one of the types.
    #[derive(Debug)]
    pub enum Values<'a> {
        F32(&'a [f32]),
        Bf16(&'a [bf16]),
    }

    /// Memory for values of one of the types.
    #[derive(Debug)]
    pub enum ValuesMut<'a> {
        F32(&'a mut [f32]),
        Bf16(&'a mut [bf16]),
    }

    /// See [`Element`].
    pub trait Stored: Copy + Debug + Default + PartialEq + Send + Sync + 'static {
        /// Whether it has fewer digits than `f32`.
        const BRIEF: bool;

        /// Values with their type.
        fn values(values: &[Self]) -> Values<'_>;

        /// Memory for values with their type.
        fn values_mut(values: &mut [Self]) -> ValuesMut<'_>;

        /// The values at `from`, of which only `count` need to exist: the others read as zero.
        ///
        /// # Safety
        /// `from` must point to `count` values, or to a whole vector if `count` is its length.
        unsafe fn load<S: Simd>(simd: S, from: *const Self, count: usize) -> S::f32s;

        /// Writes the first `count` values, all if there are not so many.
        ///
        /// # Safety
        /// `to` must point to `count` values that nobody else reads or writes.
        unsafe fn store<S: Simd>(simd: S, to: *mut Self, count: usize, values: S::f32s);
    }

    impl Stored for f32 {
        const BRIEF: bool = false;

        fn values(values: &[Self]) -> Values<'_> {
            Values::F32(values)
        }

        fn values_mut(values: &mut [Self]) -> ValuesMut<'_> {
            ValuesMut::F32(values)
        }

        #[inline(always)]
        unsafe fn load<S: Simd>(simd: S, from: *const f32, count: usize) -> S::f32s {
            if count >= S::F32_LANES {
                // SAFETY: a whole vector lies there; `f32s` is plain old data of any alignment here.
                unsafe { from.cast::<S::f32s>().read_unaligned() }
            } else {
                // SAFETY: `count` values lie there.
                simd.partial_load_f32s(unsafe { std::slice::from_raw_parts(from, count) })
            }
        }

        #[inline(always)]
        unsafe fn store<S: Simd>(simd: S, to: *mut f32, count: usize, values: S::f32s) {
            if count >= S::F32_LANES {
                // SAFETY: a whole vector fits there.
                unsafe { to.cast::<S::f32s>().write_unaligned(values) };
            } else {
                // SAFETY: `count` values fit there, and they are ours.
                let to = unsafe { std::slice::from_raw_parts_mut(to, count) };
                simd.partial_store_f32s(to, values);
            }
        }
    }

    impl Stored for bf16 {
        const BRIEF: bool = true;

        fn values(values: &[Self]) -> Values<'_> {
            Values::Bf16(values)
        }

        fn values_mut(values: &mut [Self]) -> ValuesMut<'_> {
            ValuesMut::Bf16(values)
        }

        #[inline(always)]
        unsafe fn load<S: Simd>(_: S, from: *const bf16, count: usize) -> S::f32s {
            let from = from.cast::<u16>();
            // SAFETY: `count` values lie there, and `MOST` in the copy.
            unsafe {
                if count >= S::F32_LANES {
                    return widen::<S>(from);
                }
                let mut copy = [0u16; MOST];
                std::ptr::copy_nonoverlapping(from, copy.as_mut_ptr(), count);
                widen::<S>(copy.as_ptr())
            }
        }

        #[inline(always)]
        unsafe fn store<S: Simd>(simd: S, to: *mut bf16, count: usize, values: S::f32s) {
            let (to, values) = (to.cast::<u16>(), round(simd, values));
            // SAFETY: `count` values fit there, and `MOST` into the copy.
            unsafe {
                if count >= S::F32_LANES {
                    return narrow::<S>(values, to);
                }
                let mut copy = [0u16; MOST];
                narrow::<S>(values, copy.as_mut_ptr());
                std::ptr::copy_nonoverlapping(copy.as_ptr(), to, count);
            }
        }
    }

    /// A vector of values of which the upper halves are at `from`.
    #[inline(always)]
    unsafe fn widen<S: Simd>(from: *const u16) -> S::f32s {
        // SAFETY: as many halves as a vector has values lie there.
        unsafe {
            match S::F32_LANES {
                16 => widen_each::<S, 16>(from),
                8 => widen_each::<S, 8>(from),
                _ => widen_each::<S, 4>(from),
            }
        }
    }

    #[inline(always)]
    unsafe fn widen_each<S: Simd, const LANES: usize>(from: *const u16) -> S::f32s {
        const { assert!(LANES <= MOST) };
        // SAFETY: so many halves lie there.
        let halves = unsafe { from.cast::<[u16; LANES]>().read_unaligned() };
        let words = halves.map(|half| u32::from(half) << 16);
        // SAFETY: a vector has so many values.
        unsafe { words.as_ptr().cast::<S::f32s>().read_unaligned() }
    }

    /// Writes the upper halves of a vector's values.
    #[inline(always)]
    unsafe fn narrow<S: Simd>(values: S::f32s, to: *mut u16) {
        // SAFETY: as many halves as a vector has values fit there.
        unsafe {
            match S::F32_LANES {
                16 => narrow_each::<S, 16>(values, to),
                8 => narrow_each::<S, 8>(values, to),
                _ => narrow_each::<S, 4>(values, to),
            }
        }
    }

    #[inline(always)]
    unsafe fn narrow_each<S: Simd, const LANES: usize>(values: S::f32s, to: *mut u16) {
        let mut words = [0u32; LANES];
        // SAFETY: a vector has so many values, and so many halves fit there.
        unsafe {
            words.as_mut_ptr().cast::<S::f32s>().write_unaligned(values);
            let halves = words.map(|word| (word >> 16) as u16);
            to.cast::<[u16; LANES]>().write_unaligned(halves);
        }
    }
}
