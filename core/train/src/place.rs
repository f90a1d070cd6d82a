//! How far a run has come in its data. A step alone does not say: its meaning changes with the batch
//! and the number of training images.

use serde::{Deserialize, Serialize};
use vitral_data::Loader;

/// A place between two batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Images of a step.
    pub batch: usize,
    /// Training images, which are an epoch.
    pub images: usize,
    /// Batches of this size, over this many images, that come before, counted from the first epoch's
    /// start. They are the steps that were made, unless the run went on with another batch or other
    /// images at some time.
    pub batches: u64,
}

impl Place {
    /// The same place for a run that goes on with other batches or images: in the same epoch, after as
    /// many of its images, or as large a part of them where their number has changed; to the nearest
    /// batch.
    pub(crate) fn with(self, batch: usize, images: usize) -> Self {
        if (batch, images) == (self.batch, self.images) {
            return self;
        }
        let before = Loader::batches_per_epoch(self.images, self.batch);
        let after = Loader::batches_per_epoch(images, batch);
        let (epoch, batches) = (self.batches / before, self.batches % before);
        let seen = batches as f64 * self.batch as f64 / self.images.max(1) as f64;
        let nearest = (seen * images as f64 / batch as f64).round() as u64;
        let batches = epoch.saturating_mul(after).saturating_add(nearest.min(after));
        Self { batch, images, batches }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(batch: usize, images: usize, batches: u64) -> Place {
        Place { batch, images, batches }
    }

    #[test]
    fn nothing_changes_where_nothing_is_changed() {
        for batches in [0, 1, 7, 1000, u64::MAX] {
            assert_eq!(at(16, 72, batches).with(16, 72), at(16, 72, batches));
        }
    }

    #[test]
    fn epochs_stay_epochs() {
        // 4 batches of 8 in an epoch of 36 images, 2 of 16, 9 of 4, and 1 of 36.
        for (batch, expected) in [(8, 8), (16, 4), (4, 18), (36, 2), (100, 2)] {
            assert_eq!(at(8, 36, 8).with(batch, 36).batches, expected, "a batch of {batch}");
            assert_eq!(at(batch, 36, expected).with(8, 36).batches, 8, "a batch of {batch}");
        }
        for (images, expected) in [(36, 8), (72, 18), (8, 2), (4, 2)] {
            assert_eq!(at(8, 36, 8).with(8, images).batches, expected, "{images} images");
        }
    }

    #[test]
    fn a_place_in_an_epoch_stays_as_near_as_batches_allow() {
        // After 16 of the second epoch's images.
        for (batch, expected) in [(16, 2 + 1), (4, 9 + 4), (12, 3 + 1), (6, 6 + 3)] {
            assert_eq!(at(8, 36, 6).with(batch, 36).batches, expected, "a batch of {batch}");
        }
        // Half of an epoch is half of one with twice the images, and never more than all of it.
        assert_eq!(at(10, 100, 5).with(10, 200).batches, 10);
        assert_eq!(at(10, 105, 9).with(40, 105).batches, 2);
    }
}
