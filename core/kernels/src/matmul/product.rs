//! The product of some rows and a packed matrix.

use pulp::{Simd, WithSimd};

use super::{
    Format, Packed,
    packed::Panel,
    pairs::{self, Kernel, Sums},
    tile::{AHEAD, SHORT, TALL, tile},
};
use crate::{
    convert::convert_here,
    element::Element,
    scratch,
    simd::{load, store},
};

/// The left operand: rows that lie anywhere, each of values that follow each other.
#[derive(Clone, Copy)]
pub(crate) struct Left<T> {
    /// Its first value.
    pub(crate) data: *const T,
    /// How many rows it has.
    pub(crate) rows: usize,
    /// From one row to the next.
    pub(crate) row_stride: usize,
    /// Whether rows go on to as many values as [`Format::values`] says: numbers, which meet zeros.
    pub(crate) padded: bool,
}

impl<T> Left<T> {
    /// Rows of `width` values that follow each other.
    pub(crate) fn rows(data: &[T], width: usize) -> Self {
        Self { data: data.as_ptr(), rows: data.len() / width, row_stride: width, padded: false }
    }
}

/// A left operand as micro-kernels read it.
#[derive(Clone, Copy)]
pub(super) struct Lines<W> {
    pub(super) data: *const W,
    pub(super) rows: usize,
    /// From one row to the next.
    pub(super) row: usize,
    /// From one step along a row to the next.
    pub(super) step: usize,
}

/// What happens to a product's values.
pub(crate) trait Epilogue {
    /// Takes the sums of a row from `column` on; the first `count` of them exist. Of the same
    /// columns, rows come from the first to the last.
    ///
    /// # Safety
    /// `row`, and `column + count - 1`, must lie within the product that it was made for.
    unsafe fn take<S: Simd>(&self, simd: S, row: usize, column: usize, count: usize, sums: S::f32s);
}

/// Writes the product, or adds it to what is there.
pub(crate) struct Store<T> {
    pub(crate) to: *mut T,
    pub(crate) row_stride: usize,
    /// Multiplies each value.
    pub(crate) factor: f32,
    pub(crate) add: bool,
}

