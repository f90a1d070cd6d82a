//! How learning rate and weight decay change over a run.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The shape of the learning rate after warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Decay {
    /// Half a cosine down to the floor (Loshchilov and Hutter 2017).
    #[default]
    Cosine,
    /// A straight line down to the floor.
    Linear,
    /// No change.
    Constant,
}

/// The learning rate of every step: a linear warm-up from 0, then the decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Shape after warm-up.
    pub decay: Decay,
    /// Highest learning rate.
    pub peak: f64,
    /// Lowest learning rate after warm-up.
    pub floor: f64,
    /// Steps of warm-up.
    pub warmup: u64,
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
        if step < self.warmup {
            return self.peak * step as f64 / self.warmup as f64;
        }
        decayed(self.decay, self.peak, self.floor, self.progress(step))
    }

    /// The weight decay of a step: constant, or along half a cosine to `end` over the whole run (DINO).
    pub fn weight_decay(&self, start: f64, end: Option<f64>, step: u64) -> f64 {
        let Some(end) = end else { return start };
        let progress = (self.at(step) as f64 / self.total.max(1) as f64).min(1.0);
        decayed(Decay::Cosine, start, end, progress)
    }

    /// Share of the run after warm-up that is over at a place in the schedule, 0 to 1.
    fn progress(&self, step: u64) -> f64 {
        let length = self.total.saturating_sub(self.warmup).max(1);
        (step.saturating_sub(self.warmup) as f64 / length as f64).min(1.0)
    }
}

fn decayed(decay: Decay, start: f64, end: f64, progress: f64) -> f64 {
    match decay {
        Decay::Constant => start,
        Decay::Linear => end + (start - end) * (1.0 - progress),
        Decay::Cosine => end + (start - end) * 0.5 * (1.0 + (PI * progress).cos()),
    }
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
            lead: 0,
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
            let schedule = Schedule { decay, peak: 1.0, floor: 0.1, warmup: 2, total: 12, lead: 0 };
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
                lead: 0
            }
            .learning_rate(1)
                - 0.75)
                .abs()
                < 1e-12
        );
    }

    #[test]
    fn weight_decay_moves_to_its_end() {
        let schedule =
            Schedule { decay: Decay::Cosine, peak: 1.0, floor: 0.1, warmup: 2, total: 10, lead: 0 };
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
