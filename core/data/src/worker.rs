//! What one worker does: reading and transforming the samples of one batch.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_seed::Seed;

use crate::error::{DataError, ReadError};
use crate::pixels::{Channels, Image};
use crate::source::Source;
use crate::transform::{Pipeline, PluginFailure, StageError};

/// What to do when an image cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnError {
    /// Stop with an error that names the image.
    #[default]
    Stop,
    /// Leave the image out of its batch and report it.
    Skip,
}

/// Images of the model's size with their classes, in a fixed order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageBatch {
    /// 8-bit values of all images: NHWC.
    pub images: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// Height and width of each image, in pixels.
    pub size: u32,
    /// Channels of each image.
    pub channels: Channels,
    /// The index of each image in its source.
    pub samples: Vec<u32>,
    /// Images that should have been in this batch, but could not be read, or made a plugin fail.
    pub skipped: Vec<Skipped>,
    /// Why plugins are no longer used, as far as that is known with this batch.
    pub disabled: Vec<String>,
    /// The epoch this batch belongs to, from 0.
    pub epoch: u64,
}

impl ImageBatch {
    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none. A loader never gives such a batch.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// An image that was left out of its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The image, as its source names it.
    pub name: String,
    /// Why it cannot be read.
    pub reason: String,
}

/// Which samples a batch consists of.
pub(crate) struct BatchPlan {
    pub number: u64,
    pub epoch: u64,
    pub samples: Vec<u32>,
}

/// What all workers of a loader share.
pub(crate) struct Worker {
    pub source: Arc<dyn Source>,
    pub pipeline: Arc<Pipeline>,
    pub on_error: OnError,
    pub seed: Seed,
    /// Set when nobody waits for the results any more.
    pub stop: AtomicBool,
}

impl Worker {
    /// Makes the batch, or nothing if the loader is gone meanwhile.
    pub(crate) fn make(&self, plan: &BatchPlan) -> Option<Result<ImageBatch, DataError>> {
        let mut batch = match self.empty_batch(plan) {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error)),
        };
        for &sample in &plan.samples {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            match (self.sample(plan.epoch, sample), self.on_error) {
                (Ok((image, label)), _) => {
                    batch.images.extend_from_slice(image.pixels());
                    batch.labels.push(label);
                    batch.samples.push(sample);
                }
                (Err(failure), on_error) if failure.skip || on_error == OnError::Skip => {
                    let ReadError { name, reason } = failure.error;
                    batch.skipped.push(Skipped { name, reason });
                }
                (Err(failure), _) => return Some(Err(failure.error.into())),
            }
        }
        batch.disabled = self.pipeline.disabled().map(str::to_owned).collect();
        Some(refuse_empty(batch, plan))
    }

    fn empty_batch(&self, plan: &BatchPlan) -> Result<ImageBatch, DataError> {
        let count = plan.samples.len();
        let bytes = count.saturating_mul(self.pipeline.image_bytes(plan.epoch));
        let mut images = Vec::new();
        images.try_reserve_exact(bytes).map_err(|_| DataError::BatchMemory { count, bytes })?;
        Ok(ImageBatch {
            images,
            labels: Vec::with_capacity(count),
            size: self.pipeline.size(plan.epoch),
            channels: self.pipeline.channels(),
            samples: Vec::with_capacity(count),
            skipped: Vec::new(),
            disabled: Vec::new(),
            epoch: plan.epoch,
        })
    }

    /// Reads and transforms one sample. A panic in a source or a decoder counts as a failure of this
    /// sample, so that its name is known.
    fn sample(&self, epoch: u64, sample: u32) -> Result<(Image, u32), SampleFailure> {
        let index = sample as usize;
        let failure = |reason: String, skip: bool| SampleFailure {
            error: ReadError { name: self.source.name(index), reason },
            skip,
        };
        let work = || {
            let image = self.source.read(index);
            let image = image.map_err(|error| SampleFailure { error, skip: false })?;
            let seed = Pipeline::sample_seed(self.seed, epoch, sample);
            let image = self.pipeline.run(image, seed, epoch).map_err(|error| {
                let skip = matches!(error, StageError::Plugin(PluginFailure { skip: true, .. }));
                failure(error.to_string(), skip)
            })?;
            Ok((image, self.source.label(index)))
        };
        // Nothing of what `work` changes is used after a panic: its image is dropped.
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let reason = format!("reading it failed unexpectedly: {}", panic_message(&*panic));
            Err(failure(reason, false))
        })
    }
}

/// Why a sample cannot be used.
struct SampleFailure {
    error: ReadError,
    /// Whether it is left out whatever the data's policy is.
    skip: bool,
}

fn refuse_empty(mut batch: ImageBatch, plan: &BatchPlan) -> Result<ImageBatch, DataError> {
    if !batch.is_empty() || batch.skipped.is_empty() {
        return Ok(batch);
    }
    let Skipped { name, reason } = batch.skipped.swap_remove(0);
    Err(DataError::EmptyBatch {
        batch: plan.number,
        count: plan.samples.len(),
        first: ReadError { name, reason },
    })
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason")
}
