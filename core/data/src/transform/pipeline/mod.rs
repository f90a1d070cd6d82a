//! All stages of an image, from its source to the model's input size.

use vitral_seed::Seed;

use super::hybrid;
use super::plan::Plan;
use super::stage::{Job, Stage, StageError};
use super::{CenterCrop, ResizeShorter, Transform, own_stages};
use crate::error::{DataError, TransformError};
use crate::image_size::{ImageSizeStage, size_at};
use crate::pixels::{Channels, Image, MAX_IMAGE_SIDE};
use crate::scratch::Scratch;
use crate::source::Stored;
use crate::timing::StageClock;

/// Part of the shorter side that evaluation keeps (timm's `crop_pct`).
pub const EVAL_CROP: f64 = 0.875;

/// Turns images of any size into images of the model's size and channels.
#[derive(Clone, Debug)]
pub struct Pipeline {
    channels: Channels,
    size: u32,
    /// Other sizes in the first epochs.
    sizes: Vec<ImageSizeStage>,
    pub(super) stages: Vec<Stage>,
    /// Images that have the model's size already are left as they are.
    keep_exact: bool,
    /// JPEG files are only decoded as far as a device does not do it.
    is_hybrid: bool,
}

impl Pipeline {
    /// Images are converted to `channels`, then go through `stages`. If they then are not `size` x `size`
    /// pixels, they are resized, whatever their shape.
    ///
    /// # Errors
    /// If `size` is out of range.
    pub fn new(channels: Channels, size: u32, stages: Vec<Stage>) -> Result<Self, DataError> {
        check_size(size)?;
        let sizes = Vec::new();
        Ok(Self { channels, size, sizes, stages, keep_exact: false, is_hybrid: false })
    }

    /// The same with transforms of this program.
    ///
    /// # Errors
    /// If `size` or a setting of a transform is out of range, or a transform is a plugin's.
    pub fn own(channels: Channels, size: u32, transforms: &[Transform]) -> Result<Self, DataError> {
        Self::new(channels, size, own_stages(transforms)?)
    }

    /// The same, but with other sizes in the first epochs.
    ///
    /// # Errors
    /// If a size is out of range.
    pub fn with_image_sizes(self, sizes: Vec<ImageSizeStage>) -> Result<Self, DataError> {
        sizes.iter().try_for_each(|stage| check_size(stage.size))?;
        Ok(Self { sizes, ..self })
    }

    /// The same, but batches get only the [coefficients](crate::CodedImages) of JPEG files, for a device
    /// to compute pixels and stages from.
    ///
    /// # Errors
    /// A stage needs pixels.
    pub fn with_hybrid_decoder(self) -> Result<Self, DataError> {
        hybrid::check(self.stages.iter().map(|stage| (stage.name(), stage.operation.hybrid())))?;
        Ok(Self { is_hybrid: true, ..self })
    }

    /// Whether batches get coefficients of JPEG files.
    pub(crate) fn is_hybrid(&self) -> bool {
        self.is_hybrid
    }

    /// The usual evaluation, as timm does it: the shorter side is resized to `size / 0.875` (rounded
    /// down) and the middle cut out. Images that are `size` x `size` already stay as they are.
    ///
    /// # Errors
    /// If `size` is out of range.
    pub fn default_eval(channels: Channels, size: u32) -> Result<Self, DataError> {
        let to = (f64::from(size) / EVAL_CROP).floor() as u32;
        let to = to.min(MAX_IMAGE_SIDE);
        let shorter = Transform::ResizeShorter(ResizeShorter::to(to));
        let transforms = [shorter, Transform::CenterCrop(CenterCrop {})];
        Ok(Self { keep_exact: true, ..Self::own(channels, size, &transforms)? })
    }

    /// Channels of the images that come out.
    pub fn channels(&self) -> Channels {
        self.channels
    }

    /// Side of the images that come out in an epoch, in pixels.
    pub fn size(&self, epoch: u64) -> u32 {
        size_at(&self.sizes, epoch).unwrap_or(self.size)
    }