impl<T: Element> Epilogue for Store<T> {
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
pub(crate) unsafe fn product<S: Simd, T: Element, E: Epilogue>(
    simd: S,
    left: Left<T>,
    right: &Packed<'_, T>,
    epilogue: &E,
) {
    let Left { data, rows, row_stride, padded } = left;
    // SAFETY: as the caller says.
    unsafe {
        if const { !T::BRIEF } {
            let left = Lines { data: data.cast::<f32>(), rows, row: row_stride, step: 1 };
            return in_values(simd, left, right, epilogue);
        }
        match right.format {
            Format::Values => {
                let depth = right.depth;
                let mut wide = scratch::take(rows * depth);
                for (row, to) in wide.chunks_exact_mut(depth).enumerate() {
                    let from = std::slice::from_raw_parts(data.add(row * row_stride), depth);
                    convert_here(simd, from, to);
                }
                let left = Lines { data: wide.as_ptr(), rows, row: depth, step: 1 };
                in_values(simd, left, right, epilogue);
            }
            Format::Pairs(kernel) => {
                let left = Lines {
                    data: data.cast::<u8>(),
                    rows,
                    row: row_stride * size_of::<T>(),
                    step: 2 * size_of::<T>(),
                };
                let depth = if padded { right.format.values(right.depth) } else { right.depth };
                in_pairs(simd, kernel, left, depth, !padded, right, epilogue);
            }
        }
    }
}

/// A product of words of [`Format::Values`].
///
/// # Safety
/// See [`product`].
#[inline(always)]
pub(super) unsafe fn in_values<S: Simd, T: Element, E: Epilogue>(
    simd: S,
    left: Lines<f32>,
    right: &Packed<'_, T>,
    epilogue: &E,
) {
    let height = if const { S::REGISTER_COUNT >= 32 } { TALL } else { SHORT };
    let width = 2 * S::F32_LANES;
    let mut memory = Sums::new();
    for column in (0..right.columns).step_by(width) {
        let panel = right.panel::<S>(column);
        let next = right.panel::<S>(after(column, width, right.columns)).data;
        for (at, row) in (0..left.rows).step_by(height).enumerate() {
            let ahead = (at < AHEAD).then(|| next.wrapping_add(at * right.depth * width / AHEAD));
            let rows = height.min(left.rows - row);
            let at = Lines { data: left.data.wrapping_add(row * left.row), rows, ..left };
            // SAFETY: as the caller says, for these rows.
            unsafe {
                if rows < height || panel.columns < width {
                    let to = memory.as_mut_ptr();
                    S::vectorize(simd, Edge { left: at, depth: right.depth, panel, to });
                    take_sums(simd, &memory, row, rows, panel, epilogue);
                } else if const { S::REGISTER_COUNT >= 32 } {
                    whole_tile::<S, E, TALL>(simd, at, row, right.depth, panel, ahead, epilogue);
                } else {
                    whole_tile::<S, E, SHORT>(simd, at, row, right.depth, panel, ahead, epilogue);
                }
            }
        }
    }
}

/// The column of the panel after the one at `column`: the block of rows that comes next begins with the first again.
fn after(column: usize, width: usize, columns: usize) -> usize {
    if column + width < columns { column + width } else { 0 }
}

/// A tile of all rows and columns, whose sums are in registers when the epilogue takes them.
#[inline(always)]
unsafe fn whole_tile<S: Simd, E: Epilogue, const ROWS: usize>(
    simd: S,
    left: Lines<f32>,
    row: usize,
    depth: usize,
    panel: Panel,
    ahead: Option<*const f32>,
    epilogue: &E,
) {
    // SAFETY: as the caller of `product` says.
    unsafe {
        let Lines { data, row: left_row, step, .. } = left;
        let sums = tile::<S, ROWS, 2>(simd, depth, data, left_row, step, panel.data, ahead);
        for (at, sums) in sums.into_iter().enumerate() {
            for (vector, sums) in sums.into_iter().enumerate() {
                let column = panel.column + vector * S::F32_LANES;
                epilogue.take(simd, row + at, column, S::F32_LANES, sums);
            }
        }
    }
}

/// A tile at the lower or the right edge of a product, whose sums go through memory: so it is compiled once
/// for each instruction set, and not for each epilogue.
struct Edge {
    left: Lines<f32>,
    depth: usize,
    panel: Panel,
    to: *mut f32,
}

impl WithSimd for Edge {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.panel.narrow {
            true => self.rows::<S, 1>(simd),
            false => self.rows::<S, 2>(simd),
        }
    }
}

