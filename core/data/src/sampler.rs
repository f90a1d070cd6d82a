//! The order of samples: a new permutation for every epoch, derived from the seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rand::Rng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_seed::{Rng, Seed};

use crate::source::{Groups, Source};

/// Which training images an epoch has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Sampling {
    /// Each once, in a random order.
    #[default]
    Shuffled,
    /// Equally many of each class, in a random order. Images of rare classes are repeated; of
    /// common classes, as many are used as fit, and others in the next epoch. An epoch keeps its
    /// length.
    Balanced,
    /// Each once, in a random order, with each part of a batch from its own files, so that a rank
    /// only reads those of its parts; like WebDataset's `split_by_node` and Hugging Face's
    /// `split_dataset_by_node`. It determines which images make a batch, whatever the number of
    /// ranks. For `WebDataset` with `shuffle_buffer` and `Parquet`; of anything else a rank only
    /// reads its own images anyway, and this is the same as `Shuffled`.
    SplitByNode {
        /// Number of parts of a batch: it must divide the batch, and be a multiple of the number of
        /// ranks, or of twice that if `batch: Auto` mixes images, so that no two ranks read the
        /// same files.
        #[schemars(range(min = 1, max = 65536))]
        parts: u32,
    },
}

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

/// The samples of an epoch for each of some parts, which have as many as any other, or one more. The groups are in a
/// random order, and each part has neighbouring ones in it, of which the first and the last may be those of its
/// neighbours, too. As many as are taken together of all are shuffled together in all parts.
fn parted_order(seed: Seed, epoch: u64, groups: &Groups, parts: u32) -> Vec<Vec<u32>> {
    let seed = seed.named("order").indexed(epoch).named("parts");
    let mut numbers: Vec<u32> = (0..groups.count() as u32).collect();
    shuffle(&mut numbers, &mut seed.rng());
    let mut rest = numbers.into_iter().map(|group| groups.samples(group as usize)).peekable();
    let together = together_in_part(groups, parts);
    let len = u64::from(groups.len());
    let start = |part: u32| (u64::from(part) * len / u64::from(parts)) as usize;
    let part = |part: u32| {
        let count = start(part + 1) - start(part);
        let rng = &mut seed.indexed(u64::from(part)).rng();
        let (mut order, mut window, mut shuffled) = (Vec::with_capacity(count), 0, 0);
        while order.len() < count {
            let Some(group) = rest.peek_mut() else { break };
            let taken = group.len().min(count - order.len()) as u32;
            order.extend(group.start..group.start + taken);
            group.start += taken;
            if group.start == group.end {
                rest.next();
            }
            window += 1;
            if window == together || order.len() == count {
                shuffle(&mut order[shuffled..], rng);
                (window, shuffled) = (0, order.len());
            }
        }
        order
    };
    (0..parts).map(part).collect()
}

/// How many groups of a part are shuffled together.
pub(crate) fn together_in_part(groups: &Groups, parts: u32) -> usize {
    groups.together().div_ceil(parts as usize)
}

pub(crate) fn shuffle(items: &mut [u32], rng: &mut Rng) {
    for last in (1..items.len() as u32).rev() {
        let chosen = rng.random_range(0..=last);
        items.swap(last as usize, chosen as usize);
    }
}

/// Images by their class, for epochs with as many of each.
pub(crate) struct ByClass {
    classes: Vec<Vec<u32>>,
    len: u32,
}

impl ByClass {
    /// Those of a source of `len` images; classes without any have no part.
    pub(crate) fn of(source: &dyn Source, len: u32) -> Self {
        let mut classes = BTreeMap::<u32, Vec<u32>>::new();
        for index in 0..len {
            classes.entry(source.label(index as usize)).or_default().push(index);
        }
        Self { classes: classes.into_values().collect(), len }
    }

    /// The samples of an epoch. Each class goes through its own images in a random order, and through all of
    /// them before any comes again, across epochs, too.
    fn order(&self, seed: Seed, epoch: u64) -> Vec<u32> {
        let seed = seed.named("balanced");
        let count = self.classes.len() as u64;
        let mut order = Vec::with_capacity(self.len as usize);
        for (class, samples) in self.classes.iter().enumerate() {
            // How many of the class have come before an epoch: of all classes together they are whole
            // epochs, and no class is ahead of another by more than one.
            let before = |epoch: u64| {
                let all = u128::from(epoch) * u128::from(self.len) + class as u128;
                (all / u128::from(count)) as u64
            };
            let (mut at, end) = (before(epoch), before(epoch + 1));
            let own = samples.len() as u64;
            while at < end {
                let (round, first) = (at / own, (at % own) as usize);
                let taken = samples.len().min(first + (end - at) as usize) - first;
                let mut shuffled = samples.clone();
                let mut rng = seed.indexed(class as u64).indexed(round).rng();
                shuffle(&mut shuffled, &mut rng);
                order.extend(&shuffled[first..first + taken]);
                at += taken as u64;
            }
        }
        shuffle(&mut order, &mut seed.named("order").indexed(epoch).rng());
        order
    }
}

