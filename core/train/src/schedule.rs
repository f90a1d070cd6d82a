//! How learning rate and weight decay change over a run.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The shape of the learning rate after warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Decay {
    /// Half a cosine down to the floor (Loshchilov and Hutter 2017).
    #[default]
    Cosine,
    /// A straight line down to the floor.
    Linear,
    /// No change.
    Constant,
    /// Constant until the last epochs, over which it falls to the floor (warm-up, stable, decay; Hu
    /// et al. 2024). A run without an end in sight cools down from any of its checkpoints, as it
    /// has the same rate until then: `train --resume RUN --set output=... --set train.epochs=...`.
    WarmupStableDecay {
        /// Epochs at the end of the run in which the learning rate falls.
        #[schemars(range(min = 0.000_001, max = 100_000.0))]
        #[schemars(extend("otherNames" = ["cooldown_epochs", "decay_epochs"]))]
        epochs: f64,
        /// How it falls.
        #[serde(default)]
        shape: Cooldown,
    },
}

/// How the learning rate falls at the end of `WarmupStableDecay`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Cooldown {
    /// A straight line.
    #[default]
    Linear,
    /// Half a cosine.
    Cosine,
    /// One minus the root of the share that is over, fast at first (Hägele et al. 2024).
    Root,
}

/// When the learning rate changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScheduleOn {
    /// At each step.
    #[default]
    Steps,
    /// At the start of each epoch; it is constant within one.
    Epochs,
    /// At the end of each epoch, by that epoch's number, so that the first two epochs have the same
    /// rate (DeiT's training loop).
    EpochEnds,
}

/// The learning rate of every step: a linear warm-up, then the decay.
/// ```
/// use vitral_train::schedule::{Decay, Schedule};
///
/// let schedule =
///     Schedule { decay: Decay::Linear, peak: 1e-3, warmup: 10, total: 110, ..Schedule::default() };
/// assert_eq!(schedule.learning_rate(5), 0.5e-3);
/// assert_eq!(schedule.learning_rate(10), 1e-3);
/// assert_eq!(schedule.learning_rate(60), 0.5e-3);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Schedule {
    /// Shape after warm-up.
    pub decay: Decay,
    /// Learning rate that the warm-up starts with.
    pub start: f64,
    /// Highest learning rate.
    pub peak: f64,
    /// Lowest learning rate after warm-up.
    pub floor: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// The step that the decay is counted from; none is the end of the warm-up.
    pub decay_from: Option<u64>,
    /// Steps for which the learning rate stays; 0 is as 1.
    pub interval: u64,
    /// Steps that the learning rate is behind.
    pub lag: u64,
    /// Steps of the schedule.
    pub total: u64,
    /// How much further the schedule is than the steps that were made: 0, unless a run went on with
    /// other batches, of which more or fewer would have been made by then.
    pub lead: i64,
}

impl Schedule {
    /// The place in the schedule at which a step is made; both are counted from 0.
    fn at(&self, step: u64) -> u64 {
        step.saturating_add_signed(self.lead)
    }

    /// The learning rate of a step, counted from 0; as vit_jax, the very first step of a warm-up
    /// has rate 0.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let step = self.at(step);
        let step = (step - step % self.interval.max(1)).saturating_sub(self.lag);
        if step < self.warmup {
            let rise = self.peak - self.start;
            return self.start + rise * step as f64 / self.warmup as f64;
        }
        decayed(self.decay, self.peak, self.floor, self.progress(step))
    }

    /// The weight decay of a step: constant, or along half a cosine to `end` over the whole run (DINO).
    pub fn weight_decay(&self, start: f64, end: Option<f64>, step: u64) -> f64 {
        let Some(end) = end else { return start };
        let progress = (self.at(step) as f64 / self.total.max(1) as f64).min(1.0);
        decayed(Decay::Cosine, start, end, progress)
    }

    /// Share of the decay that is over at a place in the schedule, 0 to 1.
    fn progress(&self, step: u64) -> f64 {
        let from = self.decay_from.unwrap_or(self.warmup);
        let length = self.total.saturating_sub(from).max(1);
        (step.saturating_sub(from) as f64 / length as f64).min(1.0)
    }
}

