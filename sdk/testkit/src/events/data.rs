//! What the data path did.

use vitral_host::{DataReport, Event, StageTime};

use super::epoch;

/// What the data path did up to a step that is logged.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct DataEvent(DataReport);

/// A report of 1 s without waiting, by two workers with four batches ahead, of no stage yet.
pub fn data(step: u64) -> DataEvent {
    DataEvent(DataReport {
        step,
        epoch: epoch(step),
        seconds: 1.0,
        wait: 0.0,
        workers: 2,
        prefetch: 4,
        stages: Vec::new(),
    })
}

impl DataEvent {
    /// Adds a stage, and the seconds that it took.
    pub fn stage(mut self, name: &str, seconds: f64) -> Self {
        self.0.stages.push(StageTime { name: name.to_owned(), seconds });
        self
    }

    /// How long the steps took, and how long of it data was waited for.
    pub fn seconds(mut self, total: f64, wait: f64) -> Self {
        (self.0.seconds, self.0.wait) = (total, wait);
        self
    }
}

impl From<DataEvent> for Event {
    fn from(event: DataEvent) -> Self {
        Self::Data(event.0)
    }
}
