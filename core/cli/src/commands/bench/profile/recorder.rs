//! What takes spans down.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// One thing that was done, from its beginning to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    pub name: String,
    /// The crate that did it.
    pub by: &'static str,
    pub begin: Instant,
    pub end: Instant,
    /// On which thread.
    pub thread: (ThreadId, String),
    /// What else is told of it.
    pub details: Vec<(&'static str, String)>,
}

static IS_ON: AtomicBool = AtomicBool::new(false);
static TAKEN: Mutex<Vec<Done>> = Mutex::new(Vec::new());

thread_local! {
    /// When this thread has told of something that was done the last time.
    static TOLD: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Takes down what is done from now on.
pub fn start() {
    IS_ON.store(true, Ordering::Release);
}

/// All that was done since.
pub fn finish() -> Vec<Done> {
    IS_ON.store(false, Ordering::Release);
    std::mem::take(&mut TAKEN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A layer of `tracing` that takes spans down, and events that say how long something took, between [`start`] and
/// [`finish`].
pub struct Recorder;

/// What a span tells of itself, and since when it is entered, where it began while that was wanted.
struct Open {
    said: Said,
    begin: Option<Instant>,
}

#[derive(Clone, Default)]
struct Said {
    name: Option<String>,
    nanoseconds: Option<u64>,
    details: Vec<(&'static str, String)>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "name" => self.name = Some(value.to_owned()),
            // What an event is called, which has a name.
            "message" => {}
            name => self.details.push((name, value.to_owned())),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "nanoseconds" => self.nanoseconds = Some(value),
            name => self.details.push((name, value.to_string())),
        }
    }
}

impl Said {
    fn done(self, metadata: &'static Metadata<'static>, begin: Instant, end: Instant) -> Done {
        let current = thread::current();
        Done {
            name: self.name.unwrap_or_else(|| metadata.name().to_owned()),
            by: metadata.target().split("::").next().unwrap_or_default(),
            begin,
            end,
            thread: (current.id(), current.name().unwrap_or("unnamed").to_owned()),
            details: self.details,
        }
    }
}

fn is_on() -> bool {
    IS_ON.load(Ordering::Acquire)
}

fn take(done: Done) {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(done);
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        if let Some(span) = context.span(id).filter(|_| is_on()) {
            let mut said = Said::default();
            attributes.record(&mut said);
            span.extensions_mut().insert(Open { said, begin: None });
        }
    }

    fn on_enter(&self, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            open.begin = Some(Instant::now());
        }
    }

    fn on_exit(&self, id: &span::Id, context: Context<'_, S>) {
        let end = Instant::now();
        if let Some(span) = context.span(id).filter(|_| is_on())
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
            && let Some(begin) = open.begin.take()
        {
            take(open.said.clone().done(span.metadata(), begin, end));
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() != Level::TRACE || !is_on() {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let end = Instant::now();
        let begin = said.nanoseconds.and_then(|time| end.checked_sub(Duration::from_nanos(time)));
        if let Some(begin) = begin {
            // It ended a moment before it was told, and what came before it may have been told sooner.
            let before = TOLD.replace(Some(end));
            let begin = before.map_or(begin, |before| begin.max(before));
            take(said.done(event.metadata(), begin, end));
        }
    }
}
