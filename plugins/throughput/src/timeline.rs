//! What steps took: the last ones one by one, all of them in sum.

use std::collections::VecDeque;

use vitral_sdk::Step;
use vitral_sdk::prelude::*;

use vitral_sdk::state::{Reader, Writer};

/// What a step took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Took {
    images: u32,
    seconds: f64,
    wait: f64,
}

/// What several steps took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    pub steps: u64,
    images: u64,
    pub seconds: f64,
    pub wait: f64,
}

/// What the steps of a run took.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    window: usize,
    last: VecDeque<Took>,
    whole: Sum,
}

impl Took {
    /// None if the times make no sense, as a clock that is set may have it.
    pub fn of(step: &Step) -> Option<Self> {
        let (seconds, wait) = (step.timings.total, step.timings.data_wait);
        let makes_sense = seconds.is_finite() && seconds > 0.0 && wait.is_finite();
        makes_sense.then(|| Self { images: step.images, seconds, wait: wait.clamp(0.0, seconds) })
    }
}

impl Sum {
    fn add(&mut self, took: Took) {
        self.steps += 1;
        self.images += u64::from(took.images);
        self.seconds += took.seconds;
        self.wait += took.wait;
    }

    /// Images each second; none without steps.
    pub fn speed(&self) -> Option<f64> {
        (self.steps > 0).then(|| self.images as f64 / self.seconds)
    }
}

impl Timeline {
    pub fn new(window: usize) -> Self {
        Self { window, last: VecDeque::new(), whole: Sum::default() }
    }

    pub fn add(&mut self, took: Took) {
        self.whole.add(took);
        self.last.push_back(took);
        if self.last.len() > self.window {
            self.last.pop_front();
        }
    }

    /// Forgets the last steps one by one: another process goes on.
    pub fn start_anew(&mut self) {
        self.last.clear();
    }

    /// The last steps.
    pub fn running(&self) -> Sum {
        let mut sum = Sum::default();
        self.last.iter().for_each(|&took| sum.add(took));
        sum
    }

    /// All steps.
    pub fn whole(&self) -> Sum {
        self.whole
    }

    /// The least time within which this percentage of the last steps were made; 0 without steps.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut seconds: Vec<_> = self.last.iter().map(|took| took.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let rank = (percent * seconds.len()).div_ceil(100);
        seconds.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    pub fn save(&self, state: &mut Writer) {
        state.put("images", self.last.iter().map(|took| took.images));
        state.put("seconds", self.last.iter().map(|took| took.seconds));
        state.put("wait", self.last.iter().map(|took| took.wait));
        state.put("whole_steps", [self.whole.steps]);
        state.put("whole_images", [self.whole.images]);
        state.put("whole_seconds", [self.whole.seconds]);
        state.put("whole_wait", [self.whole.wait]);
    }

    /// The newest steps of a state, if it has more than the window.
    pub fn restore(window: usize, state: &Reader<'_>) -> Result<Self> {
        let images: Vec<u32> = state.list("images")?;
        let seconds: Vec<f64> = state.list("seconds")?;
        let wait: Vec<f64> = state.list("wait")?;
        if images.len() != seconds.len() || images.len() != wait.len() {
            bail!("the saved state has figures for some steps only");
        }
        let steps = images.into_iter().zip(seconds).zip(wait);
        let last = steps.map(|((images, seconds), wait)| Took { images, seconds, wait });
        let last: Vec<_> = last.collect();
        let newest = &last[last.len().saturating_sub(window)..];
        let whole = Sum {
            steps: state.one("whole_steps")?,
            images: state.one("whole_images")?,
            seconds: state.one("whole_seconds")?,
            wait: state.one("whole_wait")?,
        };
        Ok(Self { window, last: newest.iter().copied().collect(), whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(seconds: &[f64]) -> Timeline {
        let mut timeline = Timeline::new(4);
        let took = |&seconds| Took { images: 10, seconds, wait: seconds / 4.0 };
        seconds.iter().map(took).for_each(|took| timeline.add(took));
        timeline
    }

    #[test]
    fn the_window_moves_and_the_sum_stays() {
        let timeline = timeline(&[100.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(timeline.running(), Sum { steps: 4, images: 40, seconds: 4.0, wait: 1.0 });
        assert_eq!(timeline.running().speed(), Some(10.0));
        assert_eq!(timeline.whole(), Sum { steps: 5, images: 50, seconds: 104.0, wait: 26.0 });
        assert_eq!(Sum::default().speed(), None);
    }

    #[test]
    fn percentiles_are_times_of_steps() {
        let timeline = timeline(&[4.0, 1.0, 3.0, 2.0]);
        let percentiles = [0, 25, 26, 50, 95, 100].map(|percent| timeline.percentile(percent));
        assert_eq!(percentiles, [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]);
        assert_eq!(Timeline::new(4).percentile(50), 0.0);
    }
}
