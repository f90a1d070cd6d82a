//! One process's part of the images, where several processes train the same model.

use std::ops::Range;

use crate::error::DataError;

/// Which of several processes this is. By default it is the only one.
///
/// The processes share each batch: its images are cut into as many parts as there are processes, in
/// their order, whose lengths differ by one image at most. So the images of a batch do not depend on how
/// many processes there are, a run can go on with another number of them, and every image of an epoch
/// comes to exactly one process. What does not fill a batch is left out, as by a single process; nothing
/// is padded or comes twice. (PyTorch's `DistributedSampler` deals out single images, so that batches
/// depend on the number of processes, and repeats images until all have as many.)
///
/// Of a source that is read in [groups](crate::Groups), each process reads every group, and uses its part; unless
/// parts of batches have groups of their own ([`SplitByNode`](crate::Sampling::SplitByNode)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    rank: u32,
    world_size: u32,
    is_paired: bool,
}

impl Default for Shard {
    fn default() -> Self {
        Self { rank: 0, world_size: 1, is_paired: false }
    }
}

impl Shard {
    /// Process `rank`, from 0, of `world_size`.
    ///
    /// # Errors
    /// If there are none, or the rank is not among them.
    pub fn new(rank: u32, world_size: u32) -> Result<Self, DataError> {
        if rank >= world_size {
            let problem = format!("is {rank}, but ranks of {world_size} processes count from 0");
            return Err(DataError::setting("rank", problem));
        }
        Ok(Self { rank, world_size, is_paired: false })
    }

    /// The same, where each image of a batch is in one process with its partner, the one that is as far from the end
    /// as it is from the start: a process has neighbours of the first half, and those of the second half that are
    /// their mirror image.
    #[must_use]
    pub const fn paired(self) -> Self {
        Self { is_paired: true, ..self }
    }

    /// The process's number, from 0.
    pub const fn rank(&self) -> u32 {
        self.rank
    }

    /// How many processes there are.
    pub const fn world_size(&self) -> u32 {
        self.world_size
    }

    /// The process's part of `count` images in a row. The parts of all ranks, one after the other, are
    /// all of the images.
    pub fn part(&self, count: usize) -> Range<usize> {
        // Products of two numbers below 2^64 fit, and the quotients do not exceed `count`.
        let cut =
            |rank: u32| (count as u128 * u128::from(rank) / u128::from(self.world_size)) as usize;
        cut(self.rank)..cut(self.rank + 1)
    }

    /// The process's places in a batch of `count` images, in their order: one range or, where images are
    /// [with their partners](Self::paired), two.
    pub fn places(&self, count: usize) -> [Range<usize>; 2] {
        if !self.is_paired {
            let own = self.part(count);
            return [own.clone(), own.end..own.end];
        }
        // Of an odd number, the one in the middle is its own partner.
        let own = self.part(count.div_ceil(2));
        let second = count - own.end.min(count / 2)..count - own.start;
        [own, second]
    }

    /// Refuses to share fewer images than there are processes: a process without one could not take part
    /// in a step.
    pub(crate) fn check(&self, setting: &str, count: usize) -> Result<(), DataError> {
        if count >= self.world_size as usize {
            return Ok(());
        }
        let problem = format!(
            "has {count} images, too few for {} processes, each of which needs one",
            self.world_size
        );
        Err(DataError::setting(setting, problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_are_about_as_long() {
        for world_size in 1..20 {
            for count in [0, 1, 2, 7, 19, 20, 64, 1000, usize::MAX] {
                let parts: Vec<_> = (0..world_size)
                    .map(|rank| Shard::new(rank, world_size).unwrap().part(count))
                    .collect();
                assert_eq!((parts[0].start, parts.last().unwrap().end), (0, count));
                assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
                let lengths = || parts.iter().map(ExactSizeIterator::len);
                assert!(lengths().max().unwrap() - lengths().min().unwrap() <= 1, "{parts:?}");
            }
        }
        assert_eq!(Shard::default().part(9), 0..9);
    }

    #[test]
    fn pairs_are_in_one_part() {
        for world_size in 1..9 {
            for count in [17, 18, 64, 1001] {
                let mut all = Vec::new();
                for rank in 0..world_size {
                    let shard = Shard::new(rank, world_size).unwrap().paired();
                    let [first, second] = shard.places(count);
                    assert!(first.end <= count.div_ceil(2) && second.start >= count.div_ceil(2));
                    let own: Vec<usize> = first.chain(second).collect();
                    let mirrored: Vec<usize> = own.iter().rev().map(|at| count - 1 - at).collect();
                    assert_eq!(own, mirrored, "{count} images, {rank} of {world_size}");
                    all.extend(own);
                }
                all.sort_unstable();
                assert_eq!(all, (0..count).collect::<Vec<_>>());
            }
        }
        let plain = Shard::new(1, 3).unwrap();
        assert_eq!(plain.places(9), [3..6, 6..6]);
    }

    #[test]
    fn ranks_beyond_the_last_are_refused() {
        let error = Shard::new(4, 4).unwrap_err().to_string();
        assert!(error.contains("rank: is 4"), "{error}");
        assert!(Shard::new(0, 0).is_err());
    }
}
