//! A left operand that is written row by row, and read column by column.

use std::marker::PhantomData;

use pulp::Simd;

use super::{
    Format, Packed, Store, View,
    packed::{Panel, Source},
    pairs::Kernel,
    product::{Epilogue, Lines, in_pairs, in_values, of_panels},
    transpose::{SIDE, transpose},
};
use crate::{
    convert::convert_here,
    element::{Element, pair, round},
    scratch,
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
    unsafe fn product<S: Simd, E: Epilogue>(
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
                    in_pairs(simd, kernel, left, right.depth, false, right, epilogue);
                }
                _ => {
                    let data = self.words.cast_const();
                    let left = Lines { data, rows, row: 1, step: self.width };
                    in_values(simd, left, right, epilogue);
                }
            }
        }
    }

    /// Multiplies the transpose of `right`, which lies as [`Source::pack_by_row`] leaves it, with the first
    /// `columns` columns: the other way round, where a kernel takes left operands row by row.
    ///
    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn turned<S: Simd, E: Epilogue>(
        &self,
        simd: S,
        kernel: &Kernel,
        columns: usize,
        depth: usize,
        right: &[f32],
        epilogue: &E,
    ) {
        let rows = self.format.rows(depth);
        let left = Lines {
            data: right.as_ptr().cast::<u8>(),
            rows: right.len() / rows,
            row: rows * size_of::<f32>(),
            step: size_of::<f32>(),
        };
        let panel = |column: usize| {
            let columns = (2 * S::F32_LANES).min(columns - column);
            let data = self.words.wrapping_add(column).cast_const();
            (Panel { data, column, columns, narrow: columns <= S::F32_LANES }, self.width)
        };
        // SAFETY: as the caller says; rows are as wide as whole vectors.
        unsafe {
            let unwritten = self.words.add(depth.div_ceil(2) * self.width);
            unwritten.write_bytes(0, (rows - depth.div_ceil(2)) * self.width);
            of_panels(simd, kernel, left, 2 * rows, false, columns, panel, epilogue);
        }
    }
}

/// Products of [`Across`] that are summed over blocks of rows: in place, or for `bf16` in memory of their
/// own, so that they are rounded once.
pub(crate) struct SumsAcross<'a, T> {
    /// Where they go: `rows` rows, `row_stride` apart, of `columns` values.
    pub(crate) to: *mut T,
    pub(crate) row_stride: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Multiplies each value.
    pub(crate) factor: f32,
    /// As long as [`SumsAcross::len`] says.
    pub(crate) sums: &'a mut [f32],
    /// For the other operand: as long as [`SumsAcross::operand_len`] says.
    pub(crate) operand: &'a mut [f32],
}

impl<T: Element> SumsAcross<'_, T> {
    /// How much memory sums take.
    pub(crate) fn len(rows: usize, columns: usize) -> usize {
        match Format::of::<T>() {
            Format::Pairs(kernel) if kernel.left_by_row => rows.next_multiple_of(SIDE) * columns,
            _ if T::BRIEF => rows * columns,
            _ => 0,
        }
    }

    /// How much memory the other operand takes, of which blocks have at most `depth` rows.
    pub(crate) fn operand_len<S: Simd>(depth: usize, columns: usize) -> usize {
        let format = Format::of::<T>();
        match format {
            Format::Pairs(kernel) if kernel.left_by_row => (format.rows(depth) + SIDE) * columns,
            _ => Packed::<T>::len::<S>(depth, columns),
        }
    }

    /// Adds the product of the transpose of `left` and of `right`, or begins with it.
    ///
    /// # Safety
    /// `left` must have been written as far as `right` has rows, and there must be place for the result.
    #[inline(always)]
    pub(crate) unsafe fn add<S: Simd>(
        &mut self,
        simd: S,
        left: Across<T>,
        right: View<'_, T>,
        add: bool,
    ) {
        let (rows, columns, factor) = (self.rows, self.columns, self.factor);
        let sums = self.sums.as_mut_ptr();
        // SAFETY: as the caller says.
        unsafe {
            match left.format {
                Format::Pairs(kernel) if const { T::BRIEF } && kernel.left_by_row => {
                    let (format, row_stride) = (left.format, rows.next_multiple_of(SIDE));
                    let from =
                        Source { matrix: right, factors: None, format, element: PhantomData };
                    let words = format.rows(right.rows);
                    let (lines, operand) = self.operand.split_at_mut(SIDE * columns);
                    let operand = &mut operand[..words * columns];
                    Source::<T, T>::pack_by_row(&from, simd, lines, operand, words);
                    let store = Store { to: sums, row_stride, factor, add };
                    left.turned(simd, kernel, rows, right.rows, operand, &store);
                }
                _ => {
                    let len = Packed::<T>::len::<S>(right.rows, columns);
                    let right = Packed::new(simd, right, &mut self.operand[..len]);
                    if const { T::BRIEF } {
                        let store = Store { to: sums, row_stride: columns, factor, add };
                        left.product(simd, rows, &right, &store);
                    } else {
                        let store = Store { to: self.to, row_stride: self.row_stride, factor, add };
                        left.product(simd, rows, &right, &store);
                    }
                }
            }
        }
    }

    /// Writes the sums to where they go.
    ///
    /// # Safety
    /// There must be place for them.
    #[inline(always)]
    pub(crate) unsafe fn finish<S: Simd>(self, simd: S) {
        let Self { to, row_stride, rows, columns, sums, .. } = self;
        // SAFETY: as the caller says.
        let at = |row: usize| unsafe {
            std::slice::from_raw_parts_mut(to.add(row * row_stride), columns)
        };
        match Format::of::<T>() {
            Format::Pairs(kernel) if const { T::BRIEF } && kernel.left_by_row => {
                let pitch = rows.next_multiple_of(SIDE);
                let mut lines = scratch::take(SIDE * columns);
                for first in (0..rows).step_by(SIDE) {
                    let count = SIDE.min(rows - first);
                    // SAFETY: there are sums of so many rows, and place for them.
                    unsafe {
                        let (from, lines) = (sums[first..].as_ptr(), lines.as_mut_ptr());
                        transpose(simd, [columns, count], from, pitch, lines, columns);
                    }
                    for (row, line) in lines.chunks_exact(columns).enumerate().take(count) {
                        convert_here(simd, line, at(first + row));
                    }
                }
            }
            _ if const { T::BRIEF } => {
                for (row, sums) in sums.chunks_exact(columns).enumerate() {
                    convert_here(simd, sums, at(row));
                }
            }
            _ => {}
        }
    }
}
