//! Products that sum over rows, `leftᵀ right`: the gradients of weights.

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::{
    Format, Packed, View,
    packed::{Panel, Source},
    pairs::{self, Kernel, Ready, Sums},
    tile::{SHORT, TALL, tile},
    transpose::SIDE,
};
use crate::{
    element::Element,
    rows::{self, Shared},
    scratch,
    simd::{dispatch, each_vector, load, prefetch, store},
};

/// Columns of the right operand that are packed at once; with a task's rows of the left one they fit
/// into a second cache of 1 MiB, and of 2 MiB on processors with AMX.
const WIDTH: usize = 192;

/// Most rows of words that are summed before the next ones are read.
const DEPTH: usize = 400;

/// `out = leftᵀ right`, with `left` `[rows, m]`, `right` `[rows, n]`, `out` `[m, n]`; `T` is the
/// type that both are multiplied in.
pub(crate) fn outer<T: Element, L: Element, R: Element>(
    left: View<'_, L>,
    right: View<'_, R>,
    out: &mut [f32],
) {
    assert_eq!(left.rows, right.rows);
    assert_eq!((left.column_stride, right.column_stride), (1, 1));
    let (m, n) = (left.columns, right.columns);
    assert_eq!(out.len(), m * n);
    if left.rows == 0 {
        return out.fill(0.0);
    }
    let by_row = matches!(Format::of::<T>(), Format::Pairs(kernel) if kernel.left_by_row);
    let [height, width] = tile_size(m, n, rayon::current_num_threads(), by_row);
    let tasks = m.div_ceil(height) * n.div_ceil(width);
    let shared = Shared::new(out);
    let across = n.div_ceil(width);
    rows::for_each(tasks, |task| {
        let (row, column) = (task / across * height, task % across * width);
        dispatch(Tile::<T, L, R> {
            left,
            right,
            out: shared,
            row,
            column,
            height: height.min(m - row),
            width: width.min(n - column),
            format: Format::of::<T>(),
            element: PhantomData,
        });
    });
}

/// Rows and columns of the result that a task computes: such that the last thread ends as early as
/// possible, where each value read costs what eight multiplications do. What is summed, and in which
/// order, does not depend on it. `tall` is for products so fast that packing twice as many columns of
/// the left operand at once pays.
fn tile_size(m: usize, n: usize, threads: usize, tall: bool) -> [usize; 2] {
    const HEIGHTS: [usize; 6] = [768, 384, 192, 96, 48, 24];
    let heights = &HEIGHTS[usize::from(!tall)..];
    let widths = (1..=n.div_ceil(32)).map(|parts| n.div_ceil(parts).next_multiple_of(32));
    let sizes = widths.flat_map(|width| heights.iter().map(move |&height| [height, width]));
    let cost = |&[height, width]: &[usize; 2]| {
        let rounds = (m.div_ceil(height) * n.div_ceil(width)).div_ceil(threads);
        let (height, width) = (height.min(m), width.min(n));
        rounds * (height * width + 8 * (height + width))
    };
    sizes.min_by_key(cost).unwrap_or([96, 192])
}

/// A part of the result.
struct Tile<'a, T, L, R> {
    left: View<'a, L>,
    right: View<'a, R>,
    out: Shared,
    row: usize,
    column: usize,
    height: usize,
    width: usize,
    format: Format,
    element: PhantomData<T>,
}

impl<T: Element, L: Element, R: Element> WithSimd for Tile<'_, T, L, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.format {
            Format::Pairs(kernel) if const { T::BRIEF && S::F32_LANES == pairs::LANES } => {
                self.run::<S, TALL>(simd, Some(kernel));
            }
            _ if const { S::REGISTER_COUNT >= 32 } => self.run::<S, TALL>(simd, None),
            _ => self.run::<S, SHORT>(simd, None),
        }
    }
}

