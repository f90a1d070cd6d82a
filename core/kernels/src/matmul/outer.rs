//! Products that sum over rows, `leftᵀ right`: the gradients of weights.

use pulp::{Simd, WithSimd};

use super::{
    Packed, View,
    tile::{SHORT, TALL, tile},
};
use crate::{
    rows::{self, Shared},
    scratch,
    simd::{dispatch, load, store},
};

/// Columns of the right operand that are packed at once; with a task's rows of the left one they fit
/// into a core's second cache.
const WIDTH: usize = 192;

/// Rows that are summed before the next ones are read. Not a power of two, so that panels lie in
/// different sets of the first cache.
const DEPTH: usize = 248;

/// `out = leftᵀ right`, with `left` `[rows, m]`, `right` `[rows, n]`, `out` `[m, n]`.
pub(crate) fn outer(left: View<'_>, right: View<'_>, out: &mut [f32]) {
    assert_eq!(left.rows, right.rows);
    let (m, n) = (left.columns, right.columns);
    assert_eq!(out.len(), m * n);
    if left.rows == 0 {
        return out.fill(0.0);
    }
    let [height, width] = tile_size(m, n, rayon::current_num_threads());
    let tasks = m.div_ceil(height) * n.div_ceil(width);
    let shared = Shared::new(out);
    let across = n.div_ceil(width);
    rows::for_each(tasks, |task| {
        let (row, column) = (task / across * height, task % across * width);
        dispatch(Tile {
            left,
            right,
            out: shared,
            row,
            column,
            height: height.min(m - row),
            width: width.min(n - column),
        });
    });
}

/// Rows and columns of the result that a task computes: such that the last thread ends as early as
/// possible, where each value read costs what eight multiplications do. What is summed, and in which
/// order, does not depend on it.
fn tile_size(m: usize, n: usize, threads: usize) -> [usize; 2] {
    const HEIGHTS: [usize; 5] = [384, 192, 96, 48, 24];
    let widths = (1..=n.div_ceil(32)).map(|parts| n.div_ceil(parts).next_multiple_of(32));
    let sizes = widths.flat_map(|width| HEIGHTS.map(|height| [height, width]));
    let cost = |&[height, width]: &[usize; 2]| {
        let rounds = (m.div_ceil(height) * n.div_ceil(width)).div_ceil(threads);
        let (height, width) = (height.min(m), width.min(n));
        rounds * (height * width + 8 * (height + width))
    };
    sizes.min_by_key(cost).unwrap_or([96, 192])
}

/// A part of the result.
struct Tile<'a> {
    left: View<'a>,
    right: View<'a>,
    out: Shared,
    row: usize,
    column: usize,
    height: usize,
    width: usize,
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if const { S::REGISTER_COUNT >= 32 } {
            self.run::<S, TALL>(simd);
        } else {
            self.run::<S, SHORT>(simd);
        }
    }
}

impl Tile<'_> {
    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(&self, simd: S) {
        let depth = DEPTH.min(self.left.rows);
        let width = WIDTH.min(self.width);
        let packed_left = self.height.next_multiple_of(ROWS) * depth;
        let mut memory = scratch::take(packed_left + Packed::len::<S>(depth, width));
        let (left, right) = memory.split_at_mut(packed_left);
        for start in (0..self.left.rows).step_by(depth) {
            let depth = depth.min(self.left.rows - start);
            self.pack_left::<S, ROWS>(simd, start, depth, left);
            for first in (0..self.width).step_by(width) {
                let columns = width.min(self.width - first);
                let at = start * self.right.row_stride + self.column + first;
                let data = &self.right.data[at..];
                let view = View { data, rows: depth, columns, ..self.right };
                let right = &mut right[..Packed::len::<S>(depth, columns)];
                let right = Packed::new(simd, view, right);
                for column in (0..columns).step_by(2 * S::F32_LANES) {
                    let to = self.column + first + column;
                    if right.panel::<S>(column).narrow {
                        self.sum::<S, ROWS, 1>(simd, start > 0, left, &right, column, to);
                    } else {
                        self.sum::<S, ROWS, 2>(simd, start > 0, left, &right, column, to);
                    }
                }
            }
        }
    }

    /// `ROWS` columns of the left operand side by side, row after row.
    #[inline(always)]
    fn pack_left<S: Simd, const ROWS: usize>(
        &self,
        _: S,
        start: usize,
        depth: usize,
        to: &mut [f32],
    ) {
        let from = &self.left.data[start * self.left.row_stride + self.row..];
        for row in 0..depth {
            let from = &from[row * self.left.row_stride..][..self.height];
            let (whole, rest) = from.as_chunks::<ROWS>();
            let mut to = to[row * ROWS..].chunks_mut(ROWS * depth);
            for (from, to) in whole.iter().zip(&mut to) {
                to[..ROWS].copy_from_slice(from);
            }
            if let (false, Some(to)) = (rest.is_empty(), to.next()) {
                to[..rest.len()].copy_from_slice(rest);
                to[rest.len()..ROWS].fill(0.0);
            }
        }
    }

    /// Adds one panel's part of the sums.
    #[inline(always)]
    fn sum<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        add: bool,
        left: &[f32],
        right: &Packed<'_>,
        column: usize,
        to_column: usize,
    ) {
        let panel = right.panel::<S>(column);
        for at in (0..self.height).step_by(ROWS) {
            let left = left[at * right.depth..][..ROWS * right.depth].as_ptr();
            // SAFETY: `left` is a whole panel, and so is the right one.
            let sums =
                unsafe { tile::<S, ROWS, VECTORS>(simd, right.depth, left, 1, ROWS, panel.data) };
            for (row, sums) in sums.into_iter().enumerate().take(self.height - at) {
                for (vector, mut sums) in sums.into_iter().enumerate() {
                    let offset = vector * S::F32_LANES;
                    let count = S::F32_LANES.min(panel.columns - offset);
                    let n = self.right.columns;
                    // SAFETY: this task's own part of the result.
                    unsafe {
                        let to = self.out.at((self.row + at + row) * n + to_column + offset);
                        if add {
                            sums = simd.add_f32s(sums, load(simd, to, count));
                        }
                        store(simd, to, count, sums);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, on_each_instruction_set, values, wide};

    #[test]
    fn sums_over_rows_are_those_of_plain_loops() {
        on_each_instruction_set(|set| {
            for (rows, m, n) in [(1, 1, 1), (5, 13, 33), (400, 97, 50), (785, 30, 200), (0, 3, 4)] {
                let (left, right) = (values(rows * m, 1), values(rows * n, 2));
                let mut out = vec![f32::NAN; m * n];
                outer(View::new(&left, rows, m), View::new(&right, rows, n), &mut out);
                let (left, right) = (wide(&left), wide(&right));
                let mut exact = vec![0.0; m * n];
                for row in 0..rows {
                    for i in 0..m {
                        for j in 0..n {
                            exact[i * n + j] += left[row * m + i] * right[row * n + j];
                        }
                    }
                }
                assert_close(&format!("{set:?} {rows}x{m}x{n}"), &out, &exact, 1e-6);
            }
        });
    }
}
