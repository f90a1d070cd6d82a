//! Whole runs, as sequences of events.

use vitral_host::Event;

use super::{
    configured, data, ended, evaluation, layers, parameter, rolled_back, saved, started, step,
};

/// A run of 100 steps in which nothing is wrong. Every step has statistics and figures, though a
/// monitor hears only of those that it wants.
pub fn ordinary() -> Vec<Event> {
    let fields = [("seed", "1"), ("train.learning_rate", "0.001")];
    let mut events = vec![started().into(), configured(&fields)];
    for number in 1..=100 {
        let part = number as f64 / 100.0;
        let wobble = f64::from((number * 7 % 5) as u8) / 50.0;
        events.push(layers(number).blocks(3).into());
        let loss = 2.3 - part + wobble;
        events.push(data(number).stage("read", 0.5).stage("decode", 1.0 + part).into());
        events.push(step(number).loss(loss).accuracy(part).seconds(0.1 + wobble).into());
        if number % 10 == 0 {
            let best = evaluation(number).loss(2.3 - part).top1(part).top5(part.sqrt()).best();
            events.push(best.into());
            events.push(saved(number));
        }
    }
    events.push(ended("done"));
    events
}

/// A run in which everything goes wrong: losses that jump and are not finite, gradients that
/// explode, vanish and are not finite, steps without time, figures or images, a lack of data,
/// growing memory, evaluations without progress, and steps that are made again after a return to a
/// checkpoint.
pub fn troubled() -> Vec<Event> {
    let mut events =
        vec![evaluation(0).into(), layers(1).into(), started().flops(0.0, None).into()];
    events.push(configured(&[("", ""), ("two words", "\"\n"), ("two words", "again")]));
    for (numbers, back_to) in [(1..=30, Some(20)), (21..=60, None)] {
        for number in numbers {
            events.push(gradients(number));
            events.push(loaded(number));
            events.push(made(number));
            if number % 5 == 0 {
                let loss = if number == 25 { f64::NAN } else { 1.0 + number as f64 };
                events.push(evaluation(number).loss(loss).top1(0.1).top5(0.1).into());
                events.push(saved(number));
            }
        }
        events.extend(back_to.map(|step| rolled_back(30, step)));
    }
    events.push(ended("interrupted"));
    events
}

fn gradients(number: u64) -> Event {
    let first = parameter("blocks.0.attn.qkv.weight");
    let (first, last) = match number % 6 {
        0 => (first.gradient_norm(0.0), 0.0),
        1 => (first.gradient_norm(1e-12), 1.0),
        2 => (first.non_finite(3), 1e6),
        3 => (first.non_finite(100), 1.0),
        4 => (first.weight_norm(0.0), 1e12),
        _ => (first, 1.0),
    };
    let last = parameter("blocks.1.attn.qkv.weight").gradient_norm(last);
    layers(number).with(parameter("cls_token").tiny(99)).with(first).with(last).into()
}

fn loaded(number: u64) -> Event {
    let data = data(number);
    match number % 4 {
        0 => data.stage("read", f64::NAN).stage("decode", 1.0),
        1 => data.seconds(0.0, -1.0),
        2 => data.seconds(1.0, 0.9).stage("", -1.0).stage("two words", f64::INFINITY),
        _ => data.stage("read", 0.0),
    }
    .into()
}

fn made(number: u64) -> Event {
    let step = step(number).host_memory(100 + 40 * number, 4000).device_memory(number, number);
    match number % 7 {
        0 => step.loss(f64::NAN).gradient_norm(f64::NAN),
        1 => step.loss(f64::INFINITY).seconds(0.0),
        2 => step.loss(1e30).images(0),
        3 => step,
        4 => step.loss(1.0).seconds(1.0).data_wait(0.9),
        5 => step.loss(-1.0).seconds(1e-9),
        _ => step.loss(1.0).learning_rate(0.0),
    }
    .into()
}
