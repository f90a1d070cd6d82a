//! The order of samples: a new permutation for every epoch, derived from the seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rand::Rng as _;
use vitral_seed::Seed;

/// The numbers `0..len`, shuffled for one epoch (Fisher and Yates, from the end).
pub fn epoch_order(seed: Seed, epoch: u64, len: u32) -> Vec<u32> {
    let mut rng = seed.named("order").indexed(epoch).rng();
    let mut order: Vec<u32> = (0..len).collect();
    for last in (1..len).rev() {
        let chosen = rng.random_range(0..=last);
        order.swap(last as usize, chosen as usize);
    }
    order
}

/// The orders of the epochs that workers are busy with, each computed once by whoever needs it
/// first and shared by all.
pub(crate) struct EpochOrders {
    seed: Seed,
    len: u32,
    recent: Mutex<BTreeMap<u64, Arc<OnceLock<Vec<u32>>>>>,
}

/// Epochs remembered. Workers are rarely in more than two; a forgotten one is computed again.
const REMEMBERED: usize = 4;

impl EpochOrders {
    pub(crate) fn new(seed: Seed, len: u32) -> Self {
        let recent = Mutex::default();
        Self { seed, len, recent }
    }

    /// Calls `take` with the order of `epoch`.
    pub(crate) fn with<T>(&self, epoch: u64, take: impl FnOnce(&[u32]) -> T) -> T {
        let cell = self.cell(epoch);
        // Outside the lock: workers that are still in the epoch before need not wait.
        take(cell.get_or_init(|| epoch_order(self.seed, epoch, self.len)))
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

    #[test]
    fn shared_orders_equal_computed_ones() {
        let orders = EpochOrders::new(Seed::new(5), 50);
        for epoch in [0, 1, 2, 9, 8, 7, 0, 1] {
            let shared = orders.with(epoch, <[u32]>::to_vec);
            assert_eq!(shared, epoch_order(Seed::new(5), epoch, 50));
        }
    }
}
