//! What the ranks of a run tell each other between steps: rank 0 what comes next, and each what has become of its
//! part of the batch.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use vitral_data::Skipped;

use super::{Trainer, agreement::digest_of_weights, decide::Next, feed::DeviceBatch};
use crate::{Error, Observer, learner::Share, ranks::Ranks};

/// Who the user is told these things by.
const FROM: &str = "ranks";
/// How much longer than the median a rank takes that is named, and at least how much of a step that is.
const SLOW: f64 = 1.2;
/// Steps over which it has to be so.
const WINDOW: u64 = 10;
const WORTH_NAMING: f64 = 1e-3;

/// What rank 0 has all ranks do.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Order {
    next: Next,
    /// The bits of what monitors have made of the learning rate.
    rate_scale: u64,
    /// Whether the next step's statistics are wanted.
    wants_layers: bool,
}

/// What has become of a rank's part of a batch.
#[derive(Clone, Serialize, Deserialize)]
struct Arrival {
    /// Whether a signal has come.
    is_stopping: bool,
    /// In each of the rows of neighbours that it has of the batch.
    images: [usize; 2],
    skipped: Vec<Skipped>,
    disabled: Vec<String>,
    /// Seconds that it took for its part of the step before.
    busy: f64,
}

/// What has become of all parts of a batch.
pub(super) struct Arrived {
    /// Whether a signal has come to any rank.
    pub(super) is_stopping: bool,
    /// The images of each rank.
    images: Vec<[usize; 2]>,
    skipped: Vec<Skipped>,
    disabled: Vec<String>,
}

/// How long the ranks take for their parts of steps, waiting for each other left out.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Of this rank's part of the last step.
    pub(super) own: f64,
    seconds: Vec<f64>,
    steps: u64,
    named: BTreeSet<usize>,
}

impl Pace {
    fn add(&mut self, busy: impl Iterator<Item = f64>) {
        let busy: Vec<f64> = busy.collect();
        self.seconds.resize(busy.len(), 0.0);
        self.seconds.iter_mut().zip(busy).for_each(|(sum, busy)| *sum += busy);
        self.steps += 1;
    }

    /// The ranks that were slower than the median over some steps, with how many times longer they took; each is
    /// told once.
    fn slow(&mut self) -> Option<Vec<(usize, f64)>> {
        if self.steps < WINDOW {
            return None;
        }
        let (seconds, steps) = (std::mem::take(&mut self.seconds), std::mem::take(&mut self.steps));
        let mut sorted = seconds.clone();
        sorted.sort_by(f64::total_cmp);
        // Of two, the faster one.
        let median = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
        let is_slow = |seconds: f64| {
            seconds > SLOW * median && seconds - median > WORTH_NAMING * steps as f64
        };
        let slow = seconds.into_iter().enumerate().filter(|(_, seconds)| is_slow(*seconds));
        let slow = slow.map(|(rank, seconds)| (rank, seconds / median));
        let new: Vec<_> = slow.filter(|(rank, _)| self.named.insert(*rank)).collect();
        (!new.is_empty()).then_some(new)
    }
}

impl Trainer {
    /// What rank 0 says comes next, `own` being what follows from what this rank knows.
    pub(super) fn ordered(&mut self, own: Next) -> Result<Next, Error> {
        self.wants_layers = self.monitors.want_layers(self.state.step + 1);
        let order = self.ranks.decide(Order {
            next: own,
            rate_scale: self.state.rate_scale.to_bits(),
            wants_layers: self.wants_layers,
        })?;
        self.state.rate_scale = f64::from_bits(order.rate_scale);
        self.wants_layers = order.wants_layers;
        Ok(order.next)
    }

    /// What has become of a batch in all ranks, and that a signal has come to one of them.
    pub(super) fn arrived(
        &mut self,
        batch: &Result<DeviceBatch, Error>,
        is_stopping: bool,
    ) -> Result<Arrived, Error> {
        let batch = batch.as_ref().ok();
        let planned = self.experiment.train.batch.effective();
        let [_, second] = self.train_shard()?.places(planned);
        let images = |batch: &DeviceBatch| {
            let first = batch.places.partition_point(|place| (*place as usize) < second.start);
            [first, batch.count - first]
        };
        let own = Arrival {
            is_stopping,
            images: batch.map_or([0; 2], images),
            skipped: batch.map_or_else(Vec::new, |batch| batch.skipped.clone()),
            disabled: batch.map_or_else(Vec::new, |batch| batch.disabled.clone()),
            busy: self.pace.own,
        };
        let all = self.ranks.gather(own)?;
        if self.ranks.size() > 1 && self.ranks.is_first() {
            self.pace.add(all.iter().map(|arrival| arrival.busy));
        }
        Ok(Arrived {
            is_stopping: all.iter().any(|arrival| arrival.is_stopping),
            images: all.iter().map(|arrival| arrival.images).collect(),
            skipped: all.iter().flat_map(|arrival| arrival.skipped.clone()).collect(),
            disabled: all.iter().flat_map(|arrival| arrival.disabled.clone()).collect(),
        })
    }

    /// Has this rank's batch be its part of that of all.
    pub(super) fn take_share(&self, batch: &mut DeviceBatch, arrived: Arrived) {
        if self.ranks.peers().is_none() {
            return;
        }
        let train = &self.experiment.train;
        let (cut, planned) = (train.accum_steps, train.batch.effective());
        let share = Share::new(&self.ranks, cut, planned, &batch.places, &arrived.images);
        batch.count = share.batch;
        batch.share = Some(share);
        (batch.skipped, batch.disabled) = (arrived.skipped, arrived.disabled);
    }

    /// Names the ranks that the others wait for.
    pub(super) fn tell_slow_ranks(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        let Some(slow) = self.pace.slow() else { return Ok(()) };
        let each =
            slow.iter().map(|(rank, times)| format!("{} {times:.1} times", self.ranks.name(*rank)));
        let each = each.collect::<Vec<_>>().join(", ");
        let message = format!(
            "the others wait for slow ranks, whose part takes longer than the median rank's: {each}"
        );
        self.notice(FROM, message, observer)
    }

    /// Makes sure that all ranks still have the same weights.
    pub(super) fn check_same_weights(&self) -> Result<(), Error> {
        if self.ranks.size() == 1 {
            return Ok(());
        }
        let weights = digest_of_weights(&self.learner)?;
        self.ranks.check_same(&[("weights".to_owned(), weights)])
    }
}

/// How many of the ranks are on this one's host.
pub(super) fn on_this_host(ranks: &Ranks) -> usize {
    let own = ranks.host(ranks.rank());
    (0..ranks.size()).filter(|rank| ranks.host(*rank) == own).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_that_others_wait_for_are_named_once() {
        let mut pace = Pace::default();
        let mut slow = |steps: u64, of_each: [f64; 3]| {
            (0..steps).for_each(|_| pace.add(of_each.into_iter()));
            pace.slow()
        };
        assert_eq!(slow(WINDOW, [1.0, 1.1, 1.0]), None);
        assert_eq!(slow(WINDOW, [1e-5, 1e-4, 1e-5]), None, "nobody waits long for it");
        assert_eq!(slow(WINDOW - 1, [1.0, 2.0, 1.0]), None, "it may catch up");
        assert_eq!(slow(1, [1.0, 2.0, 1.0]), Some(vec![(1, 2.0)]));
        assert_eq!(slow(WINDOW, [1.0, 2.0, 1.0]), None, "it was named");
        assert_eq!(slow(WINDOW, [3.0, 1.0, 1.0]), Some(vec![(0, 3.0)]));
    }
}
