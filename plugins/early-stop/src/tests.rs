use vitral_testkit::events::{EvaluationEvent, evaluation};
use vitral_testkit::{Monitor, check_monitor, events};

use crate::EarlyStop;

fn tested(metric: &str, patience: u32) -> Monitor {
    Monitor::of::<EarlyStop>().set("metric", metric).set("patience", patience)
}

/// Evaluations every 10 steps, which are one epoch.
fn evaluations(
    values: &[f64],
    set: fn(EvaluationEvent, f64) -> EvaluationEvent,
) -> Vec<EvaluationEvent> {
    let event = |(index, &value): (usize, &f64)| set(evaluation(10 * (index as u64 + 1)), value);
    values.iter().enumerate().map(event).collect()
}

#[test]
fn defaults_and_examples_work() {
    check_monitor::<EarlyStop>();
}

#[test]
fn it_stops_with_the_best_value_and_when_it_was() {
    let top1 = evaluations(&[0.5, 0.7, 0.6, 0.7, 0.65], EvaluationEvent::top1);
    let mut running = tested("top1", 3).start();
    assert_eq!(running.observe_all(top1[..4].to_vec()).stop(), None);
    assert_eq!(
        running.observe(top1[4].clone()).stop(),
        Some(
            "top1 has not improved for 3 evaluations: the best was 0.7000 at step 20 (epoch 2.0), \
             now it is 0.6500"
        )
    );
}

#[test]
fn less_loss_is_better() {
    let falls = evaluations(&[3.0, 2.0, 1.0, 0.5, 0.4], EvaluationEvent::loss);
    assert_eq!(tested("loss", 1).observe(falls).stop(), None);
    let rises = evaluations(&[3.0, 3.1], EvaluationEvent::loss);
    assert!(tested("loss", 1).observe(rises).stop().unwrap().starts_with("loss has not improved"));
}

#[test]
fn only_the_chosen_metric_counts() {
    let events = evaluations(&[0.1, 0.2, 0.3], EvaluationEvent::top5);
    assert_eq!(tested("top5", 1).observe(events.clone()).stop(), None);
    assert!(tested("top1", 1).observe(events).stop().is_some());
}

#[test]
fn small_gains_are_no_improvement() {
    let events = evaluations(&[0.5, 0.509, 0.518], EvaluationEvent::top1);
    let strict = tested("top1", 1).set("min_delta", 0.01);
    assert!(strict.observe(events[..2].to_vec()).stop().is_some());
    // Gains add up: what counts is the best that was an improvement.
    let strict = strict.set("patience", 2);
    let heard = strict.observe(events);
    assert_eq!((heard.stop(), heard.metric("best")), (None, Some(0.518)));
}

#[test]
fn it_never_stops_before_the_first_epochs_are_made() {
    let events = evaluations(&[0.5; 6], EvaluationEvent::top1);
    let mut running = tested("top1", 2).set("min_epochs", 5).start();
    assert_eq!(running.observe_all(events[..4].to_vec()).stop(), None);
    assert!(running.observe(events[4].clone()).stop().is_some());
}

#[test]
fn what_is_not_a_number_is_no_improvement() {
    let events = evaluations(&[f64::NAN, f64::NAN], EvaluationEvent::loss);
    let heard = tested("loss", 2).observe(events);
    assert_eq!(heard.stop(), Some("loss has not been a number for 2 evaluations"));
    assert_eq!(heard.metric("best"), None);
    let events = evaluations(&[f64::NAN, 2.0, f64::NAN], EvaluationEvent::loss);
    assert_eq!(tested("loss", 2).observe(events).metric("best"), Some(2.0));
}

#[test]
fn it_says_how_long_it_has_waited() {
    let events = evaluations(&[0.5, 0.4, 0.6], EvaluationEvent::top1);
    let heard = tested("top1", 5).observe(events);
    let waited: Vec<_> =
        heard.metrics().into_iter().filter(|(name, _)| *name == "evaluations_since_best").collect();
    assert_eq!(waited.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [0.0, 1.0, 0.0]);
}

#[test]
fn a_resumed_one_goes_on_as_if_never_stopped() {
    tested("loss", 3).assert_resumes(events::troubled());
    tested("top1", 2).assert_resumes(evaluations(&[0.5, 0.4, 0.4, 0.6], EvaluationEvent::top1));
}

#[test]
fn state_of_another_metric_is_left_alone() {
    let mut before = tested("loss", 1).start();
    before.observe(evaluation(10).loss(0.01));
    let mut running = tested("top1", 1).start();
    running.restore(&before.save());
    assert_eq!(running.observe(evaluation(20).top1(0.5)).stop(), None);
}

#[test]
fn damaged_state_is_an_error() {
    let mut running = tested("loss", 1).start();
    running.observe(evaluation(10));
    let state = running.save();
    for at in 1..state.len() {
        assert!(running.try_restore(&state[..at]).is_err(), "cut to {at} bytes");
    }
    let error = running.try_restore(b"other 1\nchecksum=0\n").unwrap_err().to_string();
    assert!(error.ends_with("the saved state is damaged"), "{error}");
}
