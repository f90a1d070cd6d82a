use vitral_testkit::events::{self, StepEvent, step};
use vitral_testkit::{Monitor, check_monitor};

use crate::LossSpike;

/// A window of 6, so that the fourth logged step is the first to be judged.
fn tested(action: &str) -> Monitor {
    Monitor::of::<LossSpike>().set("window", 6).set("action", action).set("cooldown", 3)
}

fn steps(losses: &[f64]) -> Vec<StepEvent> {
    losses.iter().zip(1..).map(|(&loss, number)| step(number).loss(loss)).collect()
}

const USUAL: [f64; 6] = [2.0, 2.1, 1.9, 2.0, 2.1, 1.9];

fn then(losses: &[f64]) -> Vec<StepEvent> {
    steps(&[&USUAL, losses].concat())
}

#[test]
fn defaults_and_examples_work() {
    check_monitor::<LossSpike>();
}

#[test]
fn a_spike_is_warned_of() {
    let heard = tested("warn").observe(then(&[2.1, 9.0]));
    let warning = "the loss at step 8 is 9.0000, 94 deviations above its median of 2.0500";
    assert_eq!(heard.warnings(), [warning]);
    assert!(heard.metric("deviations").unwrap() > 40.0);
}

#[test]
fn a_loss_that_falls_is_no_spike() {
    let falling: Vec<_> = (1..60).map(|step| 5.0 / f64::from(step)).collect();
    assert_eq!(tested("warn").observe(steps(&falling)).warnings(), [""; 0]);
}

#[test]
fn nothing_is_judged_before_half_of_the_window_is_full() {
    assert_eq!(tested("warn").observe(steps(&[1.0, 50.0, 1.0])).len(), 0);
    assert_eq!(tested("warn").observe(steps(&[1.0, 1.0, 1.0, 50.0])).warnings().len(), 1);
}

#[test]
fn the_threshold_decides() {
    let low = tested("warn").set("threshold", 40).observe(then(&[9.0]));
    let high = tested("warn").set("threshold", 50).observe(then(&[9.0]));
    assert_eq!((low.warnings().len(), high.warnings().len()), (1, 0));
}

#[test]
fn what_is_not_finite_is_a_spike_at_once() {
    let heard = tested("warn").observe(steps(&[f64::NAN]));
    assert_eq!(heard.warnings(), ["the loss at step 1 is NaN"]);
    assert_eq!(heard.metrics(), []);
    let heard = tested("roll-back").observe(then(&[f64::INFINITY]));
    assert_eq!(heard.roll_backs()[0].reason, "the loss at step 7 is inf");
}

#[test]
fn steps_without_figures_are_left_out() {
    let mut running = tested("warn").start();
    running.observe_all(then(&[]));
    assert_eq!(running.observe(step(7)).len(), 0);
    assert_eq!(running.observe(step(8).loss(9.0)).warnings().len(), 1);
}

#[test]
fn the_learning_rate_is_lowered_by_the_factor() {
    let heard = tested("lower-rate").set("factor", 0.3).observe(then(&[9.0]));
    let [change] = heard.rate_changes()[..] else { panic!("{heard:?}") };
    assert_eq!(change.factor, 0.3);
    assert!(change.reason.starts_with("the loss at step 7 is 9.0000"));
    assert_eq!((heard.warnings().len(), heard.roll_backs().len()), (0, 0));
}

#[test]
fn it_goes_back_with_a_lower_learning_rate() {
    let heard = tested("roll-back").observe(then(&[9.0]));
    let [change] = heard.roll_backs()[..] else { panic!("{heard:?}") };
    assert_eq!(change.factor, 0.5);
    assert!(heard.rate_changes().is_empty());
}

#[test]
fn spikes_have_no_consequences_for_a_while_after_an_action() {
    let tested = tested("lower-rate").set("window", 50).set("threshold", 5);
    let usual = USUAL.repeat(5);
    let spikes = |losses: &[f64]| tested.observe(steps(&[&usual, losses].concat()));
    assert_eq!(spikes(&[9.0, 9.0, 9.0, 9.0]).rate_changes().len(), 1);
    assert_eq!(spikes(&[9.0, 9.0, 9.0, 9.0, 9.0]).rate_changes().len(), 2);
    assert_eq!(spikes(&[9.0, f64::NAN]).rate_changes().len(), 2, "NaN cannot wait");
}

#[test]
fn a_spike_after_the_last_action_ends_the_run() {
    let tested = tested("roll-back").set("cooldown", 0).set("max_actions", 2);
    let heard = tested.observe(steps(&[f64::NAN, f64::NAN]));
    assert_eq!((heard.roll_backs().len(), heard.stop()), (2, None));
    let heard = tested.observe(steps(&[f64::NAN, f64::NAN, f64::NAN]));
    let reason = "the loss at step 3 is NaN, after the learning rate was lowered 2 times";
    assert_eq!((heard.roll_backs().len(), heard.stop()), (2, Some(reason)));
}

#[test]
fn warnings_never_end_the_run() {
    let tested = tested("warn").set("cooldown", 0).set("max_actions", 0);
    let heard = tested.observe(steps(&[f64::NAN; 20]));
    assert_eq!((heard.warnings().len(), heard.stop()), (20, None));
}

#[test]
fn steps_that_are_made_again_go_on() {
    let mut running = tested("roll-back").start();
    assert_eq!(running.observe_all(then(&[9.0])).roll_backs().len(), 1);
    let again: Vec<_> = (4..=20).map(|number| step(number).loss(2.0)).collect();
    assert_eq!(running.observe_all(again).roll_backs().len(), 0);
    assert_eq!(running.observe(step(21).loss(9.0)).roll_backs().len(), 1);
}

#[test]
fn a_resumed_one_goes_on_as_if_never_stopped() {
    for action in ["warn", "lower-rate", "roll-back"] {
        tested(action).assert_resumes(then(&[9.0, 2.0, f64::NAN, 2.2, 2.0, 9.0, 9.0, 9.0, 1.0]));
        tested(action).assert_resumes(events::troubled());
    }
}

#[test]
fn a_smaller_window_takes_the_newest_losses_of_a_state() {
    let mut before = tested("warn").set("window", 50).start();
    before.observe_all(steps(&[&[9.0; 30][..], &USUAL].concat()));
    let mut running = tested("warn").start();
    running.restore(&before.save());
    assert_eq!(running.observe(step(40).loss(9.0)).warnings().len(), 1);
}

#[test]
fn damaged_state_is_an_error() {
    let mut running = tested("warn").start();
    running.observe_all(then(&[9.0]));
    let state = running.save();
    for at in 1..state.len() {
        assert!(running.try_restore(&state[..at]).is_err(), "cut to {at} bytes");
    }
}
