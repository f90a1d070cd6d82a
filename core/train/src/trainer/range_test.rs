//! The learning-rate range test (Smith 2017): a few steps whose learning rate rises from one to the next, by the
//! same factor each time, and the loss at each. Nothing of it is kept but these figures.

use std::sync::atomic::{AtomicBool, Ordering};

use vitral_model::device::Device;

use super::{
    feed::Upload,
    open::{Fresh, Parts},
    train_loader,
};
use crate::{
    Error, experiment::Experiment, plugins::Registry, ranks::Ranks, read_back::scalar,
    schedule::Decay,
};

/// Weight of what was before in the smoothed loss.
const SMOOTHING: f64 = 0.95;
/// The loss has diverged where it is so many times the lowest one.
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
    /// The mean of the losses until then, the older the less.
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
/// schedule. It ends early where the loss diverges, or `stop` is set. `each` is given every step's figures.
///
/// # Errors
/// As [`Trainer::new`](super::Trainer::new) and [`Trainer::run`](super::Trainer::run).
pub fn range_test(
    mut experiment: Experiment,
    registry: &Registry,
    device: &Device,
    range: RateRange,
    stop: &AtomicBool,
    mut each: impl FnMut(&RatePoint),
) -> Result<Vec<RatePoint>, Error> {
    let train = &mut experiment.train;
    (train.steps, train.decay, train.learning_rate) = (Some(range.steps), Decay::Constant, 1.0);
    (train.warmup_steps, train.warmup_epochs, train.warmup_learning_rate) = (Some(0), 0.0, 0.0);
    (train.min_learning_rate, train.warmup_prefix) = (0.0, true);
    experiment.monitors.clear();
    let Fresh { parts, .. } = Fresh::open(&Ranks::default(), experiment, registry, device)?;
    let Parts { experiment, datasets, mut learner, stages, .. } = parts;
    let batch = &experiment.train.batch;
    if batch.is_auto() {
        learner.set_micro_batch(batch.effective().min(AT_ONCE));
    }
    learner.set_patch_dropout(experiment.patch_dropout_at(0.0));
    let upload = Upload::new(&experiment, device);
    let mut loader = train_loader(&experiment, &datasets.train, stages, 0..range.steps)?;
    let mut smoothed = Smoothed::default();
    let mut points: Vec<RatePoint> = Vec::new();
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
        let point = RatePoint { learning_rate, loss, smoothed: smoothed.next(loss) };
        points.push(point);
        each(&point);
        lowest = lowest.min(point.smoothed);
        if point.smoothed > DIVERGED * lowest {
            break;
        }
    }
    Ok(points)
}

/// A mean in which what is older counts less, without a bias towards 0 at the start (Kingma and Ba 2015).
#[derive(Default)]
struct Smoothed {
    sum: f64,
    weight: f64,
}

impl Smoothed {
    fn next(&mut self, value: f64) -> f64 {
        self.sum = SMOOTHING * self.sum + (1.0 - SMOOTHING) * value;
        self.weight = SMOOTHING * self.weight + (1.0 - SMOOTHING);
        self.sum / self.weight
    }
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
    fn the_first_loss_is_its_own_mean() {
        let mut smoothed = Smoothed::default();
        assert!((smoothed.next(3.0) - 3.0).abs() < 1e-12);
        let expected = (0.05 * 1.0 + 0.95 * 0.05 * 3.0) / (0.05 + 0.95 * 0.05);
        assert!((smoothed.next(1.0) - expected).abs() < 1e-12);
    }
}
