//! What is measured of each kind.

use std::time::{Duration, Instant};

use vitral_host::{
    Batch, CallError, Event, Image, ImageAugmentation, Kind, Layer, Monitor, Plugin, Sample,
    Settings,
};
use vitral_program::Limits;
use vitral_testkit::events;

use crate::check::{image, is_of_interest};

/// A layer of ViT-S/16 at 224 pixels.
const LAYER: Layer = Layer {
    index: 1,
    depth: 12,
    heads: 6,
    head_width: 64,
    prefix_tokens: 1,
    grid_height: 14,
    grid_width: 14,
    dropout: 0.0,
};
const BATCH: Batch = Batch { height: 224, width: 224, channels: 3, classes: 1000 };

/// Something that can be done again and again.
pub(super) enum Work {
    Augment {
        instance: Box<dyn ImageAugmentation>,
        original: Image,
        /// What the next call gets: a new seed each time, the same for each form.
        sample: Sample,
    },
    Trace(Plugin, Settings),
    Observe {
        monitor: Box<dyn Monitor>,
        events: Vec<Event>,
        next: usize,
    },
}

impl Work {
    pub(super) fn new(plugin: &Plugin, settings: Settings) -> Result<Self, CallError> {
        Ok(match plugin.kind() {
            Kind::ImageAugmentation => Self::Augment {
                instance: plugin.image_augmentation(&settings)?,
                original: image(224, 224, 3, 0),
                sample: Sample { seed: 0, epoch: 0, size: 224 },
            },
            Kind::Attention | Kind::BatchAugmentation => Self::Trace(plugin.clone(), settings),
            Kind::Monitor => {
                let monitor = plugin.monitor(&settings)?;
                let interests = monitor.interests();
                let mut events = events::ordinary();
                events.retain(|event| is_of_interest(interests, event));
                Self::Observe { monitor, events, next: 0 }
            }
        })
    }

    /// What one call is.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Augment { .. } => "augment 224x224x3",
            Self::Trace(plugin, _) if plugin.kind() == Kind::Attention => {
                "trace a layer of ViT-S/16"
            }
            Self::Trace(..) => "trace batches of 224x224x3",
            Self::Observe { .. } => "observe an event",
        }
    }

    pub(super) fn is_of_images(&self) -> bool {
        matches!(self, Self::Augment { .. })
    }

    /// Does it some times, and says how long one call took on average.
    pub(super) fn calls(&mut self, calls: u32) -> Result<Duration, CallError> {
        let mut total = Duration::ZERO;
        for _ in 0..calls {
            total += self.once()?;
        }
        Ok(total / calls.max(1))
    }

    /// Goes back to the first input.
    pub(super) fn rewind(&mut self) {
        match self {
            Self::Augment { sample, .. } => sample.seed = 0,
            Self::Observe { next, .. } => *next = 0,
            Self::Trace(..) => {}
        }
    }

    /// One call, and how long it took.
    fn once(&mut self) -> Result<Duration, CallError> {
        match self {
            Self::Augment { instance, original, sample } => {
                // A copy is in the processor's cache, as in a data worker.
                let mut image = original.clone();
                sample.seed = sample.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let start = Instant::now();
                instance.augment(&mut image, sample)?;
                Ok(start.elapsed())
            }
            Self::Trace(plugin, settings) => {
                let limits = Limits::default();
                let start = Instant::now();
                match plugin.kind() {
                    Kind::Attention => plugin.trace_attention(settings, &LAYER, &limits)?,
                    _ => plugin.trace_batch(settings, &BATCH, &limits)?,
                };
                Ok(start.elapsed())
            }
            Self::Observe { monitor, events, next } => {
                // There are some: every monitor hears of starts and ends.
                let event = &events[*next % events.len()];
                *next += 1;
                let start = Instant::now();
                monitor.observe(event)?;
                Ok(start.elapsed())
            }
        }
    }
}
