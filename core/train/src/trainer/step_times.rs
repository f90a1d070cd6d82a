//! How long a rank takes for its part of a step, by which others know that it hangs.

use std::{collections::VecDeque, time::Duration};

/// Steps that say how long the next one takes, and how many of them there have to be.
const JUDGED: usize = 21;
const LEAST: usize = 3;
/// How many times longer than the median it may take, and at least how long.
const TIMES: f64 = 10.0;
const GRACE: Duration = Duration::from_secs(25);

/// What has a say in how long steps take, and whether a device has to compile something for them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kind {
    pub(super) images: [usize; 4],
    pub(super) patch_dropout: f64,
    pub(super) parameters: usize,
}

/// The time of a rank's last steps, waiting left out.
#[derive(Debug, Default)]
pub(super) struct StepTimes {
    of: Option<Kind>,
    seconds: VecDeque<f64>,
}

impl StepTimes {
    /// How long a step of this kind may take, once some were made.
    pub(super) fn within(&mut self, kind: Kind) -> Option<Duration> {
        if self.of.replace(kind) != Some(kind) {
            self.seconds.clear();
        }
        if self.seconds.len() < LEAST {
            return None;
        }
        let mut sorted: Vec<f64> = self.seconds.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        // Of what cannot be counted, as long as can be.
        Some(
            Duration::try_from_secs_f64(TIMES * median)
                .map_or(Duration::MAX, |time| time.max(GRACE)),
        )
    }

    /// One was made.
    pub(super) fn add(&mut self, time: Duration) {
        if self.seconds.len() == JUDGED {
            self.seconds.pop_front();
        }
        self.seconds.push_back(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_may_take_ten_times_as_long_as_the_last_ones() {
        let kind = Kind { images: [8, 4, 4, 3], patch_dropout: 0.0, parameters: 9 };
        let mut times = StepTimes::default();
        for time in [9, 9, 9] {
            assert_eq!(times.within(kind), None, "nobody knows");
            times.add(Duration::from_secs(time));
        }
        assert_eq!(times.within(kind), Some(Duration::from_secs(90)));
        (0..JUDGED).for_each(|_| times.add(Duration::from_millis(10)));
        assert_eq!(times.within(kind), Some(GRACE), "a short one may take a while, too");
        // Kernels may have to be compiled for it.
        let larger = Kind { images: [8, 8, 8, 3], ..kind };
        assert_eq!(times.within(larger), None);
        assert_eq!(times.within(kind), None);
    }
}
