//! What plugins say and print.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use vitral_host::Cause;

use crate::{guests, support::*};

/// Keeps what is logged on this thread.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{value:?}").unwrap();
    }
}

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("vitral")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(format!("{} ", event.metadata().level()));
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn logged<R>(work: impl FnOnce() -> R) -> (R, Vec<String>) {
    let kept = Kept::default();
    let result = tracing::subscriber::with_default(kept.clone(), work);
    let lines = std::mem::take(&mut *kept.0.lock().unwrap());
    (result, lines)
}

fn logging(augment: &str) -> Vec<u8> {
    let import = r#"(import "vitral:plugin/logging@1.0.0" "log" (func $log (param i32 i32 i32)))
        (data (i32.const 512) "to the user")"#;
    guests::image_with(augment, import)
}

const UNCHANGED: &str = "(i32.store (i32.const 256) (i32.const 0)) (i32.const 256)";

#[test]
fn messages_reach_the_log_with_their_level_and_plugin() {
    let guest =
        logging(&format!("(call $log (i32.const 2) (i32.const 512) (i32.const 11)) {UNCHANGED}"));
    let mut instance = augmentation(&guest);
    let (result, lines) = logged(|| augment(&mut *instance));
    result.unwrap();
    assert_eq!(lines, ["WARN plugin `guest`: to the user"]);
}

#[test]
fn a_flood_of_messages_is_cut_in_each_call() {
    let guest = logging(&format!(
        "(loop $again
             (call $log (i32.const 1) (i32.const 512) (i32.const 11))
             (local.set $i (i32.add (local.get $i) (i32.const 1)))
             (br_if $again (i32.lt_u (local.get $i) (i32.const 1000))))
         {UNCHANGED}"
    ));
    let mut instance = augmentation(&guest);
    for _ in 0..2 {
        let (result, lines) = logged(|| augment(&mut *instance));
        result.unwrap();
        assert_eq!(lines.len(), 101);
        assert!(lines[100].contains("more than 100 messages"), "{}", lines[100]);
    }
}

#[test]
fn huge_messages_are_cut_or_refused() {
    let log = |count: u32| {
        logging(&format!(
            "(drop (memory.grow (i32.const 40)))
             (memory.fill (i32.const 4096) (i32.const 65) (i32.const 2097152))
             (call $log (i32.const 1) (i32.const 4096) (i32.const {count})) {UNCHANGED}"
        ))
    };
    let (result, lines) = logged(|| augment(&mut *augmentation(&log(500_000))));
    result.unwrap();
    assert!(lines[0].len() < 5000, "{}", lines[0].len());
    let error = augment(&mut *augmentation(&log(2_000_000))).unwrap_err();
    assert!(matches!(error.cause, Cause::TooLarge { .. }), "{error}");
    let error = augment(&mut *augmentation(&log(100_000_000))).unwrap_err();
    assert!(matches!(error.cause, Cause::Trapped(_)), "{error}");
}

#[test]
fn what_is_printed_is_logged_when_the_call_ends() {
    let imports = r#"
        (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
        (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
            (func $write (param i32 i32 i32 i32)))
        (data (i32.const 512) "one\ntwo\n")"#;
    let guest = guests::system(
        imports,
        &format!(
            "(local.set $i (call $stdout))
             (call $write (local.get $i) (i32.const 512) (i32.const 8) (i32.const 600))
             (call $write (local.get $i) (i32.const 512) (i32.const 3) (i32.const 600))
             {UNCHANGED}"
        ),
    );
    let mut instance = augmentation(&guest);
    for _ in 0..2 {
        let (result, lines) = logged(|| augment(&mut *instance));
        result.unwrap();
        let lines: Vec<_> = lines.iter().filter_map(|line| line.split(": ").nth(1)).collect();
        assert_eq!(lines, ["one", "two", "one"]);
    }
}
