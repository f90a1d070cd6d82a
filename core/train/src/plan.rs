//! The steps of a run: how many they are, and what each of them means.

use std::time::Duration;

use vitral_data::Loader;

use crate::{
    experiment::{Every, TrainConfig},
    place::Place,
    schedule::{Decay, Schedule, ScheduleOn},
};

/// The steps of a run, once the number of training images is known, from a place on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    pub steps_per_epoch: u64,
    /// Steps of the run in all.
    pub total: u64,
    pub schedule: Schedule,
    /// How many batches further the place is than the steps that were made.
    lead: i64,
}

impl TrainConfig {
    /// The field of an experiment that says how long the run is, and what it says.
    pub(crate) fn length(&self) -> (&'static str, f64) {
        match self.steps {
            Some(steps) => ("train.steps", steps as f64),
            None => ("train.epochs", self.epochs),
        }
    }

    /// The plan of a run that has made `step` steps and is at this place.
    ///
    /// What is given in epochs (the end, the schedule) follows the place, and what is given in steps
    /// the steps that were made. With `steps` in place of `epochs` these are the end and the schedule.
    pub(crate) fn plan(&self, place: Place, step: u64) -> Plan {
        let steps_per_epoch = Loader::batches_per_epoch(place.images, place.batch);
        let steps = |epochs: f64| (epochs * steps_per_epoch as f64).round() as u64;
        let lead = place.batches.wrapping_sub(step) as i64;
        let (length, schedule_lead) = match self.steps {
            Some(steps) => (steps, 0),
            None => (steps(self.epochs), lead),
        };
        let warmup = self.warmup_steps.unwrap_or_else(|| steps(self.warmup_epochs)).min(length);
        let decay_from = match self.decay {
            Decay::WarmupStableDecay { epochs, .. } => {
                Some(length.saturating_sub(steps(epochs)).max(warmup))
            }
            _ => (!self.warmup_prefix).then_some(0),
        };
        let schedule = Schedule {
            decay: self.decay,
            start: self.warmup_learning_rate,
            peak: self.learning_rate,
            floor: self.floor(),
            warmup,
            total: length,
            decay_from,
            interval: match self.schedule_on {
                ScheduleOn::Steps => 1,
                ScheduleOn::Epochs | ScheduleOn::EpochEnds => steps_per_epoch,
            },
            lag: match self.schedule_on {
                ScheduleOn::Steps | ScheduleOn::Epochs => 0,
                ScheduleOn::EpochEnds => steps_per_epoch,
            },
            lead: schedule_lead,
        };
        let total = length.saturating_add_signed(schedule_lead.saturating_neg());
        Plan { steps_per_epoch, total, schedule, lead }
    }
}

impl Plan {
    /// The number of a step's batch; both are counted from 0.
    pub(crate) fn batch(&self, step: u64) -> u64 {
        step.saturating_add_signed(self.lead)
    }

    /// The epochs that are over after so many steps.
    pub(crate) fn epoch(&self, step: u64) -> f64 {
        self.batch(step) as f64 / self.steps_per_epoch as f64
    }

