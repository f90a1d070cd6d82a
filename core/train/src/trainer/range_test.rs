//! The learning-rate range test (Smith 2017): a few steps whose learning rate rises from one to the next, by the
//! same factor each time, and the loss at each. Nothing of it is kept but these figures.

use std::sync::atomic::{AtomicBool, Ordering};

use vitral_model::device::Device;

use super::{
    feed::Upload,
    parts::{Fresh, Parts},
    train_loader,
};
use crate::{
    Error, experiment::Experiment, plugins::Registry, ranks::Ranks, read_back::scalar,
    schedule::Decay,
};

/// Share of the steps on either side that a smoothed loss is the mean of.
const SMOOTHING: f64 = 0.05;
/// Weight of what was before in the mean by which divergence is found.
const MEMORY: f64 = 0.8;
/// The loss has diverged where that mean is so many times the lowest one.
const DIVERGED: f64 = 4.0;
/// Steps without which nothing is suggested.
const FEWEST: usize = 10;
/// Images that go through the model at once where the experiment leaves that open.
const AT_ONCE: usize = 16;

/// The learning rates of a range test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateRange {
    /// Of the first step, above 0.
    pub lowest: f64,
    /// Of the last step, above the first one's.
    pub highest: f64,
    /// How many steps there are, at least 2.
    pub steps: u64,
}

impl RateRange {
    /// The learning rate of a step, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        let share = step as f64 / (self.steps.max(2) - 1) as f64;
        self.lowest * (self.highest / self.lowest).powf(share)
    }
}

/// A step of a range test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatePoint {
    /// Its learning rate.
    pub learning_rate: f64,
    /// The loss before its update.
    pub loss: f64,
    /// The mean of the losses around it, the nearest of which count most.
    pub smoothed: f64,
}

/// What the figures of a range test say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuggestedRate {
    /// Where the smoothed loss falls fastest: the suggestion.
    pub steepest: f64,
    /// Where it is lowest, beyond which training would not go well.
    pub lowest: f64,
}

/// Makes the steps of a range test with an experiment's model, data, loss and optimizer, in place of its
/// schedule. It ends early where the loss diverges, or `stop` is set. `each` is called after every step.
///
/// # Errors
/// As [`Trainer::new`](super::Trainer::new) and [`Trainer::run`](super::Trainer::run).
pub fn range_test(
    mut experiment: Experiment,
    registry: &Registry,
    device: &Device,
    range: RateRange,
    stop: &AtomicBool,
    mut each: impl FnMut(),
) -> Result<Vec<RatePoint>, Error> {
    let train = &mut experiment.train;
    (train.steps, train.decay, train.learning_rate) = (Some(range.steps), Decay::Constant, 1.0);
    (train.warmup_steps, train.warmup_epochs, train.warmup_learning_rate) = (Some(0), 0.0, 0.0);
    (train.min_learning_rate, train.warmup_prefix) = (0.0, true);
    train.prune = None;
    experiment.monitors.clear();
    let Fresh { parts, .. } = Fresh::open(&Ranks::default(), experiment, registry, device)?;
    let Parts { experiment, datasets, mut learner, stages, .. } = parts;
    let batch = &experiment.train.batch;
    if batch.is_auto() {
        learner.set_micro_batch(batch.effective().min(AT_ONCE));
    }
    learner.set_patch_dropout(experiment.patch_dropout_at(0.0));
    let upload = Upload::new(&experiment, &learner, device);
    let mut loader = train_loader(&experiment, &datasets.train, stages, 0..range.steps)?;
    let (mut losses, mut recent) = (Vec::new(), None::<f64>);
    let mut lowest = f64::INFINITY;
    for step in 0..range.steps {
        let Some(batch) = loader.next() else { break };
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut batch = batch?;
        let on_device = upload.batch(&mut batch)?;
        loader.recycle(batch);
        let learning_rate = range.rate(step);
        let gradients =
            learner.gradients_within_memory(step, on_device.images, on_device.targets)?;
        if learner.overflowed(&gradients)? {
            learner.skip(gradients);
            continue;
        }
        let learned = learner.apply(step, gradients, learning_rate)?;
        let loss = f64::from(scalar(learned.loss)?);
        if !loss.is_finite() {
            break;
        }
        losses.push((learning_rate, loss));
        each();
        let mean = recent.map_or(loss, |recent| MEMORY * recent + (1.0 - MEMORY) * loss);
        recent = Some(mean);
        lowest = lowest.min(mean);
        if mean > DIVERGED * lowest {
            break;
        }
    }
    Ok(smoothed(&losses))
}