impl Edge {
    #[inline(always)]
    fn rows<S: Simd, const VECTORS: usize>(&self, simd: S) {
        let Self { left, depth, panel, to } = self;
        let mut row = 0;
        macro_rules! tiles {
            ($($rows:expr),*) => {$(
                while left.rows - row >= $rows {
                    // SAFETY: as the caller of `product` says, for these rows; there is memory for as many.
                    unsafe {
                        let from = left.data.add(row * left.row);
                        let sums = tile::<S, { $rows }, VECTORS>(
                            simd, *depth, from, left.row, left.step, panel.data, None,
                        );
                        let to = to.add(row * VECTORS * S::F32_LANES);
                        to.cast::<[[S::f32s; VECTORS]; $rows]>().write_unaligned(sums);
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
}

/// Hands a tile's sums to the epilogue.
///
/// # Safety
/// See [`product`]; `memory` has `rows` rows of sums, as wide as the panel.
#[inline(always)]
unsafe fn take_sums<S: Simd, E: Epilogue>(
    simd: S,
    memory: &Sums,
    row: usize,
    rows: usize,
    panel: Panel,
    epilogue: &E,
) {
    let vectors = if panel.narrow { 1 } else { 2 };
    let mut sums = memory.as_ptr();
    for at in row..row + rows {
        for vector in 0..vectors {
            let offset = vector * S::F32_LANES;
            let count = S::F32_LANES.min(panel.columns - offset);
            // SAFETY: as the caller says.
            unsafe {
                let values = load(simd, sums, S::F32_LANES);
                epilogue.take(simd, at, panel.column + offset, count, values);
                sums = sums.add(S::F32_LANES);
            }
        }
    }
}

/// A product of words of [`Format::Pairs`]; `left` counts in bytes. `ragged` says whether a row of
/// odd length has no zero after it.
///
/// # Safety
/// See [`product`].
#[inline(always)]
pub(super) unsafe fn in_pairs<S: Simd, T: Element, E: Epilogue>(
    simd: S,
    kernel: &Kernel,
    left: Lines<u8>,
    depth: usize,
    ragged: bool,
    right: &Packed<'_, T>,
    epilogue: &E,
) {
    let panel = |column: usize| {
        let panel = right.panel::<S>(column);
        (panel, if panel.narrow { S::F32_LANES } else { 2 * S::F32_LANES })
    };
    // SAFETY: as the caller says.
    unsafe { of_panels(simd, kernel, left, depth, ragged, right.columns, panel, epilogue) };
}

/// Most values of a right operand that a second cache keeps beside what else is read.
const FAR: usize = 1 << 19;

/// The same with a right operand whose panels, and the words from one of their pairs to the next, `panel`
/// tells by their first columns.
///
/// # Safety
/// See [`product`].
#[allow(clippy::too_many_arguments)]
#[inline(always)]
pub(super) unsafe fn of_panels<S: Simd, E: Epilogue>(
    simd: S,
    kernel: &Kernel,
    left: Lines<u8>,
    depth: usize,
    ragged: bool,
    columns: usize,
    panel: impl Fn(usize) -> (Panel, usize),
    epilogue: &E,
) {
    if const { S::F32_LANES != pairs::LANES } {
        unreachable!("pairs are multiplied where vectors are of sixteen values");
    }
    // A tile is computed while the epilogue takes the one before: so it never waits for the last products.
    let mut memory = [Sums::new(), Sums::new()];
    let whole = left.rows / kernel.rows * kernel.rows;
    for (rows, height) in [(0..whole, kernel.rows), (whole..left.rows, left.rows - whole)] {
        if rows.is_empty() {
            continue;
        }
        // SAFETY: packed for this kernel, which was current then.
        let ready = unsafe { kernel.begin(height) };
        let width = 2 * S::F32_LANES;
        let (beside, below) = (columns.div_ceil(width), rows.len() / height);
        let mut before = None;
        for at in 0..=beside * below {
            let [now, other] = &mut memory;
            let (now, other) = if at % 2 == 0 { (now, other) } else { (other, now) };
            let next = (at < beside * below).then(|| {
                let (column, turn) = (at / below * width, at % below);
                let next = panel(after(column, width, columns)).0.data;
                let (panel, right_pair) = panel(column);
                // Panels that follow each other, and of which the second cache does not hold all.
                let far = right_pair == width && columns * depth > FAR && turn < pairs::AHEAD;
                let ahead = next.wrapping_add(turn * (depth / 2 * width / pairs::AHEAD));
                let row = rows.start + turn * height;
                let tile = pairs::Tile {
                    left: left.data.wrapping_add(row * left.row),
                    left_row: left.row,
                    left_pair: left.step,
                    rows: height,
                    depth,
                    ragged,
                    right: panel.data,
                    right_pair,
                    vectors: if panel.narrow { 1 } else { 2 },
                    ahead: far.then_some(ahead),
                };
                // SAFETY: as the caller says.
                unsafe { ready.run(&tile, now) };
                (row, panel)
            });
            if let Some((row, panel)) = before {
                // SAFETY: as the caller says; a row of sums is as wide as the panel.
                unsafe { take_sums(simd, other, row, height, panel, epilogue) };
            }
            before = next;
        }
    }
}