    /// Whether something of this rhythm is due after so many steps, `since` after the last time.
    pub(crate) fn is_due(&self, every: Every, steps_done: u64, since: Duration) -> bool {
        match every {
            Every::Steps(steps) => steps_done.is_multiple_of(steps),
            Every::Minutes(minutes) => since.as_secs_f64() >= minutes * 60.0,
            Every::Epochs(epochs) => {
                // Due when the count of whole periods grows with this step.
                let batches = self.batch(steps_done);
                let periods = |batches: u64| {
                    (batches as f64 / (epochs * self.steps_per_epoch as f64) + 1e-9).floor()
                };
                batches > 0 && periods(batches) > periods(batches - 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Cooldown;

    /// Of a run with 10 steps in an epoch.
    fn plan(train: &TrainConfig) -> Plan {
        train.plan(Place { batch: 4, images: 43, batches: 0 }, 0)
    }

    #[test]
    fn epochs_become_steps() {
        let train = TrainConfig { epochs: 2.5, warmup_epochs: 0.5, ..TrainConfig::default() };
        let plan = plan(&train);
        assert_eq!((plan.total, plan.schedule.warmup), (25, 5));
        let due = |every| {
            (1..=25).filter(|&step| plan.is_due(every, step, Duration::ZERO)).collect::<Vec<u64>>()
        };
        assert_eq!(due(Every::Epochs(1.0)), [10, 20]);
        assert_eq!(due(Every::Epochs(0.5)), [5, 10, 15, 20, 25]);
        assert_eq!(due(Every::Epochs(0.25)), [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]);
        assert_eq!(due(Every::Steps(7)), [7, 14, 21]);
        assert_eq!(due(Every::Minutes(1.0)), [0u64; 0]);
        assert!(plan.is_due(Every::Minutes(0.5), 3, Duration::from_secs(30)));
    }

    #[test]
    fn the_last_epochs_cool_down_after_any_number_of_others() {
        let decay = Decay::WarmupStableDecay { epochs: 2.0, shape: Cooldown::Linear };
        let of = |epochs| {
            let train = TrainConfig {
                epochs,
                decay,
                learning_rate: 1.0,
                min_learning_rate: 0.0,
                ..TrainConfig::default()
            };
            let schedule = plan(&train).schedule;
            (0..epochs as u64 * 10).map(|step| schedule.learning_rate(step)).collect::<Vec<_>>()
        };
        let (short, long) = (of(5.0), of(9.0));
        assert_eq!(short[..30], long[..30], "until the shorter one cools down");
        assert_eq!([long[69], long[70]], [1.0; 2]);
        assert_eq!(short[30..], long[70..], "and both cool down alike");
        // Where there are no others, it falls from the end of the warm-up on.
        assert_eq!(
            plan(&TrainConfig { epochs: 2.0, decay, ..TrainConfig::default() }).schedule.decay_from,
            Some(10)
        );
    }

    #[test]
    fn steps_and_warmup_steps_replace_epochs() {
        let train =
            TrainConfig { steps: Some(20), warmup_steps: Some(50), ..TrainConfig::default() };
        let plan = plan(&train);
        assert_eq!((plan.total, plan.schedule.warmup), (20, 20), "warm-up ends with the run");
    }

    /// After 10 of 30 steps, the batch is halved, so that 20 batches of 60 are over.
    #[test]
    fn a_run_with_another_batch_ends_with_the_same_epoch() {
        let train = TrainConfig { epochs: 3.0, ..TrainConfig::default() };
        let place = Place { batch: 4, images: 43, batches: 10 }.with(2, 43);
        let halved = train.plan(place, 10);
        assert_eq!((halved.steps_per_epoch, halved.batch(10), halved.epoch(10)), (21, 21, 1.0));
        assert_eq!(halved.total, 10 + 2 * 21);
        assert_eq!(halved.epoch(halved.total), 3.0);
        let rates = |plan: Plan, step| plan.schedule.learning_rate(step);
        assert_eq!(rates(halved, 10), rates(plan(&train), 10), "it goes on where it was");
        assert!(halved.is_due(Every::Epochs(1.0), 31, Duration::ZERO));
        assert!(halved.is_due(Every::Steps(4), 12, Duration::ZERO));
    }

    #[test]
    fn a_run_of_steps_ends_after_them_whatever_the_batch() {
        let train = TrainConfig { steps: Some(30), ..TrainConfig::default() };
        let place = Place { batch: 4, images: 43, batches: 10 }.with(2, 43);
        let (halved, whole) = (train.plan(place, 10), plan(&train));
        assert_eq!((halved.total, halved.epoch(10)), (30, 1.0));
        let rates =
            |plan: Plan| (10..30).map(|step| plan.schedule.learning_rate(step)).sum::<f64>();
        assert_eq!(rates(halved).to_bits(), {
            let warmup = halved.schedule.warmup;
            rates(Plan { schedule: Schedule { warmup, ..whole.schedule }, ..whole }).to_bits()
        });
    }

    #[test]
    fn a_run_that_is_over_has_fewer_steps_than_it_made() {
        let train = TrainConfig { epochs: 1.0, ..TrainConfig::default() };
        assert_eq!(train.plan(Place { batch: 4, images: 43, batches: 20 }, 20).total, 10);
        let doubled = Place { batch: 4, images: 43, batches: 20 }.with(8, 43);
        assert_eq!(train.plan(doubled, 20).total, 15, "5 of the 10 are left out");
        assert_eq!(train.plan(Place { batches: 0, ..doubled }, 20).total, 25);
    }
}
