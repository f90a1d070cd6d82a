//! An image's way through the stages of a pipeline, into its place in a batch.
//!
//! What is in the place of the batch already stays there. So the last stage that gives an image of the
//! batch's size in other memory gives it there, and those after it, among them plugins, work on it where
//! it lies. Before that, images are in memory that the worker keeps.

use vitral_host::{ImageMut, Sample};

use super::horizontal_flip::flip;
use super::interpolation::Interpolation;
use super::pipeline::Pipeline;
use super::plan::Plan;
use super::resample;
use super::stage::{Job, Passing, Redraw, StageError, Step};
use crate::error::{DecodeError, TransformError};
use crate::pixels::{Channels, Image, ImageView, byte_count};
use crate::region::{Area, Crop};
use crate::scratch::Scratch;

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
    pub(super) fn run_stages(
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
        for stage in plan.done..self.stages.len() {
            image = self.apply(stage, image, job, scratch, out)?;
            scratch.laps.transformed(stage);
        }
        if let Between::Elsewhere(image) = image {
            let whole = Crop::whole(image.width(), image.height()).area();
            resample::area_into(
                image.view(),
                whole,
                (job.size, job.size),
                Interpolation::default(),
                out,
            )?;
            scratch.keep(image.into_pixels());
        }
        scratch.laps.assembled();
        Ok(())
    }

    /// What a stage decides about an image.
    pub(super) fn step(
        &self,
        stage: usize,
        image: Passing,
        job: &Job,
    ) -> Result<Step<'_>, TransformError> {
        self.stages[stage].operation.step(image, job.seed_of(stage))
    }

    /// An image of this pipeline with some width and height.
    pub(super) fn passing(&self, (width, height): (u32, u32), job: &Job) -> Passing {
        Passing { width, height, channels: self.channels(), model: job.size }
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
                flip(pixels, width, self.channels());
            }
        };
        if self.stays(plan.done, (width, height), job) {
            resample::area_into(image, area, (width, height), plan.interpolation, out)?;
            mirror(out);
            return Ok(Between::Batch);
        }
        let mut pixels = scratch.room(width, height, self.channels())?;
        resample::area_into(image, area, (width, height), plan.interpolation, &mut pixels)?;
        mirror(&mut pixels);
        Ok(Between::Elsewhere(self.image(width, height, pixels)?))
    }

    /// Whether an image of some size, before a stage, can be in the batch already.
    fn stays(&self, stage: usize, size: (u32, u32), job: &Job) -> bool {
        let mut later = self.stages[stage..].iter();
        size == (job.size, job.size)
            && later.all(|stage| stage.operation.works_in_place(size, job.size))
    }

    /// Applies a stage to an image.
    fn apply(
        &self,
        stage: usize,
        mut image: Between,
        job: &Job,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Result<Between, StageError> {
        let (size, pixels) = match &mut image {
            Between::Batch => ((job.size, job.size), &mut *out),
            Between::Elsewhere(image) => ((image.width(), image.height()), image.pixels_mut()),
        };
        match self.step(stage, self.passing(size, job), job)? {
            Step::Mirror(happens) => {
                if happens {
                    flip(pixels, size.0, self.channels());
                }
                Ok(image)
            }
            Step::Redraw(redraw) => self.redraw(stage, redraw, image, job, scratch, out),
            Step::Plugin(plugin) => {
                let channels = self.channels().count() as u32;
                let passed = ImageMut { width: size.0, height: size.1, channels, pixels };
                let made = plugin.apply(passed, &sample(stage, job), &mut scratch.before)?;
                Ok(made.map_or(image, Between::Elsewhere))
            }
        }
    }

    /// Makes a new image of another: in the batch if it can be there already, and the other is not.
    fn redraw(
        &self,
        stage: usize,
        redraw: Redraw,
        image: Between,
        job: &Job,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Result<Between, StageError> {
        let size = redraw.size();
        let drawn = match &image {
            Between::Elsewhere(from) if self.stays(stage + 1, size, job) => {
                redraw.draw(from.view(), out)?;
                Between::Batch
            }
            from => {
                let from = match from {
                    Between::Batch => ImageView::new(job.size, job.size, self.channels(), out),
                    Between::Elsewhere(from) => Ok(from.view()),
                };
                let from = from.map_err(explain)?;
                if redraw.changes_nothing((from.width(), from.height())) {
                    return Ok(image);
                }
                let mut pixels = scratch.room(size.0, size.1, self.channels())?;
                redraw.draw(from, &mut pixels)?;
                Between::Elsewhere(self.image(size.0, size.1, pixels)?)
            }
        };
        if let Between::Elsewhere(image) = image {
            scratch.keep(image.into_pixels());
        }
        Ok(drawn)
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
