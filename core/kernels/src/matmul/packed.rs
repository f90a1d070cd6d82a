//! The right operand, in the order in which the micro-kernel reads it.

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::{
    Format, View,
    transpose::{SIDE, transpose},
};
use crate::{
    element::{Element, pair, round},
    rows::{self, Shared},
    scratch,
    simd::{dispatch, each_vector, load, prefetch, store},
};

/// A matrix in panels of two vectors' width, each panel row after row of words; the last panel is
/// one vector wide if that holds what is left. Columns that do not exist are zero.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a, T = f32> {
    data: &'a [f32],
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    pub(super) format: Format,
    lanes: usize,
    element: PhantomData<T>,
}

/// One panel of a packed matrix.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub(crate) data: *const f32,
    /// The first of its columns in the whole matrix.
    pub(crate) column: usize,
    /// Columns that exist.
    pub(crate) columns: usize,
    /// Whether it is one vector wide and not two.
    pub(crate) narrow: bool,
}

impl<'a, T: Element> Packed<'a, T> {
    /// How many words `depth` rows and `columns` columns take.
    pub(crate) fn len<S: Simd>(depth: usize, columns: usize) -> usize {
        columns.next_multiple_of(S::F32_LANES) * Format::of::<T>().rows(depth)
    }

    /// Packs `matrix` into `data` on this thread.
    #[inline(always)]
    pub(crate) fn new<S: Simd, F: Element>(
        simd: S,
        matrix: View<'_, F>,
        data: &'a mut [f32],
    ) -> Self {
        assert_eq!(data.len(), Self::len::<S>(matrix.rows, matrix.columns));
        let format = Format::of::<T>();
        let from = Source::<F, T> { matrix, factors: None, format, element: PhantomData };
        if matrix.column_stride == 1 {
            from.pack_rows(simd, data);
        } else {
            let (width, rows) = (2 * S::F32_LANES, format.rows(matrix.rows));
            for first in (0..matrix.columns).step_by(width) {
                let columns = width.min(matrix.columns - first);
                let at = first * rows;
                let panel = columns.next_multiple_of(S::F32_LANES) * rows;
                from.pack_panel(simd, first, columns, &mut data[at..at + panel]);
            }
        }
        Self::of(matrix, format, S::F32_LANES, data)
    }

    /// Packs `matrix`, each of its rows times a value of `factors`, on every core, and lends the
    /// result to `body`.
    pub(crate) fn lend<F: Element, R>(
        matrix: View<'_, F>,
        factors: Option<&[f32]>,
        body: impl FnOnce(Packed<'_, T>) -> R,
    ) -> R {
        let (lanes, format) = (dispatch(Lanes), Format::of::<T>());
        let rows = format.rows(matrix.rows);
        let len = matrix.columns.next_multiple_of(lanes) * rows;
        let mut data = scratch::take(len);
        let width = 2 * lanes;
        let shared = Shared::new(&mut data);
        rows::for_each(matrix.columns.div_ceil(width), |panel| {
            let first = panel * width;
            let columns = width.min(matrix.columns - first);
            let len = columns.next_multiple_of(lanes) * rows;
            // SAFETY: each panel is a part of its own.
            let data = unsafe { shared.slice(first * rows, len) };
            let from = Source::<F, T> { matrix, factors, format, element: PhantomData };
            dispatch(PackPanel { from, first, columns, data });
        });
        body(Packed::of(matrix, format, lanes, &data))
    }

    fn of<F>(matrix: View<'_, F>, format: Format, lanes: usize, data: &'a [f32]) -> Self {
        let View { rows: depth, columns, .. } = matrix;
        Self { data, depth, columns, format, lanes, element: PhantomData }
    }

    /// The panel that starts at `column`.
    #[inline(always)]
    pub(crate) fn panel<S: Simd>(&self, column: usize) -> Panel {
        assert_eq!(self.lanes, S::F32_LANES, "packed for the same instruction set");
        let columns = (2 * S::F32_LANES).min(self.columns - column);
        let rows = if const { T::BRIEF } { self.format.rows(self.depth) } else { self.depth };
        Panel {
            data: self.data[column * rows..].as_ptr(),
            column,
            columns,
            narrow: columns <= S::F32_LANES,
        }
    }
}

/// How many values a vector of the current instruction set has.
struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

struct PackPanel<'a, F, T> {
    from: Source<'a, F, T>,
    first: usize,
    columns: usize,
    data: &'a mut [f32],
}

impl<F: Element, T: Element> WithSimd for PackPanel<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.from.pack_panel(simd, self.first, self.columns, self.data);
    }
}

