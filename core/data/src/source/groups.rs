//! Samples that are cheap to read together, such as the rows of a Parquet row group: in which groups
//! a source's samples lie, and the groups that are in memory.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

/// How a source's samples lie on disk: in groups that are read as a whole.
///
/// Training takes the groups in a random order and shuffles the samples of
/// [`together`](Self::together) groups at a time, which FFCV calls quasi-random and WebDataset a
/// shuffle buffer. So every group is read once in an epoch, from its start to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// The first sample of each group, ascending, from 0; a group ends where the next one starts.
    starts: Vec<u32>,
    /// Samples in all.
    len: u32,
    together: usize,
}

impl Groups {
    /// Groups of the given sizes, which are shuffled as many at once as have about `buffer` samples.
    /// Nothing if there are more samples than a source may have.
    pub(crate) fn of_sizes(sizes: impl IntoIterator<Item = u32>, buffer: usize) -> Option<Self> {
        let mut starts = Vec::new();
        let mut len = 0_u32;
        for size in sizes {
            starts.push(len);
            len = len.checked_add(size)?;
        }
        let per_group = (len as usize).div_ceil(starts.len().max(1)).max(1);
        Some(Self { starts, len, together: buffer.div_ceil(per_group).max(1) })
    }

    /// The groups of some of the samples, which are ascending; of a group, what is left.
    pub(crate) fn kept(&self, samples: &[u32]) -> Self {
        let mut starts = Vec::new();
        let mut last = None;
        for (place, &sample) in (0..).zip(samples) {
            let (group, _) = self.locate(sample as usize);
            if last.replace(group) != Some(group) {
                starts.push(place);
            }
        }
        // There are no more than there were, which a u32 counts.
        Self { starts, len: samples.len() as u32, together: self.together }
    }

    /// How many groups there are.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// How many samples there are.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// How many groups are shuffled together, at least 1.
    pub fn together(&self) -> usize {
        self.together
    }

    /// The samples of one group.
    pub fn samples(&self, group: usize) -> std::ops::Range<u32> {
        let end = self.starts.get(group + 1).copied().unwrap_or(self.len);
        self.starts[group]..end
    }

    /// The group of a sample, and the sample's place in it.
    pub(crate) fn locate(&self, sample: usize) -> (usize, usize) {
        // The first group starts at 0, so at least one starts at or before the sample.
        let group = self.starts.partition_point(|&start| start as usize <= sample) - 1;
        (group, sample - self.starts[group] as usize)
    }
}

/// The groups that were used last, each read by whoever needs it first and shared by all.
pub(crate) struct Recent<T> {
    capacity: AtomicUsize,
    groups: Mutex<VecDeque<(usize, Cell<T>)>>,
}

type Cell<T> = Arc<OnceLock<Result<T, String>>>;

impl<T: Clone> Recent<T> {
    /// Keeps the groups of two shuffles, since workers are in the next one before all have left the
    /// last; and two more for each processor, since without a shuffle each worker is in its own.
    pub(crate) fn of(groups: &Groups) -> Self {
        let recent = Self::keeping(0);
        recent.keep(groups.together());
        recent
    }

    /// The same where so many are shuffled at once; never fewer than before.
    pub(crate) fn keep(&self, shuffled: usize) {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let capacity = shuffled.saturating_add(processors).saturating_mul(2);
        self.capacity.fetch_max(capacity, Ordering::Relaxed);
    }

    fn keeping(capacity: usize) -> Self {
        Self { capacity: capacity.into(), groups: Mutex::default() }
    }

    /// Group `number`, which `read` reads unless it is in memory.
    pub(crate) fn get(
        &self,
        number: usize,
        read: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, String> {
        // Outside the lock: others need not wait for a group that is not theirs.
        self.cell(number).get_or_init(read).clone()
    }

    fn cell(&self, number: usize) -> Cell<T> {
        // The list is never left half changed, so it may be used after a panic elsewhere.
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let found = groups.iter().position(|(group, _)| *group == number);
        let known = found.and_then(|at| groups.remove(at));
        let entry = known.unwrap_or_else(|| (number, Arc::default()));
        let cell = Arc::clone(&entry.1);
        groups.push_front(entry);
        groups.truncate(self.capacity.load(Ordering::Relaxed));
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_in_their_groups() {
        let groups = Groups::of_sizes([3, 1, 4], 5).unwrap();
        assert_eq!((groups.count(), groups.together()), (3, 2));
        assert_eq!([0, 1, 2].map(|group| groups.samples(group)), [0..3, 3..4, 4..8]);
        assert_eq!(
            [0, 2, 3, 4, 7].map(|i| groups.locate(i)),
            [(0, 0), (0, 2), (1, 0), (2, 0), (2, 3)]
        );
        assert!(Groups::of_sizes([u32::MAX, 1], 5).is_none());
        assert_eq!(Groups::of_sizes([2, 2], 0).unwrap().together(), 1);
    }

    #[test]
    fn a_group_is_read_once_while_it_is_in_use() {
        let recent = Recent::keeping(2);
        let mut reads = Vec::new();
        for number in [0, 1, 0, 1, 2, 1, 0] {
            let value = recent.get(number, || {
                reads.push(number);
                Ok(number * 10)
            });
            assert_eq!(value, Ok(number * 10));
        }
        // Two are kept; 2 drove out 0, which was used longest ago.
        assert_eq!(reads, [0, 1, 2, 0]);
        recent.keep(9);
        for number in [2, 3, 4] {
            assert_eq!(recent.get(number, || Ok(number)), Ok(number));
        }
        assert_eq!(recent.get(0, || Ok(99)), Ok(0), "more are kept");
        let failed = recent.get(5, || Err("broken".into()));
        assert_eq!(failed, Err("broken".into()));
    }
}
