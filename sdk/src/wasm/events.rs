//! Between plain types and those of the bindings: what monitors hear and ask for.

use vitral_abi::{
    Action, Checkpoint, DataReport, Distribution, Evaluation, Event, Figures, LayerReport, Memory,
    ParameterStatistics, RateChange, Run, StageTime, Step, Timings,
};

use super::bindings::exports::vitral::plugin::{data_monitors, monitors as wit};

/// Records that have the same fields on both sides.
macro_rules! same_fields {
    ($($from:ident => $to:ident { $($field:ident),* $(,)? })*) => {$(
        impl From<wit::$from> for $to {
            fn from(given: wit::$from) -> Self {
                Self { $($field: given.$field.into()),* }
            }
        }
    )*};
}

same_fields! {
    Timings => Timings { total, data_wait, gradients, update }
    Figures => Figures { loss, accuracy, gradient_norm }
    Evaluation => Evaluation { step, epoch, loss, top1, top5, is_best }
    Checkpoint => Checkpoint { step, name }
    ParameterStatistics => ParameterStatistics { name, elements, gradient, weight }
}

impl From<wit::Memory> for Memory {
    fn from(given: wit::Memory) -> Self {
        let wit::Memory { host, host_peak, device, device_peak } = given;
        Self { host, host_peak, device, device_peak }
    }
}

impl From<wit::Run> for Run {
    fn from(given: wit::Run) -> Self {
        Self {
            start_step: given.start_step,
            total_steps: given.total_steps,
            steps_per_epoch: given.steps_per_epoch,
            train_images: given.train_images,
            val_images: given.val_images,
            batch_size: given.batch_size,
            parameters: given.parameters,
            flops_per_image: given.flops_per_image,
            peak_flops: given.peak_flops,
            device: given.device,
        }
    }
}

impl From<wit::Step> for Step {
    fn from(given: wit::Step) -> Self {
        Self {
            step: given.step,
            epoch: given.epoch,
            images: given.images,
            learning_rate: given.learning_rate,
            figures: given.figures.map(Figures::from),
            timings: given.timings.into(),
            memory: given.memory.into(),
        }
    }
}

impl From<wit::Distribution> for Distribution {
    fn from(given: wit::Distribution) -> Self {
        let mut counts = given.magnitudes.into_iter();
        Self {
            mean: given.mean,
            deviation: given.deviation,
            norm: given.norm,
            largest: given.largest,
            zeros: given.zeros,
            non_finite: given.non_finite,
            magnitudes: std::array::from_fn(|_| counts.next().unwrap_or(0)),
        }
    }
}

impl From<wit::Layers> for LayerReport {
    fn from(given: wit::Layers) -> Self {
        let parameters = given.parameters.into_iter().map(ParameterStatistics::from).collect();
        Self { step: given.step, epoch: given.epoch, parameters }
    }
}

impl From<wit::Event> for Event {
    fn from(event: wit::Event) -> Self {
        match event {
            wit::Event::Started(run) => Self::Started(run.into()),
            wit::Event::Stepped(step) => Self::Stepped(step.into()),
            wit::Event::Layers(report) => Self::Layers(report.into()),
            wit::Event::Evaluated(evaluation) => Self::Evaluated(evaluation.into()),
            wit::Event::Saved(checkpoint) => Self::Saved(checkpoint.into()),
            wit::Event::Ended(reason) => Self::Ended(reason),
        }
    }
}

impl From<data_monitors::DataReport> for DataReport {
    fn from(given: data_monitors::DataReport) -> Self {
        let stage = |given: data_monitors::StageTime| StageTime {
            name: given.name,
            seconds: given.seconds,
        };
        Self {
            step: given.step,
            epoch: given.epoch,
            seconds: given.seconds,
            wait: given.wait,
            workers: given.workers,
            prefetch: given.prefetch,
            stages: given.stages.into_iter().map(stage).collect(),
        }
    }
}

/// An action as the bindings have it.
pub(super) fn action(action: Action) -> wit::Action {
    let change = |RateChange { factor, reason }| wit::RateChange { factor, reason };
    match action {
        Action::Metric { name, value } => wit::Action::Metric(wit::Metric { name, value }),
        Action::Warn(text) => wit::Action::Warn(text),
        Action::ScaleLearningRate(scale) => wit::Action::ScaleLearningRate(change(scale)),
        Action::Save(reason) => wit::Action::Save(reason),
        Action::RollBack(scale) => wit::Action::RollBack(change(scale)),
        Action::Stop(reason) => wit::Action::Stop(reason),
        // The plain type is of the same version of the contract.
        _ => unreachable!("an action that this version of the contract does not have"),
    }
}