/// A matrix of type `F` that becomes an operand of type `T`.
#[derive(Clone, Copy)]
pub(super) struct Source<'a, F, T> {
    pub(super) matrix: View<'a, F>,
    /// A factor for each row.
    pub(super) factors: Option<&'a [f32]>,
    pub(super) format: Format,
    pub(super) element: PhantomData<T>,
}

impl<F: Element, T: Element> Source<'_, F, T> {
    /// The values of `row` from `column` on, `count` of which exist. The matrix must lie row by row.
    ///
    /// # Safety
    /// They must lie within the matrix.
    #[inline(always)]
    unsafe fn values<S: Simd>(&self, simd: S, row: usize, column: usize, count: usize) -> S::f32s {
        let at = row * self.matrix.row_stride + column;
        // SAFETY: as the caller says.
        let mut values = unsafe { load(simd, self.matrix.data.as_ptr().add(at), count) };
        if let Some(factors) = self.factors {
            values = simd.mul_f32s(values, simd.splat_f32s(factors[row]));
        }
        if const { T::BRIEF } && (!F::BRIEF || self.factors.is_some()) {
            values = round(simd, values);
        }
        values
    }

    /// The words of row `row`, counted in words, from `column` on, `count` of which exist. The
    /// matrix must lie row by row.
    ///
    /// # Safety
    /// Those of them that hold values must lie within the matrix.
    #[inline(always)]
    pub(super) unsafe fn words<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
    ) -> S::f32s {
        // SAFETY: as the caller says.
        unsafe {
            match self.format {
                Format::Pairs(_) if const { T::BRIEF } => {
                    let zero = simd.splat_f32s(0.0);
                    let rows = self.matrix.rows;
                    if 2 * row + 1 < rows {
                        let first = self.values(simd, 2 * row, column, count);
                        pair(simd, first, self.values(simd, 2 * row + 1, column, count))
                    } else if 2 * row < rows {
                        pair(simd, self.values(simd, 2 * row, column, count), zero)
                    } else {
                        zero
                    }
                }
                _ => self.values(simd, row, column, count),
            }
        }
    }

    /// Brings closer the first `columns` values of rows that are read a little after row `row` of words. The matrix must
    /// lie row by row.
    #[inline(always)]
    pub(super) fn prefetch(&self, row: usize, columns: usize) {
        const LATER: usize = 4;
        let values = if matches!(self.format, Format::Pairs(_)) { 2 } else { 1 };
        let line = 64 / size_of::<F>();
        for row in (row + LATER) * values..(row + LATER + 1) * values {
            let from = self.matrix.data.as_ptr().wrapping_add(row * self.matrix.row_stride);
            for at in (0..columns).step_by(line) {
                prefetch(from.wrapping_add(at));
            }
        }
    }

    /// Packs a matrix whose rows are contiguous, row after row, so that each is read in one go.
    #[inline(always)]
    fn pack_rows<S: Simd>(&self, simd: S, data: &mut [f32]) {
        let (columns, lanes) = (self.matrix.columns, S::F32_LANES);
        let rows = self.format.rows(self.matrix.rows);
        let whole = columns / (2 * lanes) * 2 * lanes;
        let rest = (columns - whole).next_multiple_of(lanes);
        for row in 0..rows {
            self.prefetch(row, columns);
            for first in (0..whole).step_by(2 * lanes) {
                let to = &mut data[first * rows + row * 2 * lanes..][..2 * lanes];
                // SAFETY: two whole vectors lie there, and there is place for them.
                unsafe {
                    let low = self.words(simd, row, first, lanes);
                    let high = self.words(simd, row, first + lanes, lanes);
                    store(simd, to.as_mut_ptr(), lanes, low);
                    store(simd, to.as_mut_ptr().add(lanes), lanes, high);
                }
            }
            for at in (0..rest).step_by(lanes) {
                let to = &mut data[whole * rows + row * rest + at..][..lanes];
                let count = lanes.min(columns.saturating_sub(whole + at));
                // SAFETY: `count` values lie there, and there is place for a whole vector.
                unsafe {
                    let words = self.words(simd, row, whole + at, count);
                    store(simd, to.as_mut_ptr(), lanes, words);
                }
            }
        }
    }

    /// Packs the columns from `first` on.
    #[inline(always)]
    fn pack_panel<S: Simd>(&self, simd: S, first: usize, columns: usize, data: &mut [f32]) {
        let width = columns.next_multiple_of(S::F32_LANES);
        assert_eq!(data.len(), width * self.format.rows(self.matrix.rows));
        if self.matrix.column_stride == 1 {
            for (row, to) in data.chunks_exact_mut(width).enumerate() {
                for at in (0..width).step_by(S::F32_LANES) {
                    let count = S::F32_LANES.min(columns.saturating_sub(at));
                    // SAFETY: `count` values lie at `at`, and a whole vector fits there.
                    unsafe {
                        let words = self.words(simd, row, first + at, count);
                        store(simd, to.as_mut_ptr().add(at), S::F32_LANES, words);
                    }
                }
            }
            return;
        }
        assert_eq!(self.matrix.row_stride, 1, "a matrix lies by rows or by columns");
        self.transpose(simd, first, columns, data);
        for column in columns..width {
            data.iter_mut().skip(column).step_by(width).for_each(|value| *value = 0.0);
        }
    }

    /// Packs a panel of a matrix that lies column by column, a square at a time.
    #[inline(always)]
    fn transpose<S: Simd>(&self, simd: S, first: usize, columns: usize, data: &mut [f32]) {
        let width = columns.next_multiple_of(S::F32_LANES);
        let pairs = const { T::BRIEF } && matches!(self.format, Format::Pairs(_));
        let values = if pairs { 2 } else { 1 };
        let (rows, word_rows) = (self.matrix.rows, data.len() / width);
        let stride = self.matrix.column_stride;
        // Words that lie in memory as the panel has them.
        let same = F::BRIEF == pairs && F::BRIEF == T::BRIEF && self.factors.is_none();
        let same = same && stride.is_multiple_of(values);
        for start in (0..word_rows).step_by(SIDE) {
            let (row, words) = (start * values, SIDE.min(word_rows - start));
            let count = (words * values).min(rows.saturating_sub(row));
            for column in (0..columns).step_by(SIDE) {
                let beside = SIDE.min(columns - column);
                let from = &self.matrix.data[(first + column) * stride + row.min(rows)..];
                let to = data[start * width + column..].as_mut_ptr();
                // SAFETY: so many columns, of `count` values each, lie there, not more than fit into
                // `staged` as words; the panel has that many rows and columns.
                unsafe {
                    if same && count == words * values {
                        let from = from.as_ptr().cast();
                        transpose(simd, [beside, words], from, stride / values, to, width);
                        continue;
                    }
                    let mut staged = Staged([[0.0; SIDE]; SIDE]);
                    for (at, staged) in staged.0[..beside].iter_mut().enumerate() {
                        if count > 0 {
                            self.stage(simd, &from[at * stride..][..count], row, pairs, staged);
                        }
                    }
                    let from = staged.0.as_flattened().as_ptr();
                    transpose(simd, [beside, words], from, SIDE, to, width);
                }
            }
        }
    }

    /// Packs all columns one after the other, each of `to_row` words. `lines` is memory for 16 rows of words
    /// as wide as the matrix, which must lie row by row.
    #[inline(always)]
    pub(super) fn pack_by_row<S: Simd>(
        &self,
        simd: S,
        lines: &mut [f32],
        to: &mut [f32],
        to_row: usize,
    ) {
        let width = self.matrix.columns;
        assert!(lines.len() == SIDE * width && to.len() >= width * to_row);
        for start in (0..to_row).step_by(SIDE) {
            let count = SIDE.min(to_row - start);
            for (row, line) in lines.chunks_exact_mut(width).take(count).enumerate() {
                self.prefetch(start + row, width);
                each_vector!(S, width, |at, count| {
                    // SAFETY: the vector lies within the row, and within `line`.
                    unsafe {
                        let words = self.words(simd, start + row, at, count);
                        store(simd, line.as_mut_ptr().add(at), count, words);
                    }
                });
            }
            // SAFETY: so many lines were written, and there is place for as many words of each column.
            unsafe {
                let to = to.as_mut_ptr().add(start);
                transpose(simd, [count, width], lines.as_ptr(), width, to, to_row);
            }
        }
    }

    /// A part of one column, as words.
    ///
    /// # Safety
    /// The words must fit into `to`.
    #[inline(always)]
    unsafe fn stage<S: Simd>(
        &self,
        simd: S,
        from: &[F],
        row: usize,
        pairs: bool,
        to: &mut [f32; SIDE],
    ) {
        for at in (0..from.len()).step_by(S::F32_LANES) {
            let count = S::F32_LANES.min(from.len() - at);
            // SAFETY: `count` values lie there, and as many fit there.
            unsafe {
                let mut values = load(simd, from.as_ptr().add(at), count);
                if let Some(factors) = self.factors {
                    let factors = &factors[row + at..][..count];
                    values = simd.mul_f32s(values, load(simd, factors.as_ptr(), count));
                }
                let to = to.as_mut_ptr();
                if pairs {
                    store(simd, to.cast::<T>().add(at), count, values);
                } else if const { T::BRIEF } {
                    store(simd, to.add(at), count, round(simd, values));
                } else {
                    store(simd, to.add(at), count, values);
                }
            }
        }
    }
}

/// Words of columns on their way to a panel.
#[repr(C, align(64))]
struct Staged([[f32; SIDE]; SIDE]);
