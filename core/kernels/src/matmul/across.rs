//! A left operand that is written row by row, and read column by column.

use std::marker::PhantomData;

use pulp::Simd;

use super::{
    Format, Packed,
    product::{Epilogue, Lines, in_pairs, in_values},
};
use crate::{
    element::{Element, pair, round},
    simd::{load, store},
};

/// The transpose of a matrix with `width` columns, in memory of its own.
///
/// Its rows are written from the first to the last.
#[derive(Clone, Copy)]
pub(crate) struct Across<T> {
    words: *mut f32,
    width: usize,
    format: Format,
    element: PhantomData<T>,
}

impl<T: Element> Across<T> {
    /// Words that `rows` rows of `width` values take.
    pub(crate) fn len(rows: usize, width: usize) -> usize {
        Format::of::<T>().rows(rows) * width
    }

    /// In `words`, which must outlive it and be as long as [`Across::len`] says.
    pub(crate) fn new(words: &mut [f32], width: usize) -> Self {
        Self { words: words.as_mut_ptr(), width, format: Format::of::<T>(), element: PhantomData }
    }

    /// Writes the first `count` values of a vector to `row`, from `column` on.
    ///
    /// # Safety
    /// They must lie within the matrix, those of an even row before those of the next.
    #[inline(always)]
    pub(crate) unsafe fn write<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
        values: S::f32s,
    ) {
        // SAFETY: as the caller says.
        unsafe {
            if const { !T::BRIEF } {
                return store(simd, self.words.add(row * self.width + column), count, values);
            }
            let values = round(simd, values);
            match self.format {
                Format::Values => {
                    store(simd, self.words.add(row * self.width + column), count, values);
                }
                Format::Pairs(_) => {
                    let to = self.words.add(row / 2 * self.width + column);
                    let zero = simd.splat_f32s(0.0);
                    let words = if row.is_multiple_of(2) {
                        pair(simd, values, zero)
                    } else {
                        let first = simd.transmute_u32s_f32s(load(simd, to, count));
                        let second = simd.transmute_u32s_f32s(values);
                        simd.transmute_f32s_u32s(simd.or_u32s(first, second))
                    };
                    store(simd, to, count, words);
                }
            }
        }
    }

    /// Multiplies the transpose's first `rows` rows, of `right.depth` values each, with `right`.
    ///
    /// # Safety
    /// All of these values must have been written; the rest is as for [`super::product`].
    #[inline(always)]
    pub(crate) unsafe fn product<S: Simd, E: Epilogue>(
        &self,
        simd: S,
        rows: usize,
        right: &Packed<'_, T>,
        epilogue: &E,
    ) {
        // SAFETY: as the caller says.
        unsafe {
            match self.format {
                Format::Pairs(kernel) if const { T::BRIEF } => {
                    let left = Lines {
                        data: self.words.cast_const().cast(),
                        rows,
                        row: size_of::<f32>(),
                        step: self.width * size_of::<f32>(),
                    };
                    in_pairs(simd, kernel, left, false, right, epilogue);
                }
                _ => {
                    let data = self.words.cast_const();
                    let left = Lines { data, rows, row: 1, step: self.width };
                    in_values(simd, left, right, epilogue);
                }
            }
        }
    }
}
