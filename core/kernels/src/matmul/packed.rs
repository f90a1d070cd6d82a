//! The right operand, in the order in which the micro-kernel reads it.

use pulp::{Simd, WithSimd};

use super::View;
use crate::{
    rows::{self, Shared},
    scratch,
    simd::{dispatch, load, store},
};

/// Rows that are packed at once where a matrix lies column by column.
const TRANSPOSED: usize = 16;

/// A matrix in panels of two vectors' width, each panel row after row; the last panel is one vector
/// wide if that holds what is left. Columns that do not exist are zero.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a> {
    data: &'a [f32],
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    lanes: usize,
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

impl<'a> Packed<'a> {
    /// How many values `depth` rows and `columns` columns take.
    pub(crate) fn len<S: Simd>(depth: usize, columns: usize) -> usize {
        columns.next_multiple_of(S::F32_LANES) * depth
    }

    /// Packs `matrix` into `data` on this thread.
    #[inline(always)]
    pub(crate) fn new<S: Simd>(simd: S, matrix: View<'_>, data: &'a mut [f32]) -> Self {
        assert_eq!(data.len(), Self::len::<S>(matrix.rows, matrix.columns));
        if matrix.column_stride == 1 {
            pack_rows(simd, matrix, data);
        } else {
            let width = 2 * S::F32_LANES;
            for first in (0..matrix.columns).step_by(width) {
                let columns = width.min(matrix.columns - first);
                let at = first * matrix.rows;
                let panel = columns.next_multiple_of(S::F32_LANES) * matrix.rows;
                pack_panel(simd, matrix, first, columns, None, &mut data[at..at + panel]);
            }
        }
        Self { data, depth: matrix.rows, columns: matrix.columns, lanes: S::F32_LANES }
    }

    /// Packs `matrix`, each of its rows times a value of `factors`, on every core, and lends the
    /// result to `body`.
    pub(crate) fn lend<R>(
        matrix: View<'_>,
        factors: Option<&[f32]>,
        body: impl FnOnce(Packed<'_>) -> R,
    ) -> R {
        let lanes = dispatch(Lanes);
        let len = matrix.columns.next_multiple_of(lanes) * matrix.rows;
        let mut data = scratch::take(len);
        let width = 2 * lanes;
        let shared = Shared::new(&mut data);
        rows::for_each(matrix.columns.div_ceil(width), |panel| {
            let first = panel * width;
            let columns = width.min(matrix.columns - first);
            let len = columns.next_multiple_of(lanes) * matrix.rows;
            // SAFETY: each panel is a part of its own.
            let data = unsafe { shared.slice(first * matrix.rows, len) };
            dispatch(PackPanel { matrix, first, columns, factors, data });
        });
        body(Packed { data: &data, depth: matrix.rows, columns: matrix.columns, lanes })
    }

    /// The panel that starts at `column`.
    #[inline(always)]
    pub(crate) fn panel<S: Simd>(&self, column: usize) -> Panel {
        assert_eq!(self.lanes, S::F32_LANES, "packed for the same instruction set");
        let columns = (2 * S::F32_LANES).min(self.columns - column);
        Panel {
            data: self.data[column * self.depth..].as_ptr(),
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

struct PackPanel<'a> {
    matrix: View<'a>,
    first: usize,
    columns: usize,
    factors: Option<&'a [f32]>,
    data: &'a mut [f32],
}

impl WithSimd for PackPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        pack_panel(simd, self.matrix, self.first, self.columns, self.factors, self.data);
    }
}

/// Packs a matrix whose rows are contiguous, row after row, so that each is read in one go.
#[inline(always)]
fn pack_rows<S: Simd>(simd: S, matrix: View<'_>, data: &mut [f32]) {
    let (columns, lanes) = (matrix.columns, S::F32_LANES);
    let whole = columns / (2 * lanes) * 2 * lanes;
    let rest = (columns - whole).next_multiple_of(lanes);
    for row in 0..matrix.rows {
        let from = &matrix.data[row * matrix.row_stride..][..columns];
        for first in (0..whole).step_by(2 * lanes) {
            let to = &mut data[first * matrix.rows + row * 2 * lanes..][..2 * lanes];
            // SAFETY: two whole vectors lie there, and there is place for them.
            unsafe {
                let low = load(simd, from.as_ptr().add(first), lanes);
                let high = load(simd, from.as_ptr().add(first + lanes), lanes);
                store(simd, to.as_mut_ptr(), lanes, low);
                store(simd, to.as_mut_ptr().add(lanes), lanes, high);
            }
        }
        for at in (0..rest).step_by(lanes) {
            let to = &mut data[whole * matrix.rows + row * rest + at..][..lanes];
            let count = lanes.min(columns.saturating_sub(whole + at));
            // SAFETY: `count` values lie there, and there is place for a whole vector.
            unsafe {
                let values = load(simd, from.as_ptr().add(whole + at), count);
                store(simd, to.as_mut_ptr(), lanes, values);
            }
        }
    }
}

/// Packs the columns from `first` on.
#[inline(always)]
fn pack_panel<S: Simd>(
    simd: S,
    matrix: View<'_>,
    first: usize,
    columns: usize,
    factors: Option<&[f32]>,
    data: &mut [f32],
) {
    let width = columns.next_multiple_of(S::F32_LANES);
    if matrix.column_stride == 1 {
        for (row, to) in data.chunks_exact_mut(width).enumerate() {
            let from = &matrix.data[row * matrix.row_stride + first..][..columns];
            for at in (0..width).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(columns.saturating_sub(at));
                // SAFETY: `count` values lie at `at`, and a whole vector fits there.
                unsafe {
                    let mut values = load(simd, from.as_ptr().add(at), count);
                    if let Some(factors) = factors {
                        values = simd.mul_f32s(values, simd.splat_f32s(factors[row]));
                    }
                    store(simd, to.as_mut_ptr().add(at), S::F32_LANES, values);
                }
            }
        }
    } else {
        assert_eq!(data.len(), width * matrix.rows);
        // A few rows at a time, so that what is written stays in the first cache.
        for start in (0..matrix.rows).step_by(TRANSPOSED) {
            let rows = TRANSPOSED.min(matrix.rows - start);
            for column in 0..columns {
                let at = (first + column) * matrix.column_stride + start * matrix.row_stride;
                let from = &matrix.data[at..];
                assert!((rows - 1) * matrix.row_stride < from.len());
                for row in 0..rows {
                    let factor = factors.map_or(1.0, |factors| factors[start + row]);
                    // SAFETY: the rows lie within `from`, and the panel within `data`.
                    unsafe {
                        let value = *from.get_unchecked(row * matrix.row_stride);
                        *data.get_unchecked_mut((start + row) * width + column) = value * factor;
                    }
                }
            }
        }
        for column in columns..width {
            data.iter_mut().skip(column).step_by(width).for_each(|value| *value = 0.0);
        }
    }
}
