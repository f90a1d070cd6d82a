//! Cutting work into tasks, and running them on every core.

use std::ops::Range;

use rayon::prelude::*;

/// Rows that a task takes at once: what it makes of them stays in a core's second cache.
pub(crate) const BLOCK: usize = 96;

/// Runs `body` for each task, on every core.
pub(crate) fn for_each(tasks: usize, body: impl Fn(usize) + Sync + Send) {
    match tasks {
        0 => {}
        1 => body(0),
        _ => (0..tasks).into_par_iter().with_max_len(1).for_each(body),
    }
}

/// Memory that tasks write to, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32);

// SAFETY: whoever dereferences it answers for no two tasks writing to the same place.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(values: &mut [f32]) -> Self {
        Self(values.as_mut_ptr())
    }

    /// The memory from value `at` on.
    ///
    /// # Safety
    /// `at` must lie within the memory or at its end.
    pub(crate) unsafe fn at(self, at: usize) -> *mut f32 {
        // SAFETY: as the caller says.
        unsafe { self.0.add(at) }
    }

    /// `len` values from `at` on.
    ///
    /// # Safety
    /// They must lie within the memory, and no other task may touch them meanwhile.
    pub(crate) unsafe fn slice<'a>(self, at: usize, len: usize) -> &'a mut [f32] {
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
    pub(crate) fn of(batch: usize, tokens: usize, scales: Option<&[f32]>) -> Self {
        let (mut blocks, mut dropped, mut rows) = (Vec::new(), Vec::new(), 0);
        let mut add = |range: Range<usize>| {
            let (count, first) = (range.len().div_ceil(BLOCK).max(1), range.start);
            // Blocks of equal size, so that no task is left with a few rows.
            let cut = |part: usize| first + range.len() * part / count;
            for part in 0..count {
                blocks.push((cut(part)..cut(part + 1), rows));
                rows += cut(part + 1) - cut(part);
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
    use super::*;

    #[test]
    fn rows_are_cut_without_gaps_and_dropped_samples_cost_nothing() {
        let all = Kept::of(3, 70, None);
        assert_eq!(all.rows, 210);
        assert_eq!(all.blocks, [(0..70, 0), (70..140, 70), (140..210, 140)]);
        assert!(all.dropped.is_empty());
        let some = Kept::of(3, 100, Some(&[1.25, 0.0, 1.25]));
        assert_eq!(some.blocks, [(0..50, 0), (50..100, 50), (200..250, 100), (250..300, 150)]);
        assert_eq!((some.rows, some.samples), (200, vec![0, 2]));
        assert_eq!(some.dropped.len(), 1);
        assert_eq!(some.dropped[0], 100..200);
    }
}