fn decayed(decay: Decay, start: f64, end: f64, progress: f64) -> f64 {
    let left = match decay {
        Decay::Constant => return start,
        Decay::Linear | Decay::WarmupStableDecay { shape: Cooldown::Linear, .. } => 1.0 - progress,
        Decay::Cosine | Decay::WarmupStableDecay { shape: Cooldown::Cosine, .. } => {
            0.5 * (1.0 + (PI * progress).cos())
        }
        Decay::WarmupStableDecay { shape: Cooldown::Root, .. } => 1.0 - progress.sqrt(),
    };
    end + (start - end) * left
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The learning rates of google-research/vision_transformer's own schedule, from the oracle.
    #[test]
    fn cosine_with_warmup_equals_vit_jax() {
        let schedule = Schedule {
            decay: Decay::Cosine,
            peak: 0.03,
            floor: 0.0,
            warmup: 5,
            total: 20,
            ..Schedule::default()
        };
        let oracle = [
            (0, 0.0),
            (1, 0.006),
            (4, 0.024),
            (5, 0.03),
            (6, 0.029_672_212_898_731_23),
            (10, 0.022_499_999_031_424_522),
            (19, 0.000_327_785_615_809_261_8),
            (20, 0.0),
        ];
        for (step, expected) in oracle {
            let found = schedule.learning_rate(step);
            assert!((found - expected).abs() < 3e-9, "step {step}: {found} is not {expected}");
        }
    }

    #[test]
    fn every_decay_starts_at_the_peak_and_ends_at_its_floor() {
        for (decay, end) in [(Decay::Cosine, 0.1), (Decay::Linear, 0.1), (Decay::Constant, 1.0)] {
            let schedule = Schedule {
                decay,
                peak: 1.0,
                floor: 0.1,
                warmup: 2,
                total: 12,
                ..Schedule::default()
            };
            assert!((schedule.learning_rate(1) - 0.5).abs() < 1e-12);
            assert!((schedule.learning_rate(2) - 1.0).abs() < 1e-12);
            assert!((schedule.learning_rate(12) - end).abs() < 1e-12);
            assert!((schedule.learning_rate(500) - end).abs() < 1e-12);
        }
        assert!(
            (Schedule {
                decay: Decay::Linear,
                peak: 1.0,
                floor: 0.0,
                warmup: 0,
                total: 4,
                ..Schedule::default()
            }
            .learning_rate(1)
                - 0.75)
                .abs()
                < 1e-12
        );
    }

    /// timm's `CosineLRScheduler(t_initial=8, warmup_t=2, warmup_lr_init=0.1, lr_min=0.2)` of a rate of
    /// 1.0, whose decay runs under the warm-up.
    #[test]
    fn by_epochs_and_from_the_start_it_is_timms() {
        let schedule = Schedule {
            start: 0.1,
            peak: 1.0,
            floor: 0.2,
            warmup: 20,
            total: 80,
            decay_from: Some(0),
            interval: 10,
            ..Schedule::default()
        };
        let cosine = |epoch: f64| 0.2 + 0.8 * 0.5 * (1.0 + (PI * epoch / 8.0).cos());
        for (step, expected) in [
            (0, 0.1),
            (9, 0.1),
            (10, 0.55),
            (19, 0.55),
            (20, cosine(2.0)),
            (29, cosine(2.0)),
            (75, cosine(7.0)),
            (80, 0.2),
        ] {
            let found = schedule.learning_rate(step);
            assert!((found - expected).abs() < 1e-12, "step {step}: {found} is not {expected}");
            let late = Schedule { lag: 10, ..schedule }.learning_rate(step + 10);
            assert_eq!(late, found, "an epoch later");
        }
    }

    #[test]
    fn warmup_stable_decay_falls_at_the_end_alone() {
        for (shape, middle) in [
            (Cooldown::Linear, 0.5),
            (Cooldown::Cosine, 0.5),
            (Cooldown::Root, 1.0 - 0.5f64.sqrt()),
        ] {
            let schedule = Schedule {
                decay: Decay::WarmupStableDecay { epochs: 2.0, shape },
                peak: 1.0,
                warmup: 2,
                decay_from: Some(16),
                total: 20,
                ..Schedule::default()
            };
            let rates = [1, 2, 9, 16, 18, 20, 30].map(|step| schedule.learning_rate(step));
            for (found, expected) in rates.iter().zip([0.5, 1.0, 1.0, 1.0, middle, 0.0, 0.0]) {
                assert!((found - expected).abs() < 1e-12, "{shape:?}: {rates:?}");
            }
        }
    }

    #[test]
    fn weight_decay_moves_to_its_end() {
        let schedule = Schedule {
            decay: Decay::Cosine,
            peak: 1.0,
            floor: 0.1,
            warmup: 2,
            total: 10,
            ..Schedule::default()
        };
        assert_eq!(schedule.weight_decay(0.05, None, 7), 0.05);
        assert!((schedule.weight_decay(0.0, Some(0.4), 5) - 0.2).abs() < 1e-12);
        assert!((schedule.weight_decay(0.0, Some(0.4), 10) - 0.4).abs() < 1e-12);
    }

    /// As after 10 of 40 steps, when the batch was halved: 20 of 80.
    #[test]
    fn a_schedule_can_be_ahead_of_the_steps_or_behind() {
        let schedule = |lead| Schedule {
            decay: Decay::Cosine,
            peak: 1.0,
            floor: 0.1,
            warmup: 25,
            total: 80,
            lead,
            ..Schedule::default()
        };
        for (lead, step) in [(10, 10u64), (10, 12), (10, 50), (-10, 30), (-10, 95)] {
            let at = step.checked_add_signed(lead).unwrap();
            assert_eq!(schedule(lead).learning_rate(step), schedule(0).learning_rate(at));
            let decay = |lead, step| schedule(lead).weight_decay(0.1, Some(0.4), step);
            assert_eq!(decay(lead, step), decay(0, at));
        }
        assert_eq!(schedule(-10).learning_rate(3), 0.0, "it never goes below its start");
    }
}
