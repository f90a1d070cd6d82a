//! Where the time of loading goes: stage by stage in the workers, and how long their batches were
//! waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Stages before the first transform.
const READ: usize = 0;
const DECODE: usize = 1;
const TRANSFORMS: usize = 2;

/// What a loader's work has taken since it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderTimings {
    /// Time that all workers together spent in each stage, in the order of the stages: `read`, `decode`,
    /// the transforms by their names as in an experiment (a plugin by its own), and `assemble`, what
    /// brings the image into its batch. What a source decodes itself counts as `read`.
    pub stages: Vec<(String, Duration)>,
    /// How long the batches that were asked for were not ready yet. The first is left out, since
    /// nothing could be done ahead of it.
    pub wait: Duration,
    /// Time from the first batch to the last, of which `wait` is a part.
    pub elapsed: Duration,
    /// Worker threads now.
    pub workers: usize,
    /// Batches made ahead now.
    pub prefetch: usize,
}

impl LoaderTimings {
    /// Share of the time, from 0 to 1, in which the next batch was waited for.
    pub fn waiting_share(&self) -> f64 {
        if self.elapsed.is_zero() {
            return 0.0;
        }
        self.wait.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// The stage that takes workers longest, and its share of their time from 0 to 1.
    pub fn bottleneck(&self) -> Option<(&str, f64)> {
        bottleneck(&self.stages)
    }
}

/// The stage of the longest time, and its share of all from 0 to 1; none if no time was taken.
pub fn bottleneck(stages: &[(String, Duration)]) -> Option<(&str, f64)> {
    let total: Duration = stages.iter().map(|(_, time)| time).sum();
    let (name, time) = stages.iter().max_by_key(|(_, time)| time)?;
    (!total.is_zero()).then(|| (name.as_str(), time.as_secs_f64() / total.as_secs_f64()))
}

/// Time spent in each stage by all workers.
pub(crate) struct StageClock {
    names: Arc<[String]>,
    nanoseconds: Vec<AtomicU64>,
}

impl StageClock {
    /// For transforms of these names.
    pub fn new<'n>(transforms: impl Iterator<Item = &'n str>) -> Self {
        let names: Arc<[String]> = ["read", "decode"]
            .into_iter()
            .chain(transforms)
            .chain(["assemble"])
            .map(str::to_owned)
            .collect();
        let nanoseconds = names.iter().map(|_| AtomicU64::new(0)).collect();
        Self { names, nanoseconds }
    }

    /// A worker's own times, all zero.
    pub fn laps(&self) -> Laps {
        let times = vec![Duration::ZERO; self.names.len()];
        Laps { last: Instant::now(), times, names: Arc::clone(&self.names) }
    }

    /// Adds what a worker measured, and sets it back to zero.
    pub fn add(&self, laps: &mut Laps) {
        for (sum, time) in self.nanoseconds.iter().zip(&mut laps.times) {
            let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            sum.fetch_add(nanoseconds, Ordering::Relaxed);
            *time = Duration::ZERO;
        }
    }

    pub fn stages(&self) -> Vec<(String, Duration)> {
        let times = self.nanoseconds.iter().map(|sum| sum.load(Ordering::Relaxed));
        self.names.iter().cloned().zip(times.map(Duration::from_nanos)).collect()
    }

    /// The share of the workers' time, from 0 to 1, that went into reading.
    pub fn reading_share(&self) -> f64 {
        let stages = self.stages();
        let total: Duration = stages.iter().map(|(_, time)| time).sum();
        if total.is_zero() { 0.0 } else { stages[READ].1.as_secs_f64() / total.as_secs_f64() }
    }
}

/// The times of one worker, which ends one stage after the other.
pub(crate) struct Laps {
    last: Instant,
    times: Vec<Duration>,
    names: Arc<[String]>,
}

impl Laps {
    /// What went before belongs to no stage.
    pub fn start(&mut self) {
        self.last = Instant::now();
    }

    pub fn read(&mut self) {
        self.end(READ);
    }

    pub fn decoded(&mut self) {
        self.end(DECODE);
    }

    pub fn transformed(&mut self, stage: usize) {
        self.end(TRANSFORMS + stage);
    }

    pub fn assembled(&mut self) {
        self.end(self.times.len() - 1);
    }

    fn end(&mut self, stage: usize) {
        let now = Instant::now();
        let time = now - self.last;
        self.times[stage] += time;
        tracing::trace!(name = &*self.names[stage], nanoseconds = time.as_nanos() as u64, "stage");
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_from_times() {
        let second = Duration::from_secs;
        let stages = vec![("read".into(), second(1)), ("decode".into(), second(3))];
        let mut timings =
            LoaderTimings { stages, wait: second(1), elapsed: second(50), workers: 2, prefetch: 4 };
        assert_eq!(timings.waiting_share(), 0.02);
        assert_eq!(timings.bottleneck(), Some(("decode", 0.75)));
        timings.elapsed = Duration::ZERO;
        timings.stages.clear();
        assert_eq!((timings.waiting_share(), timings.bottleneck()), (0.0, None));
    }
}
