//! Monitors that are components.

use vitral_host::{
    Cause, Checkpoint, Configuration, DataReport, Event, Interests, Monitor, RollBack, StageTime,
};

use crate::{guests, support::*};

/// Traps at the third event.
const THIRD: &str =
    "(if (i32.eq (global.get $count) (i32.const 3)) (then unreachable)) (i32.const 256)";

fn monitor(observe: &str) -> Box<dyn Monitor> {
    let plugin = open(&guests::monitor(observe)).unwrap();
    plugin.monitor(&defaults(&plugin)).unwrap()
}

fn event(step: u64) -> Event {
    Event::Saved(Checkpoint { step, name: format!("step-{step}") })
}

#[test]
fn a_monitor_hears_saves_and_restores() {
    let mut first = monitor(THIRD);
    assert_eq!(first.interests(), Interests { steps: 2, layers: 0 });
    assert_eq!(first.observe(&event(1)).unwrap(), []);
    let state = first.save().unwrap();
    assert_eq!(state, [1]);
    let mut second = monitor(THIRD);
    second.restore(&state).unwrap();
    second.observe(&event(2)).unwrap();
    assert_eq!(second.save().unwrap(), [2]);
}

#[test]
fn a_monitor_hears_of_what_is_no_case_of_its_first_contract() {
    let mut monitor = monitor(THIRD);
    let stages = vec![StageTime { name: "decode".into(), seconds: 1.0 }];
    let (step, epoch, workers, prefetch) = (1, 0.5, 2, 4);
    let report = DataReport { step, epoch, seconds: 2.0, wait: 0.5, workers, prefetch, stages };
    assert_eq!(monitor.observe(&Event::Data(report)).unwrap(), []);
    let back = RollBack { from_step: 9, to_step: 5, reason: "the loss jumped".into() };
    assert_eq!(monitor.observe(&Event::RolledBack(back)).unwrap(), []);
    let configuration = Configuration { run: "run".into(), fields: vec![] };
    assert_eq!(monitor.observe(&Event::Configured(configuration)).unwrap(), []);
    monitor.observe(&event(1)).unwrap();
    assert_eq!(monitor.save().unwrap(), [161]);
}

#[test]
fn after_a_trap_a_monitor_goes_on_from_its_saved_state() {
    let mut monitor = monitor(THIRD);
    monitor.observe(&event(1)).unwrap();
    monitor.save().unwrap();
    monitor.observe(&event(2)).unwrap();
    let error = monitor.observe(&event(3)).unwrap_err();
    assert!(matches!(error.cause, Cause::Trapped(_)) && error.input == "checkpoint step-3");
    monitor.observe(&event(4)).unwrap();
    assert_eq!(monitor.save().unwrap(), [2]);
}

#[test]
fn after_a_trap_without_a_saved_state_a_monitor_fails_for_good() {
    let mut monitor = monitor(THIRD);
    let outcomes = [1, 2, 3, 4, 5].map(|step| monitor.observe(&event(step)).is_ok());
    assert_eq!(outcomes, [true, true, false, false, false]);
    let text = monitor.observe(&event(6)).unwrap_err().to_string();
    assert!(text.contains("(checkpoint step-6): it had saved no state when"), "{text}");
}

#[test]
fn actions_that_are_not_in_memory_are_a_trap() {
    let mut monitor = monitor(
        "(i32.store (i32.const 260) (i32.const 0)) (i32.store (i32.const 264) (i32.const -1))
         (i32.const 256)",
    );
    let error = monitor.observe(&event(1)).unwrap_err();
    assert!(matches!(error.cause, Cause::Trapped(_)), "{error}");
}

#[test]
fn more_actions_than_allowed_are_refused() {
    // Memory that is all zero is a list of metrics without names.
    let mut monitor = monitor(
        "(drop (memory.grow (i32.const 8)))
         (i32.store (i32.const 260) (i32.const 131072))
         (i32.store (i32.const 264) (i32.const 10001)) (i32.const 256)",
    );
    let text = monitor.observe(&event(1)).unwrap_err().to_string();
    assert!(text.contains("10001 actions at once"), "{text}");
}
