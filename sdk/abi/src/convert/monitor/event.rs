//! Events.

use std::marker::PhantomData;

use crate::c::{self, EventData};
use crate::convert::Result;
use crate::convert::list::{each, list_of, part, text_of};
use crate::convert::value::flag;
use crate::{
    Checkpoint, DataReport, Distribution, Evaluation, Event, Figures, LayerReport, Memory,
    ParameterStatistics, Run, StageTime, Step, Timings,
};

/// How unknown memory is handed over.
const UNKNOWN: u64 = u64::MAX;

/// An event in C form.
#[derive(Clone)]
pub struct CEvent<'a> {
    event: c::Event,
    /// What the event of a layer report points to.
    _parameters: Vec<c::ParameterStatistics>,
    /// What the event of a data report points to.
    _stages: Vec<c::StageTime>,
    borrowed: PhantomData<&'a Event>,
}

impl<'a> CEvent<'a> {
    /// Borrows an event.
    pub fn new(event: &'a Event) -> Self {
        let (mut parameters, mut stages) = (Vec::new(), Vec::new());
        let (tag, data) = match event {
            Event::Started(run) => (c::STARTED, EventData { started: run_to_c(run) }),
            Event::Stepped(step) => (c::STEPPED, EventData { stepped: step_to_c(step) }),
            Event::Layers(report) => {
                parameters.extend(report.parameters.iter().map(statistics_to_c));
                let (step, epoch) = (report.step, report.epoch);
                let layers = c::LayerReport { step, epoch, parameters: list_of(&parameters) };
                (c::LAYERS, EventData { layers })
            }
            Event::Evaluated(evaluation) => {
                (c::EVALUATED, EventData { evaluated: evaluation_to_c(evaluation) })
            }
            Event::Saved(Checkpoint { step, name }) => {
                (c::SAVED, EventData { saved: c::Checkpoint { step: *step, name: text_of(name) } })
            }
            Event::Ended(reason) => (c::ENDED, EventData { ended: text_of(reason) }),
            Event::Data(report) => {
                stages.extend(report.stages.iter().map(stage_to_c));
                (c::DATA, EventData { data: data_to_c(report, &stages) })
            }
        };
        let event = c::Event { tag, data };
        Self { event, _parameters: parameters, _stages: stages, borrowed: PhantomData }
    }

    /// The event, valid as long as this is.
    pub fn as_c(&self) -> &c::Event {
        &self.event
    }
}

/// An event; `None` if it is of a kind that this version does not know, which is to be ignored.
///
/// # Errors
/// If what the event holds makes no sense.
///
/// # Safety
/// The field that the tag tells is set; for its lists and text as [`items`](crate::convert::items).
pub unsafe fn event(given: &c::Event) -> Result<Option<Event>> {
    let data = &given.data;
    // SAFETY: the caller vouches for the field that the tag tells and everything in it.
    unsafe {
        Ok(Some(match given.tag {
            c::STARTED => Event::Started(run(&data.started)?),
            c::STEPPED => Event::Stepped(step(&data.stepped)),
            c::LAYERS => Event::Layers(LayerReport {
                step: data.layers.step,
                epoch: data.layers.epoch,
                parameters: each(data.layers.parameters, "parameter", |given| statistics(given))?,
            }),
            c::EVALUATED => Event::Evaluated(evaluation(&data.evaluated)?),
            c::SAVED => Event::Saved(Checkpoint {
                step: data.saved.step,
                name: part(data.saved.name, "checkpoint")?,
            }),
            c::ENDED => Event::Ended(part(data.ended, "reason")?),
            c::DATA => Event::Data(self::data(&data.data)?),
            _ => return Ok(None),
        }))
    }
}

fn run_to_c(run: &Run) -> c::Run {
    c::Run {
        start_step: run.start_step,
        total_steps: run.total_steps,
        steps_per_epoch: run.steps_per_epoch,
        train_images: run.train_images,
        val_images: run.val_images,
        batch_size: run.batch_size,
        parameters: run.parameters,
        flops_per_image: run.flops_per_image,
        peak_flops: run.peak_flops.unwrap_or(f64::NAN),
        device: text_of(&run.device),
    }
}

