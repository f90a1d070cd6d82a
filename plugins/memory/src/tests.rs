use vitral_testkit::events::{self, StepEvent, started, step};
use vitral_testkit::{Actions, Monitor, check_monitor};

use crate::Memory;

/// Reports every 10 steps; a leak is 30 MiB over 4 reports.
fn tested() -> Monitor {
    Monitor::of::<Memory>().set("every", 10).set("window", 4).set("leak_mib", 30)
}

fn host(mib: &[u64]) -> Vec<StepEvent> {
    mib.iter().zip(1..).map(|(&now, at)| step(10 * at).host_memory(now, 1000)).collect()
}

fn device(mib: &[u64]) -> Vec<StepEvent> {
    mib.iter().zip(1..).map(|(&now, at)| step(10 * at).device_memory(now, 1000)).collect()
}

#[test]
fn defaults_and_examples_work() {
    check_monitor::<Memory>();
}

#[test]
fn memory_is_reported_in_mib() {
    let heard = tested().observe([step(10).host_memory(100, 120).device_memory(30, 40)]);
    let all = [
        ("host_mib", 100.0),
        ("host_peak_mib", 120.0),
        ("device_mib", 30.0),
        ("device_peak_mib", 40.0),
    ];
    assert_eq!(heard.metrics(), all);
}

#[test]
fn a_device_without_memory_of_its_own_has_none() {
    let heard = tested().observe([step(10)]);
    assert_eq!(heard.metrics().len(), 2);
}

#[test]
fn it_hears_of_every_so_many_steps() {
    assert_eq!(tested().start().interests().steps, 10);
    assert_eq!(tested().observe((1..=29).map(step)).metrics().len(), 4);
}

#[test]
fn growth_without_a_pause_is_a_leak() {
    let warning = "the host's memory has not shrunk over 4 reports and grown by 30 MiB, to 130 MiB: \
                   something may keep what it no longer needs";
    assert_eq!(tested().observe(host(&[100, 110, 120, 130])).warnings(), [warning]);
    let heard = tested().observe(device(&[0, 0, 0, 200]));
    let [warning] = heard.warnings()[..] else { panic!("{heard:?}") };
    assert!(
        warning.starts_with("the device's memory has not shrunk over 4 reports and grown by 200")
    );
}

#[test]
fn what_shrinks_now_and_then_is_none() {
    let heard = tested().observe(host(&[100, 200, 300, 250, 350, 450, 400]));
    assert_eq!(heard.warnings(), [""; 0]);
}

#[test]
fn a_leak_is_warned_of_again_after_another_window() {
    let growing: Vec<_> = (0..13).map(|report| 100 + 20 * report).collect();
    let heard = tested().observe(host(&growing));
    assert_eq!(heard.warnings().len(), 3);
}

#[test]
fn another_process_starts_anew() {
    let mut running = tested().start();
    running.observe_all(host(&[100, 120, 140]));
    running.observe(started().start_step(30));
    let heard: Actions = running.observe_all(host(&[160, 180, 200]));
    assert_eq!(heard.warnings(), [""; 0]);
}

#[test]
fn a_resumed_one_goes_on_as_if_never_stopped() {
    tested().assert_resumes(host(&[100, 110, 120, 130, 140, 120, 150, 160, 180, 200]));
    tested().set("every", 1).assert_resumes(events::troubled());
}

#[test]
fn damaged_state_is_an_error() {
    let mut running = tested().start();
    running.observe_all(host(&[100, 110]));
    let state = running.save();
    for at in 1..state.len() {
        assert!(running.try_restore(&state[..at]).is_err(), "cut to {at} bytes");
    }
}
