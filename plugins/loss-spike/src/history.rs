//! What the loss usually is: its median, and how far it usually lies from it.
//!
//! Both are medians, so that a few spikes among the losses do not change them.

use std::collections::VecDeque;

/// The deviation of normally distributed values, in median absolute deviations.
const NORMAL: f64 = 1.4826;

/// Deviations are no smaller than this share of the median: losses that hardly move would otherwise
/// make anything a spike.
const SMALLEST: f64 = 1e-3;

/// Nor smaller than this, where the median is zero.
const LEAST: f64 = 1e-9;

/// The last losses.
#[derive(Clone, Debug)]
pub(crate) struct History {
    losses: VecDeque<f64>,
    window: usize,
}

/// What the loss usually is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usual {
    pub median: f64,
    deviation: f64,
}

impl Usual {
    /// How many deviations a loss lies above the median.
    pub fn deviations(&self, loss: f64) -> f64 {
        (loss - self.median) / self.deviation
    }
}

impl History {
    pub fn new(window: usize) -> Self {
        Self { losses: VecDeque::new(), window }
    }

    /// Adds a loss, and forgets the one before the window. Losses that are not finite say nothing of
    /// what is usual.
    pub fn add(&mut self, loss: f64) {
        if !loss.is_finite() {
            return;
        }
        self.losses.push_back(loss);
        if self.losses.len() > self.window {
            self.losses.pop_front();
        }
    }

    /// From the oldest on.
    pub fn losses(&self) -> impl Iterator<Item = f64> {
        self.losses.iter().copied()
    }

    /// What the loss usually is; none while half of the window is empty.
    pub fn usual(&self) -> Option<Usual> {
        if self.losses.len() < self.window.div_ceil(2) {
            return None;
        }
        let median = median(self.losses());
        let spread = median_of_distances(self.losses(), median);
        let deviation = (NORMAL * spread).max(SMALLEST * median.abs()).max(LEAST);
        Some(Usual { median, deviation })
    }
}

fn median_of_distances(losses: impl Iterator<Item = f64>, from: f64) -> f64 {
    median(losses.map(|loss| (loss - from).abs()))
}

/// The value in the middle, or between the two there; 0 if there are none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[middle],
        // Halved first, so that the sum of large values is finite.
        _ => values[middle - 1] / 2.0 + values[middle] / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(losses: &[f64]) -> History {
        let mut history = History::new(5);
        losses.iter().for_each(|&loss| history.add(loss));
        history
    }

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert_eq!(median([f64::MAX, f64::MAX].into_iter()), f64::MAX);
        assert_eq!(median(std::iter::empty()), 0.0);
    }

    #[test]
    fn what_is_usual_needs_half_a_window() {
        assert_eq!(history(&[1.0, 2.0]).usual(), None);
        let usual = history(&[1.0, 2.0, 3.0]).usual().unwrap();
        assert_eq!((usual.median, usual.deviation), (2.0, NORMAL));
        assert_eq!(usual.deviations(2.0 + 3.0 * NORMAL), 3.0);
    }

    #[test]
    fn a_spike_does_not_change_what_is_usual() {
        let usual = history(&[1.0, 2.0, 1e30, 3.0, 2.0]).usual().unwrap();
        assert_eq!((usual.median, usual.deviation), (2.0, NORMAL));
    }

    #[test]
    fn only_the_window_counts() {
        let history = history(&[9.0, 9.0, 1.0, f64::NAN, 1.0, 2.0, 3.0, f64::INFINITY, 2.0]);
        assert_eq!(history.losses().collect::<Vec<_>>(), [1.0, 1.0, 2.0, 3.0, 2.0]);
    }

    #[test]
    fn losses_that_stand_still_have_a_deviation() {
        let deviation = |loss| history(&[loss; 5]).usual().unwrap().deviation;
        assert_eq!(deviation(2.0), 2.0 * SMALLEST);
        assert_eq!(deviation(0.0), LEAST);
    }
}
