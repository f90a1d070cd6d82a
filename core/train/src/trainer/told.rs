//! What monitors are told of an event.

use crate::{DataReport, RunInfo, StepReport, event::Event, memory::memory};

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
    fn a_skipped_step_has_no_figures() {
        let figures = |skipped| match &told(&stepped(skipped), true)[..] {
            [_, vitral_host::Event::Stepped(step)] => step.figures.is_some(),
            others => panic!("{others:?}"),
        };
        assert!(figures(false) && !figures(true));
    }
}
