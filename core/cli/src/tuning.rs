//! Says that kernels are tuned for a GPU, which takes a while, and seems like nothing otherwise.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::{FilterFn, LevelFilter},
    layer::Context,
    registry::LookupSpan,
};

use crate::progress::note;

/// What logs them, through the crate `log`.
const TUNER: &str = "cubecl_runtime::tune";
/// How often it is said, at most.
const INTERVAL: Duration = Duration::from_secs(5);

/// Counts what CubeCL logs of kernels that it tunes.
#[derive(Default)]
pub struct Tuning {
    tuned: Mutex<Tuned>,
}

#[derive(Default)]
struct Tuned {
    operations: u32,
    said: Option<Instant>,
}

impl Tuning {
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
        let logged = FilterFn::new(|metadata| {
            *metadata.level() <= Level::INFO && metadata.target().starts_with(TUNER)
        });
        Self::default().with_filter(logged.with_max_level_hint(LevelFilter::INFO))
    }

    /// One more is tuned: what is to be said, if it is time to.
    fn count(&self, now: Instant) -> Option<String> {
        let mut tuned = self.tuned.lock().unwrap_or_else(PoisonError::into_inner);
        tuned.operations += 1;
        if tuned.said.is_some_and(|said| now - said < INTERVAL) {
            return None;
        }
        tuned.said = Some(now);
        Some(match tuned.operations {
            1 => "trying kernels to find the fastest for this GPU".into(),
            operations => format!("trying kernels to find the fastest: operation {operations}"),
        })
    }
}

impl<S: Subscriber> Layer<S> for Tuning {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        if line.is_tuners
            && line.says_so
            && let Some(text) = self.count(Instant::now())
        {
            note(&text);
        }
    }
}

/// What a line of the log is.
#[derive(Default)]
struct Line {
    is_tuners: bool,
    says_so: bool,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.is_tuners = value.starts_with(TUNER);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.says_so = format!("{value:?}").starts_with("Tuning ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_then_one_every_few_seconds() {
        let (tuning, start) = (Tuning::default(), Instant::now());
        assert!(tuning.count(start).unwrap().starts_with("trying kernels"));
        for second in 1..5 {
            assert_eq!(tuning.count(start + Duration::from_secs(second)), None);
        }
        let text = tuning.count(start + INTERVAL).unwrap();
        assert_eq!(text, "trying kernels to find the fastest: operation 6");
    }
}