/// The samples of an epoch, in their order.
#[derive(Debug)]
pub(crate) struct Order {
    /// In a row or, where each part of a batch has samples of its own, those of each part.
    samples: Vec<Vec<u32>>,
    /// Samples in a row that are of one part; all, where there is one.
    in_a_row: usize,
    /// How often the sample at each place came before, where one can come again.
    before: Option<Vec<u32>>,
}

impl Order {
    fn once(samples: Vec<u32>) -> Self {
        Self { samples: vec![samples], in_a_row: usize::MAX, before: None }
    }

    /// Each part of a batch has so many places.
    fn parted(samples: Vec<Vec<u32>>, places: usize) -> Self {
        Self { samples, in_a_row: places, before: None }
    }

    fn again(samples: Vec<u32>, len: u32) -> Self {
        let mut counts = vec![0_u32; len as usize];
        let count = |&sample: &u32| {
            let count = &mut counts[sample as usize];
            *count += 1;
            *count - 1
        };
        let before = samples.iter().map(count).collect();
        Self { samples: vec![samples], in_a_row: usize::MAX, before: Some(before) }
    }

    /// What comes at a place of the epoch, whose samples each come `repeats` times in a row.
    pub(crate) fn at(&self, place: usize, repeats: u32) -> Drawn {
        let repeats = repeats.max(1);
        let (row, within) = (place / self.in_a_row, place % self.in_a_row);
        let (batch, part) = (row / self.samples.len(), row % self.samples.len());
        let place = batch * self.in_a_row + within;
        let turn = place / repeats as usize;
        let before = self.before.as_ref().map_or(0, |before| before[turn]);
        Drawn {
            sample: self.samples[part][turn],
            // The remainder is below `repeats`, a u32.
            repetition: before * repeats + (place % repeats as usize) as u32,
        }
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

/// The orders of the epochs that workers are busy with, each computed once by whoever needs it
/// first and shared by all.
pub(crate) struct EpochOrders {
    seed: Seed,
    len: u32,
    kind: Kind,
    recent: Mutex<BTreeMap<u64, Arc<OnceLock<Order>>>>,
}

/// How an epoch's samples are chosen.
pub(crate) enum Kind {
    /// Each once, wherever it lies.
    Shuffled,
    /// Each once, those of a group together.
    Grouped(Groups),
    /// The same, and each of some parts of a batch of so many has groups of its own.
    Parted { groups: Groups, parts: u32, batch: usize },
    /// As many of each class.
    Balanced(ByClass),
}

/// Epochs remembered. Workers are rarely in more than two; a forgotten one is computed again.
const REMEMBERED: usize = 4;

impl EpochOrders {
    /// Orders of `len` samples.
    pub(crate) fn new(seed: Seed, len: u32, kind: Kind) -> Self {
        Self { seed, len, kind, recent: Mutex::default() }
    }

    /// Calls `take` with the order of `epoch`.
    pub(crate) fn with<T>(&self, epoch: u64, take: impl FnOnce(&Order) -> T) -> T {
        let cell = self.cell(epoch);
        // Outside the lock: workers that are still in the epoch before need not wait.
        take(cell.get_or_init(|| match &self.kind {
            Kind::Grouped(groups) => Order::once(grouped_order(self.seed, epoch, groups)),
            Kind::Parted { groups, parts, batch } => {
                let samples = parted_order(self.seed, epoch, groups, *parts);
                Order::parted(samples, batch / *parts as usize)
            }
            Kind::Shuffled => Order::once(epoch_order(self.seed, epoch, self.len)),
            Kind::Balanced(classes) => Order::again(classes.order(self.seed, epoch), self.len),
        }))
    }

    fn cell(&self, epoch: u64) -> Arc<OnceLock<Order>> {
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
        let shared = Order::once(order.clone());
        let places: Vec<_> = (0..8).map(|place| shared.at(place, 3)).collect();
        let expected = [(6, 0), (6, 1), (6, 2), (4, 0), (4, 1), (4, 2), (7, 0), (7, 1)];
        let expected = expected.map(|(sample, repetition)| Drawn { sample, repetition });
        assert_eq!(places, expected);
        let once: Vec<_> = (0..8).map(|place| shared.at(place, 1).sample).collect();
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
        let orders = EpochOrders::new(Seed::new(5), 50, Kind::Shuffled);
        for epoch in [0, 1, 2, 9, 8, 7, 0, 1] {
            let shared = orders.with(epoch, |order| order.samples[0].clone());
            assert_eq!(shared, epoch_order(Seed::new(5), epoch, 50));
        }
    }

    #[test]
    fn parts_of_batches_have_groups_of_their_own() {
        let groups = Groups::of_sizes([10; 30], 60).unwrap();
        let lanes = parted_order(Seed::new(1), 0, &groups, 4);
        assert!(lanes.iter().all(|lane| lane.len() == 75));
        let mut all = lanes.concat();
        all.sort_unstable();
        assert_eq!(all, (0..300).collect::<Vec<_>>());
        let groups_of = |samples: &[u32]| -> BTreeSet<u32> {
            samples.iter().map(|sample| sample / 10).collect()
        };
        for lane in &lanes {
            // Seven and a half.
            assert_eq!(groups_of(lane).len(), 8);
            // Two at once; where a lane begins with a half, one and a half.
            assert!(groups_of(&lane[..15]).len() == 2 && !lane[..15].is_sorted(), "{lane:?}");
        }
        assert_ne!(lanes, parted_order(Seed::new(1), 1, &groups, 4));
        // Each sample comes as often as it is repeated, and each part of a batch from its own lane.
        for repeats in [1, 3] {
            let order = Order::parted(lanes.clone(), 6);
            let mut counts = [0; 300];
            for batch in 0..12 {
                for at in 0..24 {
                    let drawn = order.at(batch * 24 + at, repeats);
                    assert!(lanes[at / 6].contains(&drawn.sample));
                    assert_eq!(drawn.repetition, counts[drawn.sample as usize]);
                    counts[drawn.sample as usize] += 1;
                }
            }
            assert!(counts.iter().all(|count| *count <= repeats));
            assert_eq!(counts.iter().sum::<u32>(), 288);
        }
        // Uneven ones, and more parts than groups.
        let groups = Groups::of_sizes([7, 1, 5], 3).unwrap();
        let lanes = parted_order(Seed::new(2), 0, &groups, 5);
        assert_eq!(lanes.iter().map(Vec::len).collect::<Vec<_>>(), [2, 3, 2, 3, 3]);
        let mut all = lanes.concat();
        all.sort_unstable();
        assert_eq!(all, (0..13).collect::<Vec<_>>());
    }

    /// 12 images of class 0, 3 of class 2, and one of class 5.
    fn unbalanced() -> ByClass {
        ByClass { classes: vec![(0..12).collect(), vec![12, 13, 14], vec![15]], len: 16 }
    }

    #[test]
    fn a_balanced_epoch_has_as_many_of_each_class() {
        let classes = unbalanced();
        let mut counts = [0_u32; 3];
        for epoch in 0..30 {
            let order = classes.order(Seed::new(1), epoch);
            assert_eq!(order.len(), 16);
            let mut own = [0_u32; 3];
            order.iter().for_each(|&sample| match sample {
                0..12 => own[0] += 1,
                12..15 => own[1] += 1,
                _ => own[2] += 1,
            });
            assert!(own.iter().all(|count| (5..=6).contains(count)), "{own:?}");
            counts.iter_mut().zip(own).for_each(|(sum, count)| *sum += count);
        }
        assert_eq!(counts, [160; 3], "over three epochs each has exactly as many");
        assert_eq!(classes.order(Seed::new(1), 7), classes.order(Seed::new(1), 7));
        assert_ne!(classes.order(Seed::new(1), 7), classes.order(Seed::new(2), 7));
    }

    #[test]
    fn a_class_goes_through_all_its_images_before_one_comes_again() {
        let classes = unbalanced();
        let seen = (0..9).flat_map(|epoch| {
            let mut own = classes.order(Seed::new(3), epoch);
            own.retain(|&sample| sample < 12);
            own
        });
        let seen: Vec<u32> = seen.collect();
        let mut counts = [0_usize; 12];
        seen.iter().for_each(|&sample| counts[sample as usize] += 1);
        assert_eq!(seen.len(), 48);
        assert_eq!(counts, [4; 12]);
    }

    #[test]
    fn each_time_that_an_image_comes_is_counted() {
        let order = Order::again(vec![3, 1, 3, 3], 4);
        let repetitions = |repeats| -> Vec<(u32, u32)> {
            let drawn = (0..4).map(|place| order.at(place, repeats));
            drawn.map(|drawn| (drawn.sample, drawn.repetition)).collect()
        };
        assert_eq!(repetitions(1), [(3, 0), (1, 0), (3, 1), (3, 2)]);
        assert_eq!(repetitions(2), [(3, 0), (3, 1), (1, 0), (1, 1)]);
    }
}
