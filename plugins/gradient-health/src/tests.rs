use vitral_testkit::events::{self, LayersEvent, ParameterBuilder, layers, parameter};
use vitral_testkit::{Actions, Monitor, check_monitor};

use crate::GradientHealth;

/// Looks at every step.
fn tested() -> Monitor {
    Monitor::of::<GradientHealth>().set("every", 1)
}

/// A report of `cls_token` and of two blocks of two parameters, the first changed.
fn changed(step: u64, change: impl Fn(ParameterBuilder) -> ParameterBuilder) -> LayersEvent {
    layers(step)
        .with(parameter("cls_token"))
        .with(change(parameter("blocks.0.attn.qkv.weight")))
        .with(parameter("blocks.0.mlp.fc1.weight"))
        .with(parameter("blocks.1.attn.qkv.weight"))
        .with(parameter("blocks.1.mlp.fc1.weight"))
}

fn healthy(step: u64) -> LayersEvent {
    changed(step, |parameter| parameter)
}

/// A few healthy steps, then those with a change, up to step 20.
fn then(monitor: &Monitor, change: impl Fn(ParameterBuilder) -> ParameterBuilder) -> Actions {
    let change = &change;
    let steps = (1..=20).map(|step| if step <= 5 { healthy(step) } else { changed(step, change) });
    monitor.observe(steps)
}

#[test]
fn defaults_and_examples_work() {
    check_monitor::<GradientHealth>();
}

#[test]
fn it_hears_of_every_so_many_steps() {
    let running = Monitor::of::<GradientHealth>().start();
    assert_eq!((running.interests().steps, running.interests().layers), (0, 100));
}

#[test]
fn norms_are_reported_by_group() {
    let heard = tested().observe([changed(1, |parameter| parameter.gradient_norm(3.0))]);
    let close = |name: &str, expected: f64| {
        let found = heard.metric(name).unwrap_or_else(|| panic!("no {name} in {heard:?}"));
        assert!((found - expected).abs() < 1e-12, "{name} is {found}");
    };
    close("gradient_norm/cls_token", 1.0);
    close("gradient_norm/blocks.0", 10f64.sqrt());
    close("weight_norm/blocks.0", 200f64.sqrt());
    close("update_scale/blocks.0", 0.05f64.sqrt());
    close("gradient_norm/blocks.1", 2f64.sqrt());
    for count in ["non_finite", "exploding", "vanishing", "dead"] {
        close(count, 0.0);
    }
}

#[test]
fn healthy_gradients_are_not_warned_of() {
    assert_eq!(then(&tested(), |parameter| parameter).warnings(), [""; 0]);
    assert_eq!(tested().observe(events::ordinary()).warnings(), [""; 0]);
}

#[test]
fn exploding_gradients_are_named() {
    let heard = then(&tested(), |parameter| parameter.gradient_norm(1000.0));
    assert_eq!(
        heard.warnings()[0],
        "step 6: gradients explode in blocks.0: their norm is 1.000e3, 707 times the usual 1.414e0; \
         most of it in `blocks.0.attn.qkv.weight`, `blocks.0.mlp.fc1.weight`"
    );
    assert!(then(&tested(), |parameter| parameter.gradient_norm(12.0)).warnings().is_empty());
    let strict = tested().set("explode", 5);
    assert_eq!(then(&strict, |parameter| parameter.gradient_norm(12.0)).warnings().len(), 1);
}

#[test]
fn what_explodes_for_long_becomes_usual() {
    let tested = tested().set("window", 4).set("repeat", 1);
    let heard = then(&tested, |parameter| parameter.gradient_norm(1000.0));
    assert_eq!(heard.warnings().len(), 3);
}

#[test]
fn gradients_that_are_not_finite_are_warned_of_each_time() {
    let heard = then(&tested(), |parameter| parameter.non_finite(7));
    assert_eq!(heard.warnings().len(), 15);
    assert_eq!(
        heard.warnings()[0],
        "step 6: 7 gradients are NaN or infinite, in `blocks.0.attn.qkv.weight`"
    );
    assert_eq!(heard.metric("non_finite"), Some(1.0));
}

