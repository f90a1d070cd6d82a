//! The order of samples: a new permutation for every epoch, derived from the seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rand::Rng as _;
use vitral_seed::{Rng, Seed};

use crate::source::Groups;

/// The numbers `0..len`, shuffled for one epoch (Fisher and Yates, from the end).
pub fn epoch_order(seed: Seed, epoch: u64, len: u32) -> Vec<u32> {
    let mut rng = seed.named("order").indexed(epoch).rng();
    let mut order: Vec<u32> = (0..len).collect();
    shuffle(&mut order, &mut rng);
    order
}

/// The samples of all groups, shuffled for one epoch so that each group's are read together: the
/// groups in a random order, and of as many groups as are taken [together](Groups::together) all
/// samples in a random order.
pub fn grouped_order(seed: Seed, epoch: u64, groups: &Groups) -> Vec<u32> {
    let mut rng = seed.named("order").indexed(epoch).rng();
    // There are at most as many groups as samples, whose number is a u32.
    let mut numbers: Vec<u32> = (0..groups.count() as u32).collect();
    shuffle(&mut numbers, &mut rng);
    let mut order = Vec::new();
    for together in numbers.chunks(groups.together()) {
        let start = order.len();
        order.extend(together.iter().flat_map(|&group| groups.samples(group as usize)));
        shuffle(&mut order[start..], &mut rng);
    }
    order
}

pub(crate) fn shuffle(items: &mut [u32], rng: &mut Rng) {
    for last in (1..items.len() as u32).rev() {
        let chosen = rng.random_range(0..=last);
        items.swap(last as usize, chosen as usize);
    }
}

/// A sample that comes in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// Its index in its source.
    pub sample: u32,
    /// How often it came before in the same epoch.
    pub repetition: u32,
}

/// What comes at a place of an epoch whose samples each come `repeats` times in a row, in this order.
pub(crate) fn drawn(order: &[u32], place: usize, repeats: u32) -> Drawn {
    let repeats = repeats.max(1) as usize;
    // The remainder is below `repeats`, a u32.
    Drawn { sample: order[place / repeats], repetition: (place % repeats) as u32 }
}

/// The orders of the epochs that workers are busy with, each computed once by whoever needs it
/// first and shared by all.
pub(crate) struct EpochOrders {
    seed: Seed,
    len: u32,
    groups: Option<Groups>,
    recent: Mutex<BTreeMap<u64, Arc<OnceLock<Vec<u32>>>>>,
}

/// Epochs remembered. Workers are rarely in more than two; a forgotten one is computed again.
const REMEMBERED: usize = 4;

impl EpochOrders {
    /// Orders of `len` samples, which lie in groups or anywhere.
    pub(crate) fn new(seed: Seed, len: u32, groups: Option<&Groups>) -> Self {
        let recent = Mutex::default();
        Self { seed, len, groups: groups.cloned(), recent }
    }

    /// Calls `take` with the order of `epoch`.
    pub(crate) fn with<T>(&self, epoch: u64, take: impl FnOnce(&[u32]) -> T) -> T {
        let cell = self.cell(epoch);
        // Outside the lock: workers that are still in the epoch before need not wait.
        take(cell.get_or_init(|| match &self.groups {
            Some(groups) => grouped_order(self.seed, epoch, groups),
            None => epoch_order(self.seed, epoch, self.len),
        }))
    }

    fn cell(&self, epoch: u64) -> Arc<OnceLock<Vec<u32>>> {
        // The map is never left half changed, so it may be used after a panic elsewhere.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = Arc::clone(recent.entry(epoch).or_default());
        if recent.len() > REMEMBERED {
            recent.pop_first();
        }
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_sample_comes_once_per_epoch() {
        let mut order = epoch_order(Seed::new(1), 0, 1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
        assert!(epoch_order(Seed::new(1), 0, 0).is_empty());
    }

    #[test]
    fn order_depends_on_seed_and_epoch_only() {
        let order = |seed, epoch| epoch_order(Seed::new(seed), epoch, 100);
        assert_eq!(order(1, 2), order(1, 2));
        assert_ne!(order(1, 2), order(1, 3));
        assert_ne!(order(1, 2), order(2, 2));
    }

    /// A change here would change every run that is being resumed.
    #[test]
    fn order_is_stable() {
        assert_eq!(epoch_order(Seed::new(0), 0, 8), [6, 4, 7, 5, 2, 0, 3, 1]);
    }

    #[test]
    fn every_place_is_equally_likely() {
        let mut counts = [0_u32; 5];
        for epoch in 0..5000 {
            counts[epoch_order(Seed::new(3), epoch, 5)[0] as usize] += 1;
        }
        assert!(counts.iter().all(|&n| n.abs_diff(1000) < 120), "{counts:?}");
    }

    /// As DeiT's RASampler: an epoch is as long as without repetitions, of fewer samples.
    #[test]
    fn repeated_samples_follow_each_other() {
        let order = epoch_order(Seed::new(0), 0, 8);
        let places: Vec<_> = (0..8).map(|place| drawn(&order, place, 3)).collect();
        let expected = [(6, 0), (6, 1), (6, 2), (4, 0), (4, 1), (4, 2), (7, 0), (7, 1)];
        let expected = expected.map(|(sample, repetition)| Drawn { sample, repetition });
        assert_eq!(places, expected);
        let once: Vec<_> = (0..8).map(|place| drawn(&order, place, 1).sample).collect();
        assert_eq!(once, order);
    }

    #[test]
    fn groups_are_read_together_and_every_sample_comes_once() {
        let groups = Groups::of_sizes([10; 30], 30).unwrap();
        let order = grouped_order(Seed::new(1), 0, &groups);
        for together in order.chunks(30) {
            let groups: BTreeSet<_> = together.iter().map(|sample| sample / 10).collect();
            assert_eq!(groups.len(), 3, "{together:?}");
            assert!(!together.is_sorted());
        }
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, (0..300).collect::<Vec<_>>());
        assert_ne!(order, grouped_order(Seed::new(1), 1, &groups));
        assert_eq!(order, grouped_order(Seed::new(1), 0, &groups));
    }

    #[test]
    fn shared_orders_equal_computed_ones() {
        let orders = EpochOrders::new(Seed::new(5), 50, None);
        for epoch in [0, 1, 2, 9, 8, 7, 0, 1] {
            let shared = orders.with(epoch, <[u32]>::to_vec);
            assert_eq!(shared, epoch_order(Seed::new(5), epoch, 50));
        }
    }
}
