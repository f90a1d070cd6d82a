//! Events for monitors, with sensible values for what a test does not say.
//!
//! ```
//! use vitral_sdk::Event;
//! use vitral_testkit::events;
//!
//! let event: Event = events::step(20).loss(2.0).seconds(0.5).data_wait(0.1).into();
//! let Event::Stepped(step) = event else { unreachable!() };
//! assert_eq!((step.step, step.images, step.timings.data_wait), (20, 64, 0.1));
//! assert_eq!(step.figures.map(|figures| figures.loss), Some(2.0));
//! ```

mod data;
mod layers;
mod runs;

use vitral_host::{
    Checkpoint, Configuration, ConfiguredField, Evaluation, Event, Figures, Memory, RollBack, Run,
    Step, Timings,
};

pub use data::{DataEvent, data};
pub use layers::{LayersEvent, ParameterBuilder, layers, parameter};
pub use runs::{ordinary, troubled};

/// Steps of an epoch in the events made here.
pub const STEPS_PER_EPOCH: u64 = 10;

const MIB: u64 = 1 << 20;

/// Builders of plain events: what wraps which type, the functions that change it, and its event.
macro_rules! builder {
    ($(#[$doc:meta])* $Builder:ident($Inner:ty) is $Variant:ident {
        $($(#[$setter_doc:meta])* $setter:ident($($argument:ident: $Type:ty),*) => |$it:ident| $set:expr;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[must_use]
        pub struct $Builder($Inner);

        impl $Builder {
            $($(#[$setter_doc])*
            pub fn $setter(mut self, $($argument: $Type),*) -> Self {
                let $it = &mut self.0;
                $set;
                self
            })*
        }

        impl From<$Builder> for Event {
            fn from(builder: $Builder) -> Self {
                Self::$Variant(builder.0)
            }
        }
    };
}

builder! {
    /// A start.
    StartedEvent(Run) is Started {
        /// The run goes on from this step.
        start_step(step: u64) => |run| run.start_step = step;
        /// Operations of an image, and how many of them the device can do each second.
        flops(per_image: f64, peak: Option<f64>) => |run| {
            run.flops_per_image = per_image;
            run.peak_flops = peak;
        };
        /// Images of a step.
        batch_size(images: u32) => |run| run.batch_size = images;
    }
}

/// A run of 1000 steps starts: 64 images each, 1 GFLOP for an image, 100 GFLOP/s at most.
pub fn started() -> StartedEvent {
    StartedEvent(Run {
        start_step: 0,
        total_steps: 1000,
        steps_per_epoch: STEPS_PER_EPOCH,
        train_images: 640,
        val_images: 100,
        batch_size: 64,
        parameters: 100_000,
        flops_per_image: 1e9,
        peak_flops: Some(1e11),
        device: "cpu".into(),
    })
}

builder! {
    /// A step.
    StepEvent(Step) is Stepped {
        /// The step is logged, with this loss.
        loss(loss: f64) => |step| figures(step).loss = loss;
        /// The step is logged, with this accuracy.
        accuracy(accuracy: f64) => |step| figures(step).accuracy = accuracy;
        /// The step is logged, with this norm of the gradients.
        gradient_norm(norm: f64) => |step| figures(step).gradient_norm = norm;
        /// Its images.
        images(images: u32) => |step| step.images = images;
        /// Its learning rate.
        learning_rate(rate: f64) => |step| step.learning_rate = rate;
        /// Its time in all: waiting for data, gradients (the larger part of the rest), update.
        seconds(total: f64) => |step| step.timings = timings(total, step.timings.data_wait);
        /// How much of its time went into waiting for data.
        data_wait(seconds: f64) => |step| step.timings = timings(step.timings.total, seconds);
        /// The host's memory in use and at its largest, in MiB.
        host_memory(now: u64, peak: u64) => |step| {
            step.memory.host = now * MIB;
            step.memory.host_peak = peak * MIB;
        };
        /// The device's memory in use and at its largest, in MiB.
        device_memory(now: u64, peak: u64) => |step| {
            step.memory.device = Some(now * MIB);
            step.memory.device_peak = Some(peak * MIB);
        };
    }
}

/// A step of 64 images that took 0.1 s, without waiting and without figures.
pub fn step(step: u64) -> StepEvent {
    let memory = Memory { host: 100 * MIB, host_peak: 100 * MIB, device: None, device_peak: None };
    StepEvent(Step {
        step,
        epoch: epoch(step),
        images: 64,
        learning_rate: 1e-3,
        figures: None,
        timings: timings(0.1, 0.0),
        memory,
    })
}

fn figures(step: &mut Step) -> &mut Figures {
    step.figures.get_or_insert(Figures { loss: 1.0, accuracy: 0.5, gradient_norm: 1.0 })
}

fn timings(total: f64, data_wait: f64) -> Timings {
    let computing = total - data_wait;
    Timings { total, data_wait, gradients: computing * 0.75, update: computing * 0.25 }
}

builder! {
    /// An evaluation.
    EvaluationEvent(Evaluation) is Evaluated {
        /// Mean loss.
        loss(loss: f64) => |evaluation| evaluation.loss = loss;
        /// Share of right images.
        top1(share: f64) => |evaluation| evaluation.top1 = share;
        /// Share of images with the class among the five highest.
        top5(share: f64) => |evaluation| evaluation.top5 = share;
        /// No evaluation before was better.
        best() => |evaluation| evaluation.is_best = true;
    }
}

/// An evaluation after a step: loss 1, half of the images right, most among the first five.
pub fn evaluation(step: u64) -> EvaluationEvent {
    let epoch = epoch(step);
    EvaluationEvent(Evaluation { step, epoch, loss: 1.0, top1: 0.5, top5: 0.9, is_best: false })
}

/// A checkpoint was written.
pub fn saved(step: u64) -> Event {
    Event::Saved(Checkpoint { step, name: format!("step-{step}") })
}

/// The run went back to a checkpoint.
pub fn rolled_back(from_step: u64, to_step: u64) -> Event {
    Event::RolledBack(RollBack { from_step, to_step, reason: "the loss jumped".into() })
}

/// The experiment of a run in the folder `run`, with these fields.
pub fn configured(fields: &[(&str, &str)]) -> Event {
    let field = |&(name, value): &(&str, &str)| ConfiguredField {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let fields = fields.iter().map(field).collect();
    Event::Configured(Configuration { run: "run".into(), fields })
}

/// The run ends.
pub fn ended(reason: &str) -> Event {
    Event::Ended(reason.to_owned())
}

fn epoch(step: u64) -> f64 {
    step as f64 / STEPS_PER_EPOCH as f64
}