unsafe fn run(given: &c::Run) -> Result<Run> {
    Ok(Run {
        start_step: given.start_step,
        total_steps: given.total_steps,
        steps_per_epoch: given.steps_per_epoch,
        train_images: given.train_images,
        val_images: given.val_images,
        batch_size: given.batch_size,
        parameters: given.parameters,
        flops_per_image: given.flops_per_image,
        peak_flops: Some(given.peak_flops).filter(|flops| !flops.is_nan()),
        // SAFETY: the caller vouches for it.
        device: unsafe { part(given.device, "device") }?,
    })
}

fn step_to_c(step: &Step) -> c::Step {
    let nothing = Figures { loss: f64::NAN, accuracy: f64::NAN, gradient_norm: f64::NAN };
    let figures = step.figures.unwrap_or(nothing);
    c::Step {
        step: step.step,
        epoch: step.epoch,
        images: step.images,
        has_figures: step.figures.is_some().into(),
        learning_rate: step.learning_rate,
        loss: figures.loss,
        accuracy: figures.accuracy,
        gradient_norm: figures.gradient_norm,
        timings: timings_to_c(step.timings),
        memory: memory_to_c(step.memory),
    }
}

fn step(given: &c::Step) -> Step {
    let figures =
        Figures { loss: given.loss, accuracy: given.accuracy, gradient_norm: given.gradient_norm };
    Step {
        step: given.step,
        epoch: given.epoch,
        images: given.images,
        learning_rate: given.learning_rate,
        figures: (given.has_figures != 0).then_some(figures),
        timings: timings(given.timings),
        memory: memory(given.memory),
    }
}

fn timings_to_c(plain: Timings) -> c::Timings {
    let Timings { total, data_wait, gradients, update } = plain;
    c::Timings { total, data_wait, gradients, update }
}

fn timings(given: c::Timings) -> Timings {
    let c::Timings { total, data_wait, gradients, update } = given;
    Timings { total, data_wait, gradients, update }
}

fn memory_to_c(memory: Memory) -> c::Memory {
    c::Memory {
        host: memory.host,
        host_peak: memory.host_peak,
        device: memory.device.unwrap_or(UNKNOWN),
        device_peak: memory.device_peak.unwrap_or(UNKNOWN),
    }
}

fn memory(given: c::Memory) -> Memory {
    let known = |bytes| Some(bytes).filter(|&bytes| bytes != UNKNOWN);
    Memory {
        host: given.host,
        host_peak: given.host_peak,
        device: known(given.device),
        device_peak: known(given.device_peak),
    }
}

fn statistics_to_c(statistics: &ParameterStatistics) -> c::ParameterStatistics {
    c::ParameterStatistics {
        name: text_of(&statistics.name),
        elements: statistics.elements,
        gradient: distribution_to_c(&statistics.gradient),
        weight: distribution_to_c(&statistics.weight),
    }
}

unsafe fn statistics(given: &c::ParameterStatistics) -> Result<ParameterStatistics> {
    Ok(ParameterStatistics {
        // SAFETY: the caller vouches for it.
        name: unsafe { part(given.name, "name") }?,
        elements: given.elements,
        gradient: distribution(given.gradient),
        weight: distribution(given.weight),
    })
}

fn distribution_to_c(plain: &Distribution) -> c::Distribution {
    let &Distribution { mean, deviation, norm, largest, zeros, non_finite, magnitudes } = plain;
    c::Distribution { mean, deviation, norm, largest, zeros, non_finite, magnitudes }
}

fn distribution(given: c::Distribution) -> Distribution {
    let c::Distribution { mean, deviation, norm, largest, zeros, non_finite, magnitudes } = given;
    Distribution { mean, deviation, norm, largest, zeros, non_finite, magnitudes }
}

fn evaluation_to_c(plain: &Evaluation) -> c::Evaluation {
    let &Evaluation { step, epoch, loss, top1, top5, is_best } = plain;
    c::Evaluation { step, epoch, loss, top1, top5, is_best: is_best.into() }
}

fn evaluation(given: &c::Evaluation) -> Result<Evaluation> {
    let &c::Evaluation { step, epoch, loss, top1, top5, is_best } = given;
    let is_best = flag(is_best).map_err(|error| error.at("is_best"))?;
    Ok(Evaluation { step, epoch, loss, top1, top5, is_best })
}

fn stage_to_c(stage: &StageTime) -> c::StageTime {
    c::StageTime { name: text_of(&stage.name), seconds: stage.seconds }
}

