use vitral_sdk::Event;
use vitral_testkit::events::{self, StepEvent, data, started, step};
use vitral_testkit::{Actions, Monitor, check_monitor};

use crate::Throughput;

/// Reports every 10 steps, of the last 20.
fn tested() -> Monitor {
    Monitor::of::<Throughput>().set("every", 10).set("warmup", 0).set("window", 20)
}

fn run(monitor: &Monitor, steps: impl Iterator<Item = StepEvent>) -> Actions {
    let mut events: Vec<Event> = vec![started().into()];
    events.extend(steps.map(Event::from));
    monitor.observe(events)
}

#[track_caller]
fn assert_metric(heard: &Actions, name: &str, expected: f64) {
    let found = heard.metric(name).unwrap_or_else(|| panic!("no {name} in {heard:?}"));
    assert!((found - expected).abs() < 1e-9 * expected.abs(), "{name} is {found}");
}

#[test]
fn defaults_and_examples_work() {
    check_monitor::<Throughput>();
}

#[test]
fn speed_is_images_by_time() {
    let heard = run(&tested(), (1..=10).map(|number| step(number).images(32).seconds(0.5)));
    assert_metric(&heard, "images_per_second", 64.0);
    assert_metric(&heard, "images_per_second_mean", 64.0);
    assert_metric(&heard, "step_seconds_p50", 0.5);
    assert_eq!(heard.metric("data_wait_share"), Some(0.0));
}

#[test]
fn running_figures_are_of_the_window_and_the_mean_is_of_all() {
    // 40 steps of 64 images: 20 of 0.4 s, then 20 of 0.1 s.
    let steps = (1..=40).map(|number| step(number).seconds(if number <= 20 { 0.4 } else { 0.1 }));
    let heard = run(&tested(), steps);
    assert_metric(&heard, "images_per_second", 640.0);
    assert_metric(&heard, "images_per_second_mean", 256.0);
}

#[test]
fn the_first_steps_do_not_count() {
    let slow_start = |number| step(number).seconds(if number <= 5 { 100.0 } else { 0.1 });
    let heard = run(&tested().set("warmup", 5), (1..=10).map(slow_start));
    assert_metric(&heard, "images_per_second_mean", 640.0);
    assert_metric(&heard, "step_seconds_p95", 0.1);
    let heard = run(&tested().set("warmup", 10), (1..=10).map(slow_start));
    assert_eq!(heard.len(), 0, "nothing has counted yet");
}

#[test]
fn after_a_resumption_the_first_steps_do_not_count_either() {
    let mut running = tested().set("warmup", 5).start();
    running.observe(started());
    running.observe_all((1..=25).map(step));
    running.observe(started().start_step(25));
    let slow_start = |number| step(number).seconds(if number <= 30 { 100.0 } else { 0.1 });
    let heard = running.observe_all((26..=40).map(slow_start));
    assert_metric(&heard, "images_per_second", 640.0);
    assert_metric(&heard, "images_per_second_mean", 640.0);
}

#[test]
fn percentiles_show_slow_steps() {
    // Two of 20 steps are slow.
    let steps = (1..=20).map(|number| step(number).seconds(if number > 18 { 2.0 } else { 0.1 }));
    let heard = run(&tested(), steps);
    assert_metric(&heard, "step_seconds_p50", 0.1);
    assert_metric(&heard, "step_seconds_p95", 2.0);
}

#[test]
fn reports_come_every_so_often() {
    let heard = run(&tested(), (1..=35).map(step));
    assert_eq!(heard.metrics().iter().filter(|(name, _)| *name == "mfu").count(), 3);
}

#[test]
fn utilisation_is_by_the_known_or_the_given_peak() {
    // 640 images of 1 GFLOP a second.
    let heard = run(&tested(), (1..=10).map(step));
    assert_metric(&heard, "mfu", 6.4);
    let heard = run(&tested().set("peak_tflops", 2), (1..=10).map(step));
    assert_metric(&heard, "mfu", 0.32);
}

#[test]
fn without_a_peak_there_is_no_utilisation() {
    for unknown in [started().flops(1e9, None), started().flops(0.0, Some(1e12))] {
        let mut running = tested().start();
        running.observe(unknown);
        let heard = running.observe_all((1..=10).map(step));
        assert_eq!((heard.metric("mfu"), heard.len()), (None, 5));
    }
}

#[test]
fn waiting_for_data_is_warned_of_once() {
    let waits = |number| step(number).seconds(0.1).data_wait(0.05);
    let heard = run(&tested(), (1..=40).map(waits));
    assert_metric(&heard, "data_wait_share", 0.5);
    let [warning] = heard.warnings()[..] else { panic!("{heard:?}") };
    assert_eq!(
        warning,
        "waiting for data took 50% of the last 10 steps: with more workers, a cache or cheaper \
         augmentation the run could make up to 1280 images a second instead of 640"
    );
    assert_eq!(run(&tested().set("wait_warn", 0.6), (1..=40).map(waits)).warnings(), [""; 0]);
    let all = |number| step(number).seconds(0.1).data_wait(0.1);
    assert_eq!(run(&tested().set("wait_warn", 1), (1..=40).map(all)).warnings(), [""; 0]);
}

#[test]
fn shares_of_the_data_paths_stages_are_told_and_the_longest_in_a_warning() {
    let mut running = tested().start();
    running.observe(started());
    running.observe_all((1..=9).map(|number| step(number).data_wait(0.05)));
    running.observe(data(10).stage("read", 1.0).stage("decode", 3.0));
    let heard = running.observe(step(10).data_wait(0.05));
    assert_metric(&heard, "data_stage/read", 0.25);
    assert_metric(&heard, "data_stage/decode", 0.75);
    let [warning] = heard.warnings()[..] else { panic!("{heard:?}") };
    assert!(warning.ends_with("instead of 640; 75% of the work on data is decode"), "{warning}");
    // The next report is of what came after this one.
    running.observe_all((11..=19).map(step));
    running.observe(data(20).stage("read", 1.0));
    assert_metric(&running.observe(step(20)), "data_stage/read", 1.0);
}

#[test]
fn times_that_make_no_sense_are_left_out() {
    let steps = (1..=10).map(|number| match number {
        1 => step(number).seconds(0.0),
        2 => step(number).seconds(f64::NAN),
        3 => step(number).seconds(-1.0),
        4 => step(number).seconds(0.1).data_wait(0.3),
        _ => step(number),
    });
    let heard = run(&tested(), steps);
    assert_metric(&heard, "images_per_second", 640.0);
    assert_metric(&heard, "data_wait_share", 1.0 / 7.0);
}

#[test]
fn a_resumed_one_goes_on_as_if_never_stopped() {
    tested().set("warmup", 3).assert_resumes(events::ordinary());
    tested().assert_resumes(events::troubled());
}

#[test]
fn a_smaller_window_takes_the_newest_steps_of_a_state() {
    let mut before = tested().set("window", 100).start();
    before.observe_all((1..=40).map(|number| step(number).seconds(1.0 / number as f64)));
    let mut running = tested().set("window", 2).start();
    running.restore(&before.save());
    let heard = running.observe(step(50).seconds(1.0 / 41.0));
    assert_metric(&heard, "step_seconds_p95", 1.0 / 40.0);
}

#[test]
fn damaged_state_is_an_error() {
    let mut running = tested().start();
    running.observe_all((1..=5).map(step));
    let state = running.save();
    for at in 1..state.len() {
        assert!(running.try_restore(&state[..at]).is_err(), "cut to {at} bytes");
    }
}
