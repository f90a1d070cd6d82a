//! What one worker does: reading and transforming the samples of one batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use vitral_seed::Seed;

use crate::decode::CodedImages;
use crate::error::{DataError, OnError, ReadError, panic_message};
use crate::pixels::Channels;
use crate::sampler::Drawn;
use crate::scratch::Scratch;
use crate::source::{Source, Stored};
use crate::timing::StageClock;
use crate::transform::{Pipeline, PluginFailure, StageError};

/// Images of the model's size with their classes, in a fixed order.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageBatch {
    /// 8-bit values of all images but those in `coded`: NHWC.
    pub images: Vec<u8>,
    /// Images whose pixels a device computes, where the pipeline has a
    /// [hybrid decoder](crate::Pipeline::with_hybrid_decoder).
    pub coded: CodedImages,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// Height and width of each image, in pixels.
    pub size: u32,
    /// Channels of each image.
    pub channels: Channels,
    /// The index of each image in its source.
    pub samples: Vec<u32>,
    /// The place of each image among those that should be in the batch of all processes, from 0.
    pub places: Vec<u32>,
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

    /// Whether there are none. Only [`Loader::each`](crate::Loader::each) gives such a batch.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// An image that was left out of its batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The samples, each with its place in the batch of all processes.
    pub samples: Vec<(u32, Drawn)>,
}

/// What all workers of a loader share.
pub(crate) struct Worker {
    pub source: Arc<dyn Source>,
    pub pipeline: Arc<Pipeline>,
    pub on_error: OnError,
    /// Whether a batch may be without images, where none of its own can be read.
    pub may_be_empty: bool,
    pub seed: Seed,
    /// Set when nobody waits for the results any more.
    pub stop: AtomicBool,
    /// Where the time goes.
    pub clock: StageClock,
    /// Memory of batches that are no longer needed: of pixels and of coefficients.
    pub spare: Mutex<Vec<(Vec<u8>, Vec<i32>)>>,
}