impl<T: Element, L: Element, R: Element> Tile<'_, T, L, R> {
    /// By the kernel for pairs, or by tiles of `ROWS` rows.
    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(&self, simd: S, kernel: Option<&Kernel>) {
        let height = kernel.map_or(ROWS, |kernel| kernel.rows);
        let depth = self.depth();
        let width = WIDTH.min(self.width);
        let rows = self.format.rows(depth);
        let packed_left = self.height.next_multiple_of(height) * rows;
        let packed_right = Packed::<T>::len::<S>(depth, width);
        let by_row = kernel.is_some_and(|kernel| kernel.left_by_row);
        let lines = if by_row { SIDE } else { 1 };
        let mut memory = scratch::take(packed_left + packed_right + lines * self.height);
        // SAFETY: it is the current instruction set's.
        let kernel = kernel.map(|kernel| unsafe { kernel.begin(kernel.rows) });
        let (left, rest) = memory.split_at_mut(packed_left);
        let (right, line) = rest.split_at_mut(packed_right);
        for start in (0..self.left.rows).step_by(depth) {
            let depth = depth.min(self.left.rows - start);
            let from = self.left_rows(start, depth);
            if by_row {
                from.pack_by_row(simd, line, left, self.format.rows(depth));
            } else {
                self.pack_left(simd, from, height, line, left);
            }
            for first in (0..self.width).step_by(width) {
                let columns = width.min(self.width - first);
                let at = start * self.right.row_stride + self.column + first;
                let data = &self.right.data[at..];
                let view = View { data, rows: depth, columns, ..self.right };
                let right = &mut right[..Packed::<T>::len::<S>(depth, columns)];
                let right = Packed::new(simd, view, right);
                for column in (0..columns).step_by(2 * S::F32_LANES) {
                    let panel = right.panel::<S>(column);
                    let (add, to) = (start > 0, self.column + first + column);
                    match &kernel {
                        Some(kernel) => {
                            self.sum_pairs(simd, kernel, left, &right, add, panel, to);
                        }
                        None if panel.narrow => {
                            self.sum::<S, ROWS, 1>(simd, left, right.depth, add, panel, to);
                        }
                        None => self.sum::<S, ROWS, 2>(simd, left, right.depth, add, panel, to),
                    }
                }
            }
        }
    }

    /// How many rows are summed before the next ones are read: in equal parts, as few as possible.
    fn depth(&self) -> usize {
        let (unit, most) = match self.format {
            Format::Values => (1, DEPTH),
            Format::Pairs(kernel) => (2 * kernel.step, 2 * DEPTH),
        };
        let rows = self.left.rows;
        let depth = rows.div_ceil(rows.div_ceil(most)).next_multiple_of(unit);
        // Panels of several parts lie in different sets of the first cache.
        let even = self.format.rows(depth).is_multiple_of(64);
        (depth + if even { unit } else { 0 }).min(rows)
    }

    /// Some rows of the left operand.
    fn left_rows(&self, start: usize, depth: usize) -> Source<'_, L, T> {
        let data = &self.left.data[start * self.left.row_stride + self.row..];
        let matrix = View { data, rows: depth, columns: self.height, ..self.left };
        Source { matrix, factors: None, format: self.format, element: PhantomData }
    }

    /// `height` columns of the left operand side by side, row after row of words. `line` is memory
    /// for one row.
    #[inline(always)]
    fn pack_left<S: Simd>(
        &self,
        simd: S,
        from: Source<'_, L, T>,
        height: usize,
        line: &mut [f32],
        to: &mut [f32],
    ) {
        let rows = self.format.rows(from.matrix.rows);
        for row in 0..rows {
            from.prefetch(row, self.height);
            let line = if const { L::BRIEF || T::BRIEF } {
                each_vector!(S, self.height, |at, count| {
                    // SAFETY: the vector lies within the row, and within `line`.
                    unsafe {
                        let words = from.words(simd, row, at, count);
                        store(simd, line.as_mut_ptr().add(at), count, words);
                    }
                });
                &*line
            } else {
                let line = &from.matrix.data[row * self.left.row_stride..][..self.height];
                // SAFETY: these values are of `f32`.
                unsafe { std::slice::from_raw_parts(line.as_ptr().cast(), line.len()) }
            };
            let (to, panel) = (&mut to[row * height..], height * rows);
            match height {
                SHORT => distribute::<SHORT>(line, to, panel),
                TALL => distribute::<TALL>(line, to, panel),
                _ => unreachable!("tiles are of one of these heights"),
            }
        }
    }

    /// Adds one panel's part of the sums.
    #[inline(always)]
    fn sum<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        left: &[f32],
        depth: usize,
        add: bool,
        panel: Panel,
        to: usize,
    ) {
        for at in (0..self.height).step_by(ROWS) {
            let left = left[at * depth..][..ROWS * depth].as_ptr();
            let rows = ROWS.min(self.height - at);
            self.prefetch::<S>(add, at, rows, to, VECTORS);
            // SAFETY: `left` is a whole panel, and so is the right one.
            let sums =
                unsafe { tile::<S, ROWS, VECTORS>(simd, depth, left, 1, ROWS, panel.data, None) };
            for (row, sums) in sums.into_iter().enumerate().take(rows) {
                for (vector, sums) in sums.into_iter().enumerate() {
                    self.add(simd, add, at + row, panel, vector, to, sums);
                }
            }
        }
    }

    /// Adds one panel's part of the sums of pairs.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn sum_pairs<S: Simd>(
        &self,
        simd: S,
        ready: &Ready<'_>,
        left: &[f32],
        right: &Packed<'_, T>,
        add: bool,
        panel: Panel,
        to: usize,
    ) {
        let mut memory = Sums::new();
        let (rows, words) = (ready.rows, self.format.rows(right.depth));
        let vectors = if panel.narrow { 1 } else { 2 };
        let by_row = ready.kernel.left_by_row;
        for at in (0..self.height).step_by(rows) {
            let left = left[at * words..][..rows * words].as_ptr();
            let tile = pairs::Tile {
                left: left.cast(),
                left_row: size_of::<f32>() * if by_row { words } else { 1 },
                left_pair: size_of::<f32>() * if by_row { 1 } else { rows },
                rows,
                depth: if by_row { 2 * words } else { right.depth },
                ragged: false,
                right: panel.data,
                right_pair: vectors * S::F32_LANES,
                vectors,
                ahead: None,
            };
            let present = rows.min(self.height - at);
            self.prefetch::<S>(add, at, present, to, vectors);
            // SAFETY: `left` is a whole panel, and so is the right one; both end with zeros.
            unsafe { ready.run(&tile, &mut memory) };
            for row in 0..present {
                for vector in 0..tile.vectors {
                    // SAFETY: there is a sum for each row and vector.
                    let sums = unsafe {
                        let sum = (row * tile.vectors + vector) * S::F32_LANES;
                        load(simd, memory.as_ptr().add(sum), S::F32_LANES)
                    };
                    self.add(simd, add, at + row, panel, vector, to, sums);
                }
            }
        }
    }

    /// Brings closer what a tile's sums are added to, if they are: it is there when they are.
    #[inline(always)]
    fn prefetch<S: Simd>(&self, add: bool, row: usize, rows: usize, to: usize, vectors: usize) {
        for row in row..if add { row + rows } else { row } {
            // SAFETY: this task's own part of the result.
            let to = unsafe { self.out.at((self.row + row) * self.right.columns + to) };
            for vector in 0..vectors {
                prefetch(to.wrapping_add(vector * S::F32_LANES));
            }
        }
    }

    /// Writes a vector of sums, or adds it to what is there.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn add<S: Simd>(
        &self,
        simd: S,
        add: bool,
        row: usize,
        panel: Panel,
        vector: usize,
        to: usize,
        mut sums: S::f32s,
    ) {
        let offset = vector * S::F32_LANES;
        let count = S::F32_LANES.min(panel.columns - offset);
        // SAFETY: this task's own part of the result.
        unsafe {
            let to = self.out.at((self.row + row) * self.right.columns + to + offset);
            if add {
                sums = simd.add_f32s(sums, load(simd, to, count));
            }
            store(simd, to, count, sums);
        }
    }
}

