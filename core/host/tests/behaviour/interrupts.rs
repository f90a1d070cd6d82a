//! What becomes of calls when the user wants to stop.

use std::{
    thread,
    time::{Duration, Instant},
};

use vitral_host::{Cause, Checkpoint, Event, Interrupt, Plugin, WasmEngine, WasmOptions};

use crate::{guests, support::*};

const FOR_EVER: &str = "(loop $again (br $again)) (i32.const 256)";
/// What a call may take that nothing interrupts.
const LIMIT: Duration = Duration::from_secs(3600);
/// More than any interrupted call takes, on a machine that does other things, too.
const SOON: Duration = Duration::from_secs(20);

fn open(component: &[u8], interrupt: &Interrupt) -> Plugin {
    let engine = WasmEngine::new(None).unwrap().with_interrupt(interrupt.clone());
    let options = WasmOptions { time: LIMIT, setup_time: LIMIT, ..options() };
    Plugin::wasm(&engine, component, None, options).unwrap()
}

/// Interrupts while something is done, and says how long that then took.
fn interrupted<R>(interrupt: &Interrupt, work: impl FnOnce() -> R) -> (R, Duration) {
    thread::scope(|scope| {
        let setter = scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            interrupt.set();
            Instant::now()
        });
        let result = work();
        (result, setter.join().unwrap().elapsed())
    })
}

fn event() -> Event {
    Event::Saved(Checkpoint { step: 1, name: "step-1".into() })
}

#[test]
fn an_image_augmentation_ends_at_once_and_so_do_those_that_follow() {
    let interrupt = Interrupt::default();
    let plugin = open(&guests::image(FOR_EVER), &interrupt);
    let mut instance = plugin.image_augmentation(&defaults(&plugin)).unwrap();
    let (result, time) = interrupted(&interrupt, || augment(&mut *instance));
    let error = result.unwrap_err();
    assert_eq!(error.cause, Cause::Interrupted, "{error}");
    assert!(error.to_string().contains("the run is stopping"), "{error}");
    assert!(time < SOON, "{time:?}");
    assert_eq!(augment(&mut *instance).unwrap_err().cause, Cause::Interrupted);
}

#[test]
fn waiting_ends_at_once_too() {
    let imports = r#"
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration"
            (func $subscribe (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;
    let wait = "(call $block (call $subscribe (i64.const 3600000000000))) unreachable";
    let interrupt = Interrupt::default();
    let plugin = open(&guests::system(imports, wait), &interrupt);
    let mut instance = plugin.image_augmentation(&defaults(&plugin)).unwrap();
    let (result, time) = interrupted(&interrupt, || augment(&mut *instance));
    assert_eq!(result.unwrap_err().cause, Cause::Interrupted);
    assert!(time < SOON, "{time:?}");
}

#[test]
fn a_monitor_has_a_second_left_and_is_heard_within_it() {
    let interrupt = Interrupt::default();
    let plugin = open(&guests::monitor(FOR_EVER), &interrupt);
    let mut monitor = plugin.monitor(&defaults(&plugin)).unwrap();
    let (result, time) = interrupted(&interrupt, || monitor.observe(&event()));
    assert_eq!(result.unwrap_err().cause, Cause::Interrupted);
    assert!((Duration::from_millis(900)..SOON).contains(&time), "{time:?}");
    let plugin = open(&guests::monitor("(i32.const 256)"), &interrupt);
    let mut monitor = plugin.monitor(&defaults(&plugin)).unwrap();
    monitor.observe(&event()).unwrap();
    assert_eq!(monitor.save().unwrap(), [1]);
}