impl Worker {
    /// Makes the batch, or nothing if the loader is gone meanwhile.
    pub(crate) fn make(
        &self,
        plan: &BatchPlan,
        scratch: &mut Scratch,
    ) -> Option<Result<ImageBatch, DataError>> {
        let _span = tracing::trace_span!("batch", number = plan.number).entered();
        let mut batch = match self.empty_batch(plan) {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error)),
        };
        let bytes = self.pipeline.image_bytes(plan.epoch);
        for &(place, drawn) in &plan.samples {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            let mut target = Target {
                place: batch.labels.len(),
                coded: &mut batch.coded,
                bytes,
                images: &mut batch.images,
            };
            let made = self.sample(plan.epoch, drawn, scratch, &mut target);
            // Then it is no fault of this image.
            if made.is_err()
                && let Err(error) = self.source.check_whole()
            {
                return Some(Err(error));
            }
            match (made, self.on_error) {
                (Ok(label), _) => {
                    batch.labels.push(label);
                    batch.samples.push(drawn.sample);
                    batch.places.push(place);
                }
                (Err(failure), on_error) if failure.skip || on_error == OnError::Skip => {
                    let ReadError { name, reason } = failure.error;
                    batch.skipped.push(Skipped { name, reason });
                }
                (Err(failure), _) => return Some(Err(DataError::Stopped(failure.error))),
            }
        }
        if let Err(error) = self.source.check_whole() {
            return Some(Err(error));
        }
        self.clock.add(&mut scratch.laps);
        batch.images.truncate((batch.labels.len() - batch.coded.images.len()) * bytes);
        batch.disabled = self.pipeline.disabled().map(str::to_owned).collect();
        Some(if self.may_be_empty { Ok(batch) } else { refuse_empty(batch, plan) })
    }

    /// A batch without images, but with the memory for all of them.
    fn empty_batch(&self, plan: &BatchPlan) -> Result<ImageBatch, DataError> {
        let count = plan.samples.len();
        let bytes = count.saturating_mul(self.pipeline.image_bytes(plan.epoch));
        let (mut images, mut words) = self.spare().pop().unwrap_or_default();
        words.clear();
        images
            .try_reserve_exact(bytes.saturating_sub(images.len()))
            .map_err(|_| DataError::BatchMemory { count, bytes })?;
        // Values of a batch before need not be cleared: those of images are all written.
        images.resize(bytes, 0);
        Ok(ImageBatch {
            images,
            coded: CodedImages { words, images: Vec::new() },
            labels: Vec::with_capacity(count),
            size: self.pipeline.size(plan.epoch),
            channels: self.pipeline.channels(),
            samples: Vec::with_capacity(count),
            places: Vec::with_capacity(count),
            skipped: Vec::new(),
            disabled: Vec::new(),
            epoch: plan.epoch,
        })
    }

    /// Memory of batches that are no longer needed.
    pub(crate) fn spare(&self) -> std::sync::MutexGuard<'_, Vec<(Vec<u8>, Vec<i32>)>> {
        // Nothing can be left half done in it.
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and transforms one sample into its batch, and gives its label. A panic in a source or a decoder
    /// counts as a failure of this sample, so that its name is known.
    fn sample(
        &self,
        epoch: u64,
        Drawn { sample, repetition }: Drawn,
        scratch: &mut Scratch,
        target: &mut Target<'_>,
    ) -> Result<u32, SampleFailure> {
        let index = sample as usize;
        let failure = |reason: String, skip: bool| SampleFailure {
            error: ReadError { name: self.source.name(index), reason },
            skip,
        };
        let work = || {
            scratch.laps.start();
            // The file's bytes are borrowed while other parts of the scratch memory are changed.
            let mut file = std::mem::take(&mut scratch.file);
            let stored = self.source.load(index, &mut file);
            scratch.laps.read();
            let stored = stored.map_err(|error| SampleFailure { error, skip: false })?;
            let seed = match (Pipeline::sample_seed(self.seed, epoch, sample), repetition) {
                (seed, 0) => seed,
                (seed, again) => seed.named("again").indexed(u64::from(again)),
            };
            if !self.coded(&stored, seed, epoch, scratch, target) {
                self.pipeline.run_into(stored, seed, epoch, scratch, target.pixels()).map_err(
                    |error| {
                        let skip =
                            matches!(error, StageError::Plugin(PluginFailure { skip: true, .. }));
                        failure(error.to_string(), skip)
                    },
                )?;
            }
            scratch.file = file;
            Ok(self.source.label(index))
        };
        // Nothing that `work` leaves half changed is used after a panic: buffers that it had taken are
        // gone, a decoder starts each image anew, and the part of the batch is written again.
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let reason = format!("reading it failed unexpectedly: {}", panic_message(&*panic));
            Err(failure(reason, false))
        })
    }

    /// Adds a sample's coefficients to its batch, where a device is to decode it and can.
    fn coded(
        &self,
        stored: &Stored<'_>,
        seed: Seed,
        epoch: u64,
        scratch: &mut Scratch,
        target: &mut Target<'_>,
    ) -> bool {
        let Stored::Encoded(bytes) = stored else { return false };
        let is_coded = self.pipeline.is_hybrid()
            && self.pipeline.code_into(bytes, target.place, seed, epoch, target.coded).is_ok();
        scratch.laps.decoded();
        is_coded
    }
}

/// Where a sample goes.
struct Target<'a> {
    /// Which image of the batch it is.
    place: usize,
    coded: &'a mut CodedImages,
    /// Bytes of an image.
    bytes: usize,
    images: &'a mut [u8],
}

impl Target<'_> {
    /// The memory of its pixels. Those of an image that is left out are overwritten by the next.
    fn pixels(&mut self) -> &mut [u8] {
        let before = self.place - self.coded.images.len();
        &mut self.images[before * self.bytes..][..self.bytes]
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