fn data_to_c(plain: &DataReport, stages: &[c::StageTime]) -> c::DataReport {
    let &DataReport { step, epoch, seconds, wait, workers, prefetch, .. } = plain;
    c::DataReport { step, epoch, seconds, wait, workers, prefetch, stages: list_of(stages) }
}

unsafe fn data(given: &c::DataReport) -> Result<DataReport> {
    let &c::DataReport { step, epoch, seconds, wait, workers, prefetch, stages } = given;
    let stage = |given: &c::StageTime| {
        // SAFETY: the caller vouches for it.
        let name = unsafe { part(given.name, "name") }?;
        Ok(StageTime { name, seconds: given.seconds })
    };
    // SAFETY: the caller vouches for the list.
    let stages = unsafe { each(stages, "stage", stage) }?;
    Ok(DataReport { step, epoch, seconds, wait, workers, prefetch, stages })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    fn a_step(figures: Option<Figures>, device: Option<u64>) -> Event {
        Event::Stepped(Step {
            step: 7,
            epoch: 0.5,
            images: 64,
            learning_rate: 1e-3,
            figures,
            timings: Timings { total: 4.0, data_wait: 1.0, gradients: 2.0, update: 0.5 },
            memory: Memory { host: 1, host_peak: 2, device, device_peak: device },
        })
    }

    fn a_report() -> Event {
        let distribution = Distribution {
            mean: 0.1,
            deviation: 0.2,
            norm: 0.3,
            largest: 0.4,
            zeros: 5,
            non_finite: 6,
            magnitudes: std::array::from_fn(|index| index as u64),
        };
        let statistics = |name: &str| ParameterStatistics {
            name: name.into(),
            elements: 192,
            gradient: distribution.clone(),
            weight: Distribution { mean: -1.0, ..distribution.clone() },
        };
        let parameters = vec![statistics("cls_token"), statistics("blocks.0.attn.qkv.weight")];
        Event::Layers(LayerReport { step: 3, epoch: 0.25, parameters })
    }

    fn every_event() -> Vec<Event> {
        let run = Run {
            start_step: 1,
            total_steps: 2,
            steps_per_epoch: 3,
            train_images: 4,
            val_images: 5,
            batch_size: 6,
            parameters: 7,
            flops_per_image: 8.0,
            peak_flops: None,
            device: "2 cores".into(),
        };
        let evaluation =
            Evaluation { step: 1, epoch: 2.0, loss: 3.0, top1: 0.4, top5: 0.5, is_best: true };
        let figures = Figures { loss: 2.3, accuracy: 0.1, gradient_norm: 1.5 };
        vec![
            Event::Started(Run { peak_flops: Some(1e12), ..run.clone() }),
            Event::Started(run),
            a_step(None, None),
            a_step(Some(figures), Some(3)),
            a_report(),
            Event::Evaluated(evaluation),
            Event::Saved(Checkpoint { step: 9, name: "step-9".into() }),
            Event::Ended("all steps are made".into()),
            Event::Data(DataReport {
                step: 10,
                epoch: 0.5,
                seconds: 2.0,
                wait: 0.25,
                workers: 2,
                prefetch: 4,
                stages: [("read", 0.5), ("decode", 1.5)]
                    .map(|(name, seconds)| StageTime { name: name.into(), seconds })
                    .into(),
            }),
        ]
    }

    #[test]
    fn events_round_trip() {
        for one in every_event() {
            // SAFETY: the event borrows from `one`.
            assert_eq!(unsafe { event(CEvent::new(&one).as_c()) }, Ok(Some(one.clone())));
        }
    }

    #[test]
    fn unknown_events_are_ignored_and_bad_ones_refused() {
        let read = |tag, data| {
            // SAFETY: what the tag tells is set, and null lists are refused.
            unsafe { event(&c::Event { tag, data }) }
        };
        let null = c::List { data: ptr::null(), len: 1 };
        assert_eq!(read(7, EventData { ended: null }), Ok(None));
        let error = read(c::ENDED, EventData { ended: null }).unwrap_err();
        assert_eq!(error.to_string(), "reason: a list of 1 items is at null");
        let evaluated =
            c::Evaluation { step: 0, epoch: 0.0, loss: 0.0, top1: 0.0, top5: 0.0, is_best: 9 };
        let error = read(c::EVALUATED, EventData { evaluated }).unwrap_err();
        assert_eq!(error.to_string(), "is_best: a truth value is 0 or 1, not 9");
    }
}
