//! How many workers and batches ahead a loader needs, found while it runs.

use std::time::Duration;

/// Batches after which is decided.
const ROUND: u32 = 8;

/// Share of the time that may be spent waiting: 0.5%.
const MAY_WAIT: f64 = 0.005;

/// A change that does not make batches come faster by as much as this was the last.
const WORTH: f64 = 1.02;

/// What is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// One more worker.
    Workers,
    /// Twice as many batches ahead.
    Window,
}

/// Limits, where they are not set by the experiment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most workers where they compute.
    pub workers: usize,
    /// Most workers where they wait for a disk or a network most of the time.
    pub readers: usize,
    /// Most batches ahead.
    pub window: usize,
}

/// Watches how long batches are waited for, and asks for more where that helps.
pub(crate) struct Tuner {
    limits: Limits,
    batches: u32,
    waited: Duration,
    elapsed: Duration,
    /// Batches per second before the last change.
    rate_before: Option<f64>,
    settled: bool,
}

impl Tuner {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            batches: 0,
            waited: Duration::ZERO,
            elapsed: Duration::ZERO,
            rate_before: None,
            settled: false,
        }
    }

    /// Notes a batch that came `elapsed` after the one before, `waited` of it by waiting, and says what
    /// is to be changed. `reading` is the share of the workers' time that goes into reading.
    pub fn batch(
        &mut self,
        waited: Duration,
        elapsed: Duration,
        (workers, window): (usize, usize),
        reading: impl FnOnce() -> f64,
    ) -> Option<Change> {
        if self.settled {
            return None;
        }
        self.batches += 1;
        self.waited += waited;
        self.elapsed += elapsed;
        if self.batches < ROUND || self.elapsed.is_zero() {
            return None;
        }
        let rate = f64::from(self.batches) / self.elapsed.as_secs_f64();
        let waits = self.waited.as_secs_f64() > MAY_WAIT * self.elapsed.as_secs_f64();
        (self.batches, self.waited, self.elapsed) = (0, Duration::ZERO, Duration::ZERO);
        let change = self.change(waits, rate, workers, window, reading);
        if change.is_some() {
            self.rate_before = Some(rate);
        }
        change
    }

    fn change(
        &mut self,
        waits: bool,
        rate: f64,
        workers: usize,
        window: usize,
        reading: impl FnOnce() -> f64,
    ) -> Option<Change> {
        if !waits {
            // The next change is judged by how things are then.
            self.rate_before = None;
            return None;
        }
        if self.rate_before.is_some_and(|before| rate < before * WORTH) {
            self.settled = true;
            return None;
        }
        let most = if reading() > 0.5 { self.limits.readers } else { self.limits.workers };
        if workers < most {
            Some(Change::Workers)
        } else if window < self.limits.window {
            Some(Change::Window)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { workers: 2, readers: 8, window: 16 };

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// What a whole round with the same times for each batch leads to.
    fn round(
        tuner: &mut Tuner,
        waited: u64,
        elapsed: u64,
        now: (usize, usize),
        reading: f64,
    ) -> Option<Change> {
        let mut batch =
            || tuner.batch(milliseconds(waited), milliseconds(elapsed), now, || reading);
        for _ in 1..ROUND {
            assert_eq!(batch(), None);
        }
        batch()
    }

    #[test]
    fn nothing_changes_while_nobody_waits() {
        let mut tuner = Tuner::new(LIMITS);
        for _ in 0..5 {
            assert_eq!(round(&mut tuner, 0, 10, (1, 4), 0.9), None);
        }
    }

    #[test]
    fn workers_come_until_the_processor_is_full_and_then_batches_ahead() {
        let mut tuner = Tuner::new(LIMITS);
        assert_eq!(round(&mut tuner, 5, 100, (1, 4), 0.1), Some(Change::Workers));
        assert_eq!(round(&mut tuner, 5, 60, (2, 4), 0.1), Some(Change::Window));
        assert_eq!(round(&mut tuner, 5, 50, (2, 16), 0.1), None);
    }

    #[test]
    fn slow_reading_takes_more_workers() {
        let mut tuner = Tuner::new(LIMITS);
        assert_eq!(round(&mut tuner, 5, 100, (2, 4), 0.8), Some(Change::Workers));
        assert_eq!(round(&mut tuner, 5, 80, (8, 8), 0.8), Some(Change::Window));
    }

    #[test]
    fn what_does_not_help_is_the_last_change() {
        let mut tuner = Tuner::new(LIMITS);
        assert_eq!(round(&mut tuner, 5, 100, (1, 4), 0.1), Some(Change::Workers));
        assert_eq!(round(&mut tuner, 5, 100, (2, 4), 0.1), None);
        assert_eq!(round(&mut tuner, 5, 100, (2, 4), 0.1), None);
    }
}