/// The points of learning rates and losses, each loss with the mean of those around it, the nearest of which count
/// most.
fn smoothed(losses: &[(f64, f64)]) -> Vec<RatePoint> {
    let reach = ((losses.len() as f64 * SMOOTHING).round() as usize).max(1);
    let point = |(at, &(learning_rate, loss)): (usize, &(f64, f64))| {
        let around = at.saturating_sub(reach)..losses.len().min(at + reach + 1);
        let (mut sum, mut weights) = (0.0, 0.0);
        for other in around {
            let weight = (1 + reach - at.abs_diff(other)) as f64;
            sum += weight * losses[other].1;
            weights += weight;
        }
        RatePoint { learning_rate, loss, smoothed: sum / weights }
    };
    losses.iter().enumerate().map(point).collect()
}

/// What the figures of a range test say; nothing where there are too few, or the loss only rises.
pub fn suggested_rate(points: &[RatePoint]) -> Option<SuggestedRate> {
    let least = |points: &[RatePoint]| {
        let numbered = points.iter().enumerate();
        let least = numbered.min_by(|(_, one), (_, other)| one.smoothed.total_cmp(&other.smoothed));
        least.map(|(at, _)| at)
    };
    if points.len() < FEWEST {
        return None;
    }
    // The mean of the first few says little.
    let first = points.len() / 10;
    let lowest = first + least(points.get(first..)?)?;
    // Over a tenth of the steps, so that no single batch decides.
    let width = (points.len() / 10).max(2);
    let fall = |at: usize| {
        let (from, to) = (&points[at], &points[at + width]);
        (from.smoothed - to.smoothed) / (to.learning_rate / from.learning_rate).ln()
    };
    let steepest = (first..(lowest + 1).saturating_sub(width))
        .filter(|&at| fall(at) > 0.0)
        .max_by(|&one, &other| fall(one).total_cmp(&fall(other)))?;
    let [from, to] = [steepest, steepest + width].map(|at| points[at].learning_rate);
    let steepest = (from * to).sqrt();
    Some(SuggestedRate { steepest, lowest: points[lowest].learning_rate })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(loss: impl Fn(f64) -> f64) -> Vec<RatePoint> {
        let range = RateRange { lowest: 1e-6, highest: 1.0, steps: 121 };
        let point = |step| {
            let learning_rate = range.rate(step);
            let loss = loss(learning_rate.log10());
            RatePoint { learning_rate, loss, smoothed: loss }
        };
        (0..range.steps).map(point).collect()
    }

    #[test]
    fn rates_rise_by_the_same_factor() {
        let range = RateRange { lowest: 1e-4, highest: 1.0, steps: 5 };
        for (step, expected) in [1e-4, 1e-3, 1e-2, 1e-1, 1.0].into_iter().enumerate() {
            assert!((range.rate(step as u64) / expected - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn the_suggestion_is_where_the_loss_falls_fastest() {
        // A logistic fall around 1e-3, and a rise from 1e-1 on.
        let loss = |x: f64| 2.0 / (1.0 + ((x + 3.0) * 4.0).exp()) + (x + 1.0).max(0.0).powi(2);
        let found = suggested_rate(&points(loss)).unwrap();
        assert!((found.steepest.log10() + 3.0).abs() < 0.1, "{found:?}");
        assert!((found.lowest.log10() + 1.0).abs() < 0.3, "{found:?}");
        assert_eq!(suggested_rate(&points(|x| x)), None, "it only rises");
        assert_eq!(suggested_rate(&[]), None);
        assert_eq!(suggested_rate(&points(loss)[..3]), None);
    }

    #[test]
    fn a_smoothed_loss_is_the_mean_of_those_around_it() {
        // Of 40 losses, two on either side.
        let mut losses: Vec<(f64, f64)> = (0..40).map(|n| (f64::from(n), 1.0)).collect();
        losses[20].1 = 10.0;
        let found = smoothed(&losses);
        for (at, weight) in [(17, 0.0), (18, 1.0), (19, 2.0), (20, 3.0), (21, 2.0), (23, 0.0)] {
            assert!((found[at].smoothed - (1.0 + weight)).abs() < 1e-12, "{at}: {:?}", found[at]);
        }
        assert_eq!((found[20].loss, found[0].smoothed), (10.0, 1.0));
        assert!(smoothed(&[]).is_empty());
    }
}