/// Copies `HEIGHT` values of `line` to the start of each panel; zeros where there are no more.
#[inline(always)]
fn distribute<const HEIGHT: usize>(line: &[f32], to: &mut [f32], panel: usize) {
    let (whole, rest) = line.as_chunks::<HEIGHT>();
    let mut to = to.chunks_mut(panel);
    for (from, to) in whole.iter().zip(&mut to) {
        to[..HEIGHT].copy_from_slice(from);
    }
    if let (false, Some(to)) = (rest.is_empty(), to.next()) {
        to[..rest.len()].copy_from_slice(rest);
        to[rest.len()..HEIGHT].fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::testing::{assert_close, brief, on_each_instruction_set, values, wide};

    #[test]
    fn sums_over_rows_are_those_of_plain_loops() {
        on_each_instruction_set(|set| {
            for (rows, m, n) in
                [(1, 1, 1), (5, 13, 33), (400, 97, 50), (768, 30, 200), (785, 30, 200), (0, 3, 4)]
            {
                let (left, right) = (values(rows * m, 1), values(rows * n, 2));
                let mut out = vec![f32::NAN; m * n];
                outer::<f32, _, _>(View::new(&left, rows, m), View::new(&right, rows, n), &mut out);
                let name = format!("{set:?} {rows}x{m}x{n}");
                assert_close(&name, &out, &exact(&wide(&left), &wide(&right), [rows, m, n]), 1e-6);
            }
        });
    }

    /// Whether they are rounded before or while they are packed, operands of `bf16` give the sums of
    /// the rounded values.
    #[test]
    fn sums_of_brief_operands_are_those_of_rounded_values() {
        on_each_instruction_set(|set| {
            for (rows, m, n) in
                [(1, 1, 1), (5, 13, 33), (401, 97, 50), (1007, 30, 200), (1536, 13, 33), (0, 3, 4)]
            {
                let (left, right) = (values(rows * m, 1), values(rows * n, 2));
                let (brief_left, brief_right) = (brief(&left), brief(&right));
                let mut out = vec![f32::NAN; m * n];
                outer::<bf16, _, _>(
                    View::new(&brief_left, rows, m),
                    View::new(&right, rows, n),
                    &mut out,
                );
                let name = format!("{set:?} {rows}x{m}x{n}");
                let exact = exact(&wide(&brief_left), &wide(&brief_right), [rows, m, n]);
                assert_close(&name, &out, &exact, 1e-6);
                let mut other = vec![f32::NAN; m * n];
                outer::<bf16, _, _>(
                    View::new(&left, rows, m),
                    View::new(&brief_right, rows, n),
                    &mut other,
                );
                assert_eq!(out, other, "{name}");
            }
        });
    }

    fn exact(left: &[f64], right: &[f64], [rows, m, n]: [usize; 3]) -> Vec<f64> {
        let mut exact = vec![0.0; m * n];
        for row in 0..rows {
            for i in 0..m {
                for j in 0..n {
                    exact[i * n + j] += left[row * m + i] * right[row * n + j];
                }
            }
        }
        exact
    }
}
