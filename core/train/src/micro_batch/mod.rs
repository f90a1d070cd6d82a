//! How many images go through the model at once, where an experiment leaves that open
//! (`batch: Auto(...)`): found by trying ([`search`]), halved when memory runs out, and raised again
//! later.

mod search;

use serde::{Deserialize, Serialize};

use self::search::sizes;
pub(crate) use self::search::{Found, Probe, search};
use crate::batch_size::MemorySize;

/// Good steps after which a size that was once too large is tried again.
const GROW_AFTER: u64 = 200;
/// Failures after which nothing larger is tried any more; each doubles the wait before the next try.
const MAX_FAILURES: u32 = 5;

/// The micro-batch of a run, as it is now and with what was learnt; kept in checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MicroBatch {
    /// Images that go through the model at once.
    size: usize,
    /// Images of a step that it was found for.
    effective: usize,
    /// The limit that it was found for, as the experiment gives it.
    memory: Option<MemorySize>,
    /// Whether it was found on the CPU.
    on_cpu: bool,
    /// Sizes that memory ran out with and that may be tried again, largest first.
    larger: Vec<usize>,
    /// Good steps since the last change.
    good_steps: u64,
    /// How often memory ran out.
    failures: u32,
    /// The size to go back to if the first step of a larger one fails.
    proven: Option<usize>,
}

/// What a micro-batch is found for; another one is looked for when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conditions {
    pub(crate) effective: usize,
    pub(crate) memory: Option<MemorySize>,
    pub(crate) on_cpu: bool,
}

impl MicroBatch {
    pub(crate) fn new(size: usize, conditions: Conditions) -> Self {
        let Conditions { effective, memory, on_cpu } = conditions;
        Self {
            size,
            effective,
            memory,
            on_cpu,
            larger: Vec::new(),
            good_steps: 0,
            failures: 0,
            proven: None,
        }
    }

    /// Images that go through the model at once.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Micro-batches of a whole step.
    pub fn accum_steps(&self) -> usize {
        self.effective.div_ceil(self.size)
    }

    /// Whether its sizes are such that a batch can be cut into.
    pub(crate) fn is_possible(&self) -> bool {
        let sizes = self.larger.iter().chain(&self.proven).chain([&self.size]);
        sizes.into_iter().all(|size| (1..=self.effective).contains(size))
    }

    pub(crate) fn is_for(&self, conditions: Conditions) -> bool {
        (self.effective, self.memory, self.on_cpu)
            == (conditions.effective, conditions.memory, conditions.on_cpu)
    }

    /// A step of `images` ran out of memory, and is to be made again: with half the size, or with the
    /// size before if this one was only tried. Tells whether there is a smaller one.
    pub(crate) fn failed(&mut self, images: usize) -> bool {
        self.failures += 1;
        self.good_steps = 0;
        if let Some(proven) = self.proven.take() {
            self.larger.push(self.size);
            self.size = proven;
            return true;
        }
        // The last batch of an epoch may be smaller than the micro-batch.
        let used = self.size.min(images);
        let smaller = sizes(self.effective).into_iter().rev().find(|&size| size <= used / 2);
        let Some(smaller) = smaller else { return false };
        self.larger.push(self.size);
        self.size = smaller;
        true
    }

    /// A step was made. Tells whether the next one tries a larger size.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.proven = None;
        self.good_steps += 1;
        let wait = GROW_AFTER << self.failures.saturating_sub(1).min(MAX_FAILURES);
        if self.failures >= MAX_FAILURES || self.good_steps < wait {
            return false;
        }
        let Some(larger) = self.larger.pop() else { return false };
        self.proven = Some(self.size);
        self.size = larger;
        self.good_steps = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONDITIONS: Conditions = Conditions { effective: 64, memory: None, on_cpu: false };

    fn steps(micro: &mut MicroBatch, count: u64) -> bool {
        (0..count).fold(false, |_, _| micro.succeeded())
    }

    #[test]
    fn running_out_halves_and_good_steps_grow_back() {
        let mut micro = MicroBatch::new(32, CONDITIONS);
        assert!(micro.failed(64));
        assert_eq!((micro.size(), micro.accum_steps()), (16, 4));
        assert!(!steps(&mut micro, 199) && steps(&mut micro, 1));
        assert_eq!(micro.size(), 32);
        // The larger size works now, and there is nothing beyond it.
        assert!(!steps(&mut micro, 10_000));
        assert_eq!(micro.size(), 32);
    }

    #[test]
    fn a_try_that_fails_goes_back_and_waits_twice_as_long_until_it_gives_up() {
        let mut micro = MicroBatch::new(32, CONDITIONS);
        assert!(micro.failed(64));
        for wait in [200, 400, 800, 1600] {
            assert!(!steps(&mut micro, wait - 1) && steps(&mut micro, 1), "{wait}");
            assert_eq!(micro.size(), 32);
            assert!(micro.failed(64));
            assert_eq!(micro.size(), 16);
        }
        assert!(!steps(&mut micro, 100_000), "after five failures nothing is tried");
    }

    #[test]
    fn several_halvings_are_taken_back_one_at_a_time() {
        let mut micro = MicroBatch::new(64, CONDITIONS);
        assert!(micro.failed(64) && micro.failed(64));
        assert_eq!(micro.size(), 16);
        assert!(steps(&mut micro, 400));
        assert_eq!(micro.size(), 32);
        assert!(steps(&mut micro, 400));
        assert_eq!(micro.size(), 64);
    }

    #[test]
    fn one_image_cannot_be_halved_and_small_batches_are_halved_themselves() {
        let mut micro = MicroBatch::new(1, CONDITIONS);
        assert!(!micro.failed(64));
        let mut micro = MicroBatch::new(64, CONDITIONS);
        assert!(micro.failed(10));
        assert_eq!(micro.size(), 4);
    }
}