#[test]
fn tiny_gradients_vanish() {
    let report = |step| layers(step).with(parameter("head.weight").tiny(95)).blocks(2);
    let heard = tested().observe([report(1)]);
    assert_eq!(
        heard.warnings(),
        [
            "step 1: gradients vanish in head: 95% of them are below 1e-8; most of all in `head.weight`"
        ]
    );
    assert_eq!(heard.metric("vanishing"), Some(1.0));
    assert_eq!(tested().set("tiny", 0.96).observe([report(1)]).warnings(), [""; 0]);
}

#[test]
fn gradients_that_fade_towards_the_first_block_vanish() {
    let report = |norm| {
        let weights = |block| parameter(&format!("blocks.{block}.norm1.weight"));
        layers(1).with(weights(0).gradient_norm(norm)).with(weights(1)).with(weights(2))
    };
    let heard = tested().observe([report(1e-4)]);
    assert_eq!(
        heard.warnings(),
        ["step 1: gradients vanish on their way back: their norm is 1.000e-4 in blocks.0 and \
          1.000e0 in blocks.2; least of all in `blocks.0.norm1.weight`"]
    );
    assert_eq!(tested().observe([report(0.01)]).warnings(), [""; 0]);
    assert_eq!(tested().set("vanish", 0.1).observe([report(0.01)]).warnings().len(), 1);
}

#[test]
fn dead_parameters_are_named_together() {
    let dead = |name: &str| parameter(name).gradient_norm(0.0);
    let report = ["a", "b", "c", "d"]
        .into_iter()
        .fold(healthy(1), |report, name| report.with(dead(&format!("blocks.0.program.{name}"))));
    let heard = tested().observe([report]);
    assert_eq!(
        heard.warnings(),
        ["step 1: no gradient at all (every value is zero) in `blocks.0.program.a`, \
          `blocks.0.program.b`, `blocks.0.program.c` and 1 more"]
    );
    assert_eq!((heard.metric("dead"), heard.metric("vanishing")), (Some(4.0), Some(0.0)));
}

#[test]
fn warnings_are_not_repeated_at_once() {
    let kill = |parameter: ParameterBuilder| parameter.gradient_norm(0.0);
    let count = |repeat: u32| then(&tested().set("repeat", repeat), kill).warnings().len();
    assert_eq!([count(1), count(5), count(15), count(100)], [15, 3, 1, 1]);
}

#[test]
fn something_else_is_said_though_another_thing_was() {
    let mut running = tested().start();
    assert_eq!(
        running.observe(changed(1, |parameter| parameter.gradient_norm(0.0))).warnings().len(),
        1
    );
    let other = changed(2, |parameter| parameter.gradient_norm(0.0))
        .with(parameter("head.bias").gradient_norm(0.0));
    let heard = running.observe(other);
    assert_eq!(
        heard.warnings(),
        ["step 2: no gradient at all (every value is zero) in `head.bias`"]
    );
}

#[test]
fn a_model_without_blocks_or_parameters_is_fine() {
    assert_eq!(tested().observe([layers(1), layers(2).with(parameter("w"))]).warnings(), [""; 0]);
}

#[test]
fn a_resumed_one_goes_on_as_if_never_stopped() {
    let reports = || {
        (1..=30).map(|step| match step % 9 {
            3 => changed(step, |parameter| parameter.gradient_norm(1e3)),
            5 => changed(step, |parameter| parameter.gradient_norm(0.0)),
            7 => changed(step, |parameter| parameter.non_finite(1)),
            8 => changed(step, |parameter| parameter.tiny(99)),
            _ => healthy(step),
        })
    };
    assert!(tested().observe(reports()).warnings().len() > 5);
    tested().set("window", 5).set("repeat", 3).assert_resumes(reports());
    tested().assert_resumes(events::troubled());
}

#[test]
fn damaged_state_is_an_error() {
    let mut running = tested().start();
    running.observe_all((1..=5).map(|step| changed(step, |parameter| parameter.tiny(100))));
    let state = running.save();
    for at in 1..state.len() {
        assert!(running.try_restore(&state[..at]).is_err(), "cut to {at} bytes");
    }
}
