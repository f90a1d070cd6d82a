//! Between plain types and the ones that wasmtime makes from the WIT.

use vitral_abi::{
    Action, Batch, DataReport, Description, Distribution, Event, Example, Interests, Layer, Memory,
    Parameter, ParameterType, RateChange, Sample, Setting, Value,
};

use super::bindings::exports::vitral::plugin::{
    attentions, batch_augmentations, data_monitors, description, image_augmentations, monitors,
};

pub(super) fn description(given: description::Description) -> Description {
    Description {
        name: given.name,
        version: given.version,
        summary: given.summary,
        parameters: given.parameters.into_iter().map(parameter).collect(),
        examples: given.examples.into_iter().map(example).collect(),
    }
}

fn parameter(given: description::Parameter) -> Parameter {
    use description::ParameterType as From;
    Parameter {
        name: given.name,
        doc: given.doc,
        r#type: match given.type_ {
            From::Boolean => ParameterType::Boolean,
            From::Integer(range) => ParameterType::Integer { min: range.min, max: range.max },
            From::Number(range) => ParameterType::Number { min: range.min, max: range.max },
            From::Choice(words) => ParameterType::Choice(words),
            From::Text => ParameterType::Text,
            From::Integers(range) => ParameterType::Integers { min: range.min, max: range.max },
            From::Numbers(range) => ParameterType::Numbers { min: range.min, max: range.max },
        },
        default: given.default.map(value),
    }
}

fn example(given: description::Example) -> Example {
    let setting = |given: description::Setting| Setting::new(given.name, value(given.value));
    Example { title: given.title, settings: given.settings.into_iter().map(setting).collect() }
}

fn value(given: description::Value) -> Value {
    match given {
        description::Value::Boolean(value) => Value::Boolean(value),
        description::Value::Integer(value) => Value::Integer(value),
        description::Value::Number(value) => Value::Number(value),
        description::Value::Text(text) => Value::Text(text),
        description::Value::Integers(values) => Value::Integers(values),
        description::Value::Numbers(values) => Value::Numbers(values),
    }
}

pub(super) fn settings(plain: &[Setting]) -> Vec<description::Setting> {
    let value = |value: &Value| match value.clone() {
        Value::Boolean(value) => description::Value::Boolean(value),
        Value::Integer(value) => description::Value::Integer(value),
        Value::Number(value) => description::Value::Number(value),
        Value::Text(text) => description::Value::Text(text),
        Value::Integers(values) => description::Value::Integers(values),
        Value::Numbers(values) => description::Value::Numbers(values),
    };
    let setting = |setting: &Setting| description::Setting {
        name: setting.name.clone(),
        value: value(&setting.value),
    };
    plain.iter().map(setting).collect()
}

pub(super) fn sample(plain: &Sample) -> image_augmentations::Sample {
    image_augmentations::Sample { seed: plain.seed, epoch: plain.epoch, size: plain.size }
}

pub(super) fn layer(plain: &Layer) -> attentions::Layer {
    attentions::Layer {
        index: plain.index,
        depth: plain.depth,
        heads: plain.heads,
        head_width: plain.head_width,
        prefix_tokens: plain.prefix_tokens,
        grid_height: plain.grid_height,
        grid_width: plain.grid_width,
        dropout: plain.dropout,
    }
}

pub(super) fn batch(plain: &Batch) -> batch_augmentations::Batch {
    batch_augmentations::Batch {
        height: plain.height,
        width: plain.width,
        channels: plain.channels,
        classes: plain.classes,
    }
}

pub(super) fn interests(given: monitors::Interests) -> Interests {
    Interests { steps: given.steps, layers: given.layers }
}

pub(super) fn action(given: monitors::Action) -> Action {
    let change =
        |given: monitors::RateChange| RateChange { factor: given.factor, reason: given.reason };
    match given {
        monitors::Action::Metric(metric) => {
            Action::Metric { name: metric.name, value: metric.value }
        }
        monitors::Action::Warn(message) => Action::Warn(message),
        monitors::Action::ScaleLearningRate(given) => Action::ScaleLearningRate(change(given)),
        monitors::Action::Save(reason) => Action::Save(reason),
        monitors::Action::RollBack(given) => Action::RollBack(change(given)),
        monitors::Action::Stop(reason) => Action::Stop(reason),
    }
}

/// An event of this contract's interface `monitors`; none if it has another, or is a newer contract's.
pub(super) fn event(plain: &Event) -> Option<monitors::Event> {
    Some(match plain {
        Event::Started(run) => monitors::Event::Started(monitors::Run {
            start_step: run.start_step,
            total_steps: run.total_steps,
            steps_per_epoch: run.steps_per_epoch,
            train_images: run.train_images,
            val_images: run.val_images,
            batch_size: run.batch_size,
            parameters: run.parameters,
            flops_per_image: run.flops_per_image,
            peak_flops: run.peak_flops,
            device: run.device.clone(),
        }),
        Event::Stepped(step) => monitors::Event::Stepped(self::step(step)),
        Event::Layers(report) => monitors::Event::Layers(monitors::Layers {
            step: report.step,
            epoch: report.epoch,
            parameters: report
                .parameters
                .iter()
                .map(|parameter| monitors::ParameterStatistics {
                    name: parameter.name.clone(),
                    elements: parameter.elements,
                    gradient: distribution(&parameter.gradient),
                    weight: distribution(&parameter.weight),
                })
                .collect(),
        }),
        Event::Evaluated(evaluation) => monitors::Event::Evaluated(monitors::Evaluation {
            step: evaluation.step,
            epoch: evaluation.epoch,
            loss: evaluation.loss,
            top1: evaluation.top1,
            top5: evaluation.top5,
            is_best: evaluation.is_best,
        }),
        Event::Saved(checkpoint) => monitors::Event::Saved(monitors::Checkpoint {
            step: checkpoint.step,
            name: checkpoint.name.clone(),
        }),
        Event::Ended(reason) => monitors::Event::Ended(reason.clone()),
        _ => return None,
    })
}

pub(super) fn data_report(plain: &DataReport) -> data_monitors::DataReport {
    let stage = |stage: &vitral_abi::StageTime| data_monitors::StageTime {
        name: stage.name.clone(),
        seconds: stage.seconds,
    };
    data_monitors::DataReport {
        step: plain.step,
        epoch: plain.epoch,
        seconds: plain.seconds,
        wait: plain.wait,
        workers: plain.workers,
        prefetch: plain.prefetch,
        stages: plain.stages.iter().map(stage).collect(),
    }
}

fn step(plain: &vitral_abi::Step) -> monitors::Step {
    let Memory { host, host_peak, device, device_peak } = plain.memory;
    monitors::Step {
        step: plain.step,
        epoch: plain.epoch,
        images: plain.images,
        learning_rate: plain.learning_rate,
        figures: plain.figures.map(|figures| monitors::Figures {
            loss: figures.loss,
            accuracy: figures.accuracy,
            gradient_norm: figures.gradient_norm,
        }),
        timings: monitors::Timings {
            total: plain.timings.total,
            data_wait: plain.timings.data_wait,
            gradients: plain.timings.gradients,
            update: plain.timings.update,
        },
        memory: monitors::Memory { host, host_peak, device, device_peak },
    }
}

fn distribution(plain: &Distribution) -> monitors::Distribution {
    monitors::Distribution {
        mean: plain.mean,
        deviation: plain.deviation,
        norm: plain.norm,
        largest: plain.largest,
        zeros: plain.zeros,
        non_finite: plain.non_finite,
        magnitudes: plain.magnitudes.to_vec(),
    }
}
