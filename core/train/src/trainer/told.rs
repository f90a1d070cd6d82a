//! What monitors are told of an event.

use std::path::Path;

use serde_json::Value;

use crate::{
    DataReport, Experiment, RunInfo, StepReport, event::Event, experiment::fields, memory::memory,
};

/// What monitors are told of an event, in this order; nothing of most. What takes time to find out of a step
/// is left out unless a monitor `wants_step`.
pub(super) fn told(event: &Event, wants_step: bool) -> Vec<vitral_host::Event> {
    match event {
        // A smaller model goes on: monitors know a run by what it was when it started.
        Event::Started(info) | Event::Pruned { run: info, .. } => {
            vec![vitral_host::Event::Started(run(info))]
        }
        Event::Statistics(report) => vec![vitral_host::Event::Layers(report.clone())],
        Event::Stepped(report) => {
            let data = report.data.as_ref().map(|data| data_report(data, report));
            let step = wants_step.then(|| step(report, memory()));
            let data = data.map(vitral_host::Event::Data);
            data.into_iter().chain(step.map(vitral_host::Event::Stepped)).collect()
        }
        Event::Evaluated { step, epoch, evaluation, is_best, is_again: false } => {
            vec![vitral_host::Event::Evaluated(vitral_host::Evaluation {
                step: *step,
                epoch: *epoch,
                loss: evaluation.loss,
                top1: evaluation.top1,
                top5: evaluation.top5,
                is_best: *is_best,
            })]
        }
        Event::Saved { step, path, .. } => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            vec![vitral_host::Event::Saved(vitral_host::Checkpoint { step: *step, name })]
        }
        Event::RolledBack { from, to: Some(to), reason, .. } => {
            let (from_step, to_step, reason) = (*from, *to, reason.clone());
            vec![vitral_host::Event::RolledBack(vitral_host::RollBack {
                from_step,
                to_step,
                reason,
            })]
        }
        Event::Ended { reason, .. } => vec![vitral_host::Event::Ended(reason.clone())],
        _ => Vec::new(),
    }
}

/// What monitors are told of the experiment of a run, once it has started.
pub(super) fn configured(
    experiment: &Experiment,
    run: &Path,
) -> serde_json::Result<vitral_host::Event> {
    let field = |(name, value): (String, Value)| vitral_host::ConfiguredField {
        name,
        value: match value {
            Value::String(text) => text,
            value => value.to_string(),
        },
    };
    let fields = fields::of(experiment)?.into_iter().map(field).collect();
    // Of `.`, too, the folder's name.
    let run = run.canonicalize().unwrap_or_else(|_| run.to_owned());
    let run = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(vitral_host::Event::Configured(vitral_host::Configuration { run, fields }))
}

fn run(info: &RunInfo) -> vitral_host::Run {
    vitral_host::Run {
        start_step: info.start_step,
        total_steps: info.total_steps,
        steps_per_epoch: info.steps_per_epoch,
        train_images: info.train_images as u64,
        val_images: info.val_images as u64,
        batch_size: count(info.batch),
        parameters: info.parameters as u64,
        flops_per_image: info.flops_per_image,
        peak_flops: None,
        device: info.device.clone(),
    }
}

fn step(report: &StepReport, memory: vitral_host::Memory) -> vitral_host::Step {
    vitral_host::Step {
        step: report.step,
        epoch: report.epoch,
        images: count(report.images),
        learning_rate: report.learning_rate,
        // Those of a step that was skipped would be a false alarm.
        figures: report.figures.filter(|_| !report.was_skipped()).map(|figures| {
            vitral_host::Figures {
                loss: figures.loss.into(),
                accuracy: figures.accuracy.into(),
                gradient_norm: figures.gradient_norm.into(),
            }
        }),
        timings: vitral_host::Timings {
            total: report.time.as_secs_f64(),
            data_wait: report.data_wait.as_secs_f64(),
            gradients: report.gradients_time.as_secs_f64(),
            update: report.update_time.as_secs_f64(),
        },
        memory,
    }
}

/// What the data path did, with the step that it comes with.
fn data_report(data: &DataReport, report: &StepReport) -> vitral_host::DataReport {
    let stages = data.stages.iter().map(|(name, time)| vitral_host::StageTime {
        name: name.clone(),
        seconds: time.as_secs_f64(),
    });
    vitral_host::DataReport {
        step: report.step,
        epoch: report.epoch,
        seconds: data.time.as_secs_f64(),
        wait: data.wait.as_secs_f64(),
        workers: count(data.workers),
        prefetch: count(data.prefetch),
        stages: stages.collect(),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{ScalingReport, StepFigures};

    fn stepped(skipped: bool) -> Event {
        let data = DataReport {
            time: Duration::from_secs(2),
            wait: Duration::from_secs(1),
            workers: 2,
            prefetch: 3,
            stages: vec![("read".into(), Duration::from_secs(4))],
        };
        Event::Stepped(StepReport {
            step: 7,
            epoch: 0.5,
            images: 8,
            left_out: 0,
            micro_batch: None,
            learning_rate: 1e-3,
            figures: Some(StepFigures { loss: f32::NAN, accuracy: 0.5, gradient_norm: 1.0 }),
            scaling: Some(ScalingReport { skipped, scale: 2.0, skipped_steps: 1 }),
            time: Duration::ZERO,
            data_wait: Duration::ZERO,
            communication: None,
            gradients_time: Duration::ZERO,
            update_time: Duration::ZERO,
            data: Some(data),
        })
    }

    #[test]
    fn what_the_data_path_did_comes_before_its_step() {
        use vitral_host::Event::{Data, Stepped};
        assert!(matches!(&told(&stepped(false), true)[..], [Data(_), Stepped(_)]));
        let found = told(&stepped(false), false);
        let [Data(data)] = &found[..] else { panic!("{found:?}") };
        assert_eq!((data.step, data.wait, data.stages[0].seconds), (7, 1.0, 4.0));
    }

    #[test]
    fn monitors_are_told_every_field_of_the_experiment() {
        let text = r#"(
            output: "runs/one",
            data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])),
            train: (learning_rate: 2e-3),
        )"#;
        let experiment = vitral_config::Document::new("test", text).parse().unwrap();
        let told = configured(&experiment, Path::new("runs/one")).unwrap();
        let vitral_host::Event::Configured(configuration) = told else { panic!("{told:?}") };
        assert_eq!(configuration.run, "one");
        let value = |name: &str| {
            let mut fields = configuration.fields.iter();
            fields.find(|field| field.name == name).map(|field| field.value.as_str())
        };
        assert_eq!(value("train.learning_rate"), Some("0.002"));
        assert_eq!(value("output"), Some("runs/one"));
        assert!(value("model.depth").is_some() && value("train").is_none());
    }

    #[test]
    fn a_skipped_step_has_no_figures() {
        let figures = |skipped| match &told(&stepped(skipped), true)[..] {
            [_, vitral_host::Event::Stepped(step)] => step.figures.is_some(),
            others => panic!("{others:?}"),
        };
        assert!(figures(false) && !figures(true));
    }
}
