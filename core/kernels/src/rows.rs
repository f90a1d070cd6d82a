//! Cutting work into tasks, and running them on every core.

use std::ops::Range;

use rayon::prelude::*;

use crate::{
    element::Element,
    matmul::{Format, tile::TALL},
};

/// Most rows that a task takes at once: what it makes of them stays in a core's second cache.
const BLOCK: usize = 96;

/// Rows are cut where tiles of the tallest micro-kernel for products in type `T` end.
fn tile<T: Element>() -> usize {
    match Format::of::<T>() {
        Format::Values => TALL,
        Format::Pairs(kernel) => kernel.rows.max(TALL),
    }
}

/// Cuts rows into blocks, one for each task. Many blocks are a multiple of eight, so that as many
/// cores end together.
pub(crate) fn blocks<T: Element>(rows: usize) -> Vec<Range<usize>> {
    cut_by(tile::<T>(), rows)
}

fn cut_by(tile: usize, rows: usize) -> Vec<Range<usize>> {
    let tiles = rows.div_ceil(tile);
    let count = match rows.div_ceil(BLOCK) {
        few @ 0..4 => few,
        many => many.next_multiple_of(8).min(tiles),
    };
    let cut = |part: usize| (tiles * part / count * tile).min(rows);
    (0..count).map(|part| cut(part)..cut(part + 1)).collect()
}

/// Runs `body` for each task, on every core.
pub(crate) fn for_each(tasks: usize, body: impl Fn(usize) + Sync + Send) {
    match tasks {
        0 => {}
        1 => body(0),
        _ => share(tasks, &body),
    }
}

/// Behind a pointer, so that Rayon's part is compiled once and not for each kernel.
fn share(tasks: usize, body: &(dyn Fn(usize) + Sync)) {
    (0..tasks).into_par_iter().with_max_len(1).for_each(body);
}

/// Memory that tasks write to, each its own part.
#[derive(Debug)]
pub(crate) struct Shared<T = f32>(*mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

// SAFETY: whoever dereferences it answers for no two tasks writing to the same place.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(values: &mut [T]) -> Self {
        Self(values.as_mut_ptr())
    }

    /// The memory from value `at` on.
    ///
    /// # Safety
    /// `at` must lie within the memory or at its end.
    pub(crate) unsafe fn at(self, at: usize) -> *mut T {
        // SAFETY: as the caller says.
        unsafe { self.0.add(at) }
    }

    /// `len` values from `at` on.
    ///
    /// # Safety
    /// They must lie within the memory, and no other task may touch them meanwhile.
    pub(crate) unsafe fn slice<'a>(self, at: usize, len: usize) -> &'a mut [T] {
        // SAFETY: as the caller says.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(at), len) }
    }
}

/// The rows that a residual branch works on: those of the samples that it keeps.
///
/// Drop path (Huang et al. 2016) leaves some samples of a batch out of a branch; their rows cost
/// nothing here. Rows that are kept lie close together in intermediate values.
pub(crate) struct Kept {
    /// For each task its rows in the whole batch, and the first of them among those kept.
    pub(crate) blocks: Vec<(Range<usize>, usize)>,
    /// Rows that are left out.
    pub(crate) dropped: Vec<Range<usize>>,
    /// How many rows are kept.
    pub(crate) rows: usize,
    /// How many samples are kept.
    pub(crate) samples: Vec<usize>,
}

impl Kept {
    /// Of a batch of `batch` samples with `tokens` rows each, those whose scale is not zero.
    pub(crate) fn of<T: Element>(batch: usize, tokens: usize, scales: Option<&[f32]>) -> Self {
        let (mut blocks, mut dropped, mut rows) = (Vec::new(), Vec::new(), 0);
        let mut add = |range: Range<usize>| {
            for block in self::blocks::<T>(range.len()) {
                let first = rows;
                rows += block.len();
                blocks.push((range.start + block.start..range.start + block.end, first));
            }
        };
        let samples: Vec<usize> = match scales {
            None => {
                add(0..batch * tokens);
                (0..batch).collect()
            }
            Some(scales) => {
                let (kept, left_out): (Vec<usize>, Vec<usize>) =
                    (0..batch).partition(|&sample| scales[sample] != 0.0);
                let of = |sample: usize| sample * tokens..(sample + 1) * tokens;
                kept.iter().for_each(|&sample| add(of(sample)));
                dropped.extend(left_out.into_iter().map(of));
                kept
            }
        };
        Self { blocks, dropped, rows, samples }
    }
}

/// Adds the rows of `partial`, each `out.len()` values, from the first to the last.
pub(crate) fn sum_partials(partial: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for row in partial.chunks_exact(out.len().max(1)) {
        for (sum, value) in out.iter_mut().zip(row) {
            *sum += value;
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::{simd::InstructionSet, testing::on_each_instruction_set};

    #[test]
    fn blocks_are_even_and_follow_each_other() {
        for (tile, rows) in [0, 1, 12, 96, 97, 400, 1576, 3152, 10_000]
            .into_iter()
            .flat_map(|rows| [12, 32].map(|tile| (tile, rows)))
        {
            let blocks = cut_by(tile, rows);
            assert_eq!(blocks.iter().map(Range::len).sum::<usize>(), rows);
            assert!(blocks.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(blocks.iter().all(|block| (1..=BLOCK).contains(&block.len())), "{blocks:?}");
            assert!(blocks.iter().all(|block| block.start.is_multiple_of(tile)), "{blocks:?}");
        }
        assert!(cut_by(12, 3152).len().is_multiple_of(8));
    }

    #[test]
    fn rows_are_cut_without_gaps_and_dropped_samples_cost_nothing() {
        on_each_instruction_set(|set| {
            let all = Kept::of::<bf16>(3, 70, None);
            assert_eq!(all.rows, 210);
            assert!(all.dropped.is_empty());
            let some = Kept::of::<bf16>(3, 100, Some(&[1.25, 0.0, 1.25]));
            let expected = match set {
                InstructionSet::Amx => {
                    [(0..64, 0), (64..100, 64), (200..264, 100), (264..300, 164)]
                }
                _ => [(0..48, 0), (48..100, 48), (200..248, 100), (248..300, 148)],
            };
            assert_eq!(some.blocks, expected, "{set:?}");
            assert_eq!((some.rows, some.samples), (200, vec![0, 2]));
            assert_eq!(some.dropped.len(), 1);
            assert_eq!(some.dropped[0], 100..200);
        });
    }
}
