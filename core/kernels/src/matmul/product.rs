//! The product of some rows and a packed matrix.

use pulp::Simd;

use super::{
    Packed,
    packed::Panel,
    tile::{SHORT, TALL, tile},
};
use crate::simd::{load, store};

/// The left operand: rows that lie anywhere.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    /// Its first value.
    pub(crate) data: *const f32,
    /// How many rows it has.
    pub(crate) rows: usize,
    /// From one row to the next.
    pub(crate) row_stride: usize,
    /// From one value of a row to the next.
    pub(crate) depth_stride: usize,
}

impl Left {
    /// Rows of `width` values that follow each other.
    pub(crate) fn rows(data: &[f32], width: usize) -> Self {
        Self { data: data.as_ptr(), rows: data.len() / width, row_stride: width, depth_stride: 1 }
    }
}

/// What happens to a product's values.
pub(crate) trait Epilogue {
    /// Takes the sums of a row from `column` on; the first `count` of them exist.
    ///
    /// # Safety
    /// `row`, and `column + count - 1`, must lie within the product that it was made for.
    unsafe fn take<S: Simd>(&self, simd: S, row: usize, column: usize, count: usize, sums: S::f32s);
}

/// Writes the product, or adds it to what is there.
pub(crate) struct Store {
    pub(crate) to: *mut f32,
    pub(crate) row_stride: usize,
    /// Multiplies each value.
    pub(crate) factor: f32,
    pub(crate) add: bool,
}

impl Epilogue for Store {
    #[inline(always)]
    unsafe fn take<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
        sums: S::f32s,
    ) {
        // SAFETY: the memory is as large as the product.
        unsafe {
            let to = self.to.add(row * self.row_stride + column);
            let scaled = simd.mul_f32s(sums, simd.splat_f32s(self.factor));
            let values =
                if self.add { simd.add_f32s(scaled, load(simd, to, count)) } else { scaled };
            store(simd, to, count, values);
        }
    }
}

/// Multiplies `left` with `right` and hands each value to `epilogue`.
///
/// # Safety
/// `left` must have `right.depth` values in each row, and `epilogue` must be made for its rows and
/// the columns of `right`.
#[inline(always)]
pub(crate) unsafe fn product<S: Simd, E: Epilogue>(
    simd: S,
    left: Left,
    right: &Packed<'_>,
    epilogue: &E,
) {
    for column in (0..right.columns).step_by(2 * S::F32_LANES) {
        let panel = right.panel::<S>(column);
        // SAFETY: as the caller says.
        unsafe {
            match panel.narrow {
                true => column_of_tiles::<S, E, 1>(simd, left, right.depth, panel, epilogue),
                false => column_of_tiles::<S, E, 2>(simd, left, right.depth, panel, epilogue),
            }
        }
    }
}

/// All rows of one panel.
#[inline(always)]
unsafe fn column_of_tiles<S: Simd, E: Epilogue, const VECTORS: usize>(
    simd: S,
    left: Left,
    depth: usize,
    panel: Panel,
    epilogue: &E,
) {
    let mut row = 0;
    macro_rules! tiles {
        ($($rows:expr),*) => {$(
            while left.rows - row >= $rows {
                // SAFETY: as the caller of `product` says, for these rows.
                unsafe {
                    one_tile::<S, E, { $rows }, VECTORS>(simd, left, row, depth, panel, epilogue);
                }
                row += $rows;
            }
        )*};
    }
    if const { S::REGISTER_COUNT >= 32 } {
        tiles!(TALL, 4, 2, 1);
    } else {
        tiles!(SHORT, 4, 2, 1);
    }
}

#[inline(always)]
unsafe fn one_tile<S: Simd, E: Epilogue, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    left: Left,
    row: usize,
    depth: usize,
    panel: Panel,
    epilogue: &E,
) {
    // SAFETY: as the caller of `product` says.
    unsafe {
        let from = left.data.add(row * left.row_stride);
        let sums = tile::<S, ROWS, VECTORS>(
            simd,
            depth,
            from,
            left.row_stride,
            left.depth_stride,
            panel.data,
        );
        let whole = panel.columns == VECTORS * S::F32_LANES;
        for (at, sums) in sums.into_iter().enumerate() {
            for (vector, sums) in sums.into_iter().enumerate() {
                let offset = vector * S::F32_LANES;
                let count =
                    if whole { S::F32_LANES } else { S::F32_LANES.min(panel.columns - offset) };
                epilogue.take(simd, row + at, panel.column + offset, count, sums);
            }
        }
    }
}
