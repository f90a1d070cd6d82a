//! An image's way through the stages of a pipeline, into its place in a batch.
//!
//! What is in the place of the batch already stays there. So the last stage that gives an image of the
//! batch's size in other memory gives it there, and those after it, among them plugins, work on it where
//! it lies. Before that, images are in memory that the worker keeps.

use vitral_host::{ImageMut, Sample};
use vitral_seed::Seed;

use super::pipeline::{Pipeline, StageError};
use super::plan::Plan;
use super::{Transform, TransformContext, horizontal_flip, resize};
use crate::error::{DecodeError, TransformError};
use crate::pixels::{Channels, Image, ImageView, byte_count};
use crate::region::{Area, Crop};
use crate::scratch::Scratch;

/// One image's way through the pipeline.
pub(super) struct Job {
    /// The sample's own seed.
    pub seed: Seed,
    pub epoch: u64,
    pub size: u32,
}

impl Job {
    fn context(&self) -> TransformContext {
        TransformContext { size: self.size }
    }

    fn seed_of(&self, stage: usize) -> Seed {
        self.seed.indexed(stage as u64)
    }
}

/// An image between two stages: in its place in the batch, or elsewhere.
enum Between {
    Batch,
    Elsewhere(Image),
}

impl Pipeline {
    /// Carries a plan out on the area of the image that is its part, and all stages after it.
    ///
    /// # Errors
    /// A stage cannot be applied. What is in `out` then means nothing.
    pub(super) fn stages(
        &self,
        image: ImageView<'_>,
        area: Area,
        plan: Plan,
        job: &Job,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Result<(), StageError> {
        let mut image = self.first(image, area, plan, job, scratch, out)?;
        match plan.done {
            // A resize that no transform asked for.
            0 => scratch.laps.assembled(),
            done => scratch.laps.transformed(done - 1),
        }
        for (stage, transform) in self.transforms().iter().enumerate().skip(plan.done) {
            image = match image {
                Between::Batch => self.in_batch(stage, transform, job, scratch, out)?,
                Between::Elsewhere(image) => {
                    self.elsewhere(stage, transform, image, job, scratch, out)?
                }
            };
            scratch.laps.transformed(stage);
        }
        if let Between::Elsewhere(image) = image {
            let whole = Crop::whole(image.width(), image.height()).area();
            resize::area_into(image.view(), whole, job.size, job.size, out)?;
            scratch.keep(image.into_pixels());
        }
        scratch.laps.assembled();
        Ok(())
    }

    /// What the plan says.
    fn first(
        &self,
        image: ImageView<'_>,
        area: Area,
        plan: Plan,
        job: &Job,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Result<Between, StageError> {
        let (width, height) = (plan.request.width, plan.request.height);
        let mirror = |pixels: &mut [u8]| {
            if plan.mirrored {
                horizontal_flip::flip(pixels, width, self.channels());
            }
        };
        if self.stays(plan.done, (width, height), job) {
            resize::area_into(image, area, width, height, out)?;
            mirror(out);
            return Ok(Between::Batch);
        }
        let mut pixels = scratch.room(width, height, self.channels())?;
        resize::area_into(image, area, width, height, &mut pixels)?;
        mirror(&mut pixels);
        Ok(Between::Elsewhere(self.image(width, height, pixels)?))
    }

    /// Whether an image of some size, before a stage, can be in the batch already.
    fn stays(&self, stage: usize, size: (u32, u32), job: &Job) -> bool {
        let in_place = |stage: &Transform| stage.works_in_place(size, &job.context());
        size == (job.size, job.size) && self.transforms()[stage..].iter().all(in_place)
    }

    /// Applies a stage to an image that is in the batch.
    fn in_batch(
        &self,
        stage: usize,
        transform: &Transform,
        job: &Job,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Result<Between, StageError> {
        if let Some(plugin) = self.plugin(stage) {
            let image = ImageMut {
                width: job.size,
                height: job.size,
                channels: self.channels().count() as u32,
                pixels: out,
            };
            let made = plugin.apply(image, &sample(stage, job), &mut scratch.before)?;
            return Ok(made.map_or(Between::Batch, Between::Elsewhere));
        }
        let rng = &mut job.seed_of(stage).rng();
        transform.apply_in_place(out, job.size, self.channels(), rng);
        Ok(Between::Batch)
    }

    /// Applies a stage to an image that is not in the batch yet.
    fn elsewhere(
        &self,
        stage: usize,
        transform: &Transform,
        mut image: Image,
        job: &Job,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Result<Between, StageError> {
        let (width, height) = (image.width(), image.height());
        if let Some(plugin) = self.plugin(stage) {
            let passed = ImageMut {
                width,
                height,
                channels: self.channels().count() as u32,
                pixels: image.pixels_mut(),
            };
            let made = plugin.apply(passed, &sample(stage, job), &mut scratch.before)?;
            return Ok(Between::Elsewhere(made.unwrap_or(image)));
        }
        let rng = &mut job.seed_of(stage).rng();
        let context = job.context();
        if transform.works_in_place((width, height), &context) {
            transform.apply_in_place(image.pixels_mut(), width, self.channels(), rng);
            return Ok(Between::Elsewhere(image));
        }
        let (width, height) = transform.size_after((width, height), self.channels(), &context)?;
        let made = if self.stays(stage + 1, (width, height), job) {
            transform.apply_into(image.view(), &context, rng, out)?;
            Between::Batch
        } else {
            let mut pixels = scratch.room(width, height, self.channels())?;
            transform.apply_into(image.view(), &context, rng, &mut pixels)?;
            Between::Elsewhere(self.image(width, height, pixels)?)
        };
        scratch.keep(image.into_pixels());
        Ok(made)
    }

    fn image(&self, width: u32, height: u32, pixels: Vec<u8>) -> Result<Image, TransformError> {
        Image::new(width, height, self.channels(), pixels).map_err(explain)
    }
}

/// An image's place in a run, as a plugin hears of it.
fn sample(stage: usize, job: &Job) -> Sample {
    let epoch = u32::try_from(job.epoch).unwrap_or(u32::MAX);
    Sample { seed: job.seed_of(stage).value(), epoch, size: job.size }
}

fn explain(error: DecodeError) -> TransformError {
    TransformError(error.to_string())
}

impl Scratch {
    /// Memory for an image, whose values do not matter yet.
    fn room(
        &mut self,
        width: u32,
        height: u32,
        channels: Channels,
    ) -> Result<Vec<u8>, TransformError> {
        let mut pixels = self.pixels.pop().unwrap_or_default();
        pixels.resize(byte_count(width, height, channels).map_err(explain)?, 0);
        Ok(pixels)
    }

    /// Keeps memory for the next image.
    fn keep(&mut self, pixels: Vec<u8>) {
        // Two images exist at a time: before a stage, and after it.
        if self.pixels.len() < 2 {
            self.pixels.push(pixels);
        }
    }
}

#[cfg(test)]
mod tests;