    /// The stages that images go through.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// A clock for what its stages take.
    pub(crate) fn clock(&self) -> StageClock {
        StageClock::new(self.stages.iter().map(Stage::name))
    }

    /// Bytes of one image that comes out in an epoch.
    pub fn image_bytes(&self, epoch: u64) -> usize {
        let size = self.size(epoch) as usize;
        size * size * self.channels.count()
    }

    /// The random streams of one sample in one epoch; each stage has its own below it.
    pub fn sample_seed(run: Seed, epoch: u64, sample: u32) -> Seed {
        run.named("augment").indexed(epoch).indexed(u64::from(sample))
    }

    /// The plugins that are no longer used, and why.
    pub fn disabled(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().filter_map(|stage| stage.operation.disabled())
    }

    /// Whether a stage calls the system for what computing does not need.
    pub(crate) fn needs_system(&self) -> bool {
        self.stages.iter().any(|stage| stage.operation.needs_system())
    }

    /// Processes one image of an epoch. `seed` is the sample's own, from
    /// [`sample_seed`](Self::sample_seed).
    ///
    /// # Errors
    /// If a stage would make too large an image, or a plugin fails.
    pub fn run(&self, image: Image, seed: Seed, epoch: u64) -> Result<Image, StageError> {
        let mut pixels = vec![0; self.image_bytes(epoch)];
        let mut scratch = Scratch::new(&self.clock());
        self.run_into(Stored::Image(image), seed, epoch, &mut scratch, &mut pixels)?;
        let size = self.size(epoch);
        let image = Image::new(size, size, self.channels, pixels);
        Ok(image.map_err(|error| TransformError(error.to_string()))?)
    }

    /// Processes one image into `out`, which has [`image_bytes`](Self::image_bytes). Of a file, only
    /// what the first stage needs is decoded.
    pub(crate) fn run_into(
        &self,
        stored: Stored<'_>,
        seed: Seed,
        epoch: u64,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Result<(), StageError> {
        let job = Job { seed, epoch, size: self.size(epoch) };
        let owned = match stored {
            Stored::Encoded(bytes) => return self.decode_into(bytes, &job, scratch, out),
            Stored::Pixels(view) if view.channels() == self.channels => {
                let plan = self.plan(view.width(), view.height(), &job)?;
                return self.run_stages(view, plan.request.part.area(), plan, &job, scratch, out);
            }
            Stored::Pixels(view) => view.to_image(),
            Stored::Image(image) => image,
        };
        let image = owned.into_channels(self.channels);
        let plan = self.plan(image.width(), image.height(), &job)?;
        self.run_stages(image.view(), plan.request.part.area(), plan, &job, scratch, out)
    }

    fn decode_into(
        &self,
        bytes: &[u8],
        job: &Job,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Result<(), StageError> {
        let mut plan = None;
        let decoded = scratch.decoder.part(bytes, Some(self.channels), |width, height| {
            let made = self.plan(width, height, job)?;
            Ok(plan.insert(made).request)
        });
        scratch.laps.decoded();
        let decoded = decoded?;
        let whole = || Plan::nothing(decoded.image.width(), decoded.image.height());
        let plan = plan.unwrap_or_else(whole);
        self.run_stages(decoded.image.view(), decoded.area, plan, job, scratch, out)?;
        scratch.decoder.recycle(decoded.image);
        Ok(())
    }

    /// What is done first with an image of `width` x `height` pixels.
    pub(super) fn plan(&self, width: u32, height: u32, job: &Job) -> Result<Plan, TransformError> {
        if self.keep_exact && (width, height) == (job.size, job.size) {
            let done = self.stages.len();
            return Ok(Plan { done, ..Plan::nothing(width, height) });
        }
        Plan::new(&self.stages, self.passing((width, height), job), job.seed)
    }
}

fn check_size(size: u32) -> Result<(), DataError> {
    if (1..=MAX_IMAGE_SIDE).contains(&size) {
        return Ok(());
    }
    let problem = format!("is {size}, but must be from 1 to {MAX_IMAGE_SIDE} pixels");
    Err(DataError::setting("image size", problem))
}

#[cfg(test)]
mod tests;
