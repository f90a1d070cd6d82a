//! All stages of an image, from its source to the model's input size.

use std::collections::BTreeMap;
use std::sync::Arc;

use vitral_host::Sample;
use vitral_seed::Seed;

use super::plan::Plan;
use super::{
    PluginFailure, PluginStage, Transform, TransformContext, check_hybrid, horizontal_flip, resize,
};
use crate::error::{DataError, DecodeError, TransformError};
use crate::image_size::{ImageSizeStage, size_at};
use crate::pixels::{Channels, Image, ImageView, MAX_IMAGE_SIDE};
use crate::region::Area;
use crate::scratch::Scratch;
use crate::source::Stored;
use crate::timing::StageClock;

/// Part of the shorter side that evaluation keeps (timm's `crop_pct`).
const EVAL_CROP: f64 = 0.875;

/// Turns images of any size into images of the model's size and channels.
#[derive(Clone, Debug)]
pub struct Pipeline {
    channels: Channels,
    size: u32,
    /// Other sizes in the first epochs.
    sizes: Vec<ImageSizeStage>,
    transforms: Vec<Transform>,
    /// The opened plugins, by stage.
    plugins: BTreeMap<usize, Arc<PluginStage>>,
    /// Images that have the model's size already are left as they are.
    keep_exact: bool,
    /// JPEG files are only decoded as far as a device does not do it.
    is_hybrid: bool,
}

impl Pipeline {
    /// Images are converted to `channels`, then go through `transforms`. If they then are not
    /// `size` x `size` pixels, they are resized, whatever their shape.
    ///
    /// # Errors
    /// If `size` or a setting of a transform is out of range, or a transform is a plugin's.
    pub fn new(
        channels: Channels,
        size: u32,
        transforms: Vec<Transform>,
    ) -> Result<Self, DataError> {
        Self::with_plugins(channels, size, transforms, Vec::new())
    }

    /// The same with opened plugins: one for each transform that is a plugin's, in order.
    ///
    /// # Errors
    /// If `size` or a setting of a transform is out of range, or a plugin is missing.
    pub fn with_plugins(
        channels: Channels,
        size: u32,
        transforms: Vec<Transform>,
        plugins: Vec<Arc<PluginStage>>,
    ) -> Result<Self, DataError> {
        check_size(size)?;
        transforms.iter().try_for_each(Transform::check)?;
        let mut opened = plugins.into_iter();
        let mut plugins = BTreeMap::new();
        for (stage, transform) in transforms.iter().enumerate() {
            let Transform::Plugin(plugin) = transform else { continue };
            let opened = opened.next().ok_or_else(|| {
                DataError::setting("augment", format!("plugin `{}` is not open", plugin.name))
            })?;
            plugins.insert(stage, opened);
        }
        let sizes = Vec::new();
        Ok(Self { channels, size, sizes, transforms, plugins, keep_exact: false, is_hybrid: false })
    }

    /// The same, but with other sizes in the first epochs.
    ///
    /// # Errors
    /// If a size is out of range.
    pub fn with_image_sizes(self, sizes: Vec<ImageSizeStage>) -> Result<Self, DataError> {
        sizes.iter().try_for_each(|stage| check_size(stage.size))?;
        Ok(Self { sizes, ..self })
    }

    /// The same, but of JPEG files batches only get the coefficients ([`CodedImages`](crate::CodedImages)), for a device to
    /// compute pixels and stages from.
    ///
    /// # Errors
    /// A stage needs pixels.
    pub fn with_hybrid_decoder(self) -> Result<Self, DataError> {
        check_hybrid(&self.transforms)?;
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
        let transforms = vec![Transform::ResizeShorter { to }, Transform::CenterCrop {}];
        Ok(Self { keep_exact: true, ..Self::new(channels, size, transforms)? })
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
    pub fn transforms(&self) -> &[Transform] {
        &self.transforms
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
        self.plugins.values().filter_map(|stage| stage.disabled())
    }

    /// Processes one image of an epoch. `seed` is the sample's own, from
    /// [`sample_seed`](Self::sample_seed).
    ///
    /// # Errors
    /// If a stage would make too large an image, or a plugin fails.
    pub fn run(&self, image: Image, seed: Seed, epoch: u64) -> Result<Image, StageError> {
        let mut pixels = vec![0; self.image_bytes(epoch)];
        let mut scratch = Scratch::new(&StageClock::new(self));
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
                return self.stages(view, plan.request.part.area(), plan, &job, scratch, out);
            }
            Stored::Pixels(view) => view.to_image(),
            Stored::Image(image) => image,
        };
        let image = owned.into_channels(self.channels);
        let plan = self.plan(image.width(), image.height(), &job)?;
        self.stages(image.view(), plan.request.part.area(), plan, &job, scratch, out)
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
        self.stages(decoded.image.view(), decoded.area, plan, job, scratch, out)?;
        scratch.decoder.recycle(decoded.image);
        Ok(())
    }

    /// What is done first with an image of `width` x `height` pixels.
    pub(super) fn plan(&self, width: u32, height: u32, job: &Job) -> Result<Plan, TransformError> {
        if self.keep_exact && (width, height) == (job.size, job.size) {
            let done = self.transforms.len();
            return Ok(Plan { done, ..Plan::nothing(width, height) });
        }
        Plan::new(&self.transforms, (width, height), self.channels, job.size, job.seed)
    }

    /// Carries the plan out on the area of the image that is its part, and all stages after it.
    fn stages(
        &self,
        image: ImageView<'_>,
        area: Area,
        plan: Plan,
        job: &Job,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Result<(), StageError> {
        let (width, height) = (plan.request.width, plan.request.height);
        let is_flip = |stage: &Transform| matches!(stage, Transform::HorizontalFlip { .. });
        let rest = self.transforms.iter().enumerate().skip(plan.done);
        let in_place = rest.clone().all(|(_, stage)| is_flip(stage));
        if in_place && (width, height) == (job.size, job.size) {
            resize::area_into(image, area, width, height, out)?;
            self.first_done(plan, scratch);
            for (stage, transform) in rest {
                let Transform::HorizontalFlip { probability } = *transform else { continue };
                let rng = &mut job.seed.indexed(stage as u64).rng();
                horizontal_flip::apply_to(out, job.size, self.channels, probability, rng);
                scratch.laps.transformed(stage);
            }
            return Ok(());
        }
        let mut pixels = std::mem::take(&mut scratch.pixels);
        pixels.resize(width as usize * height as usize * self.channels.count(), 0);
        resize::area_into(image, area, width, height, &mut pixels)?;
        let mut image = Image::new(width, height, self.channels, pixels)
            .map_err(|error| TransformError(error.to_string()))?;
        self.first_done(plan, scratch);
        for (stage, transform) in rest {
            image = self.stage(stage, transform, image, job)?;
            scratch.laps.transformed(stage);
        }
        let image = resize::exactly(image, job.size, job.size)?;
        out.copy_from_slice(image.pixels());
        scratch.pixels = image.into_pixels();
        scratch.laps.assembled();
        Ok(())
    }

    fn first_done(&self, plan: Plan, scratch: &mut Scratch) {
        match plan.done {
            // A resize that no transform asked for.
            0 => scratch.laps.assembled(),
            done => scratch.laps.transformed(done - 1),
        }
    }

    fn stage(
        &self,
        stage: usize,
        transform: &Transform,
        image: Image,
        job: &Job,
    ) -> Result<Image, StageError> {
        let seed = job.seed.indexed(stage as u64);
        Ok(match self.plugins.get(&stage) {
            Some(plugin) => {
                let epoch = u32::try_from(job.epoch).unwrap_or(u32::MAX);
                plugin.apply(image, &Sample { seed: seed.value(), epoch, size: job.size })?
            }
            None => {
                transform.apply(image, &TransformContext { size: job.size }, &mut seed.rng())?
            }
        })
    }
}

/// One image's way through the pipeline.
pub(super) struct Job {
    /// The sample's own seed.
    pub seed: Seed,
    pub epoch: u64,
    /// Side of the result, in pixels.
    pub size: u32,
}

fn check_size(size: u32) -> Result<(), DataError> {
    if (1..=MAX_IMAGE_SIDE).contains(&size) {
        return Ok(());
    }
    let problem = format!("is {size}, but must be from 1 to {MAX_IMAGE_SIDE} pixels");
    Err(DataError::setting("image size", problem))
}

/// Why an image could not be processed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// The image's file is damaged, or no image that can be used.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A stage of this program.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// A plugin's stage.
    #[error(transparent)]
    Plugin(#[from] PluginFailure),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: u32, height: u32) -> Image {
        let pixels = (0..width * height).map(|at| (at * 7 % 251) as u8).collect();
        Image::new(width, height, Channels::Grey, pixels).unwrap()
    }

    #[test]
    fn the_result_always_has_the_models_size_and_channels() {
        let flip = Transform::HorizontalFlip { probability: 0.5 };
        let pipeline = Pipeline::new(Channels::Rgb, 16, vec![flip]).unwrap();
        for (width, height) in [(16, 16), (40, 10), (3, 9)] {
            let result = pipeline.run(image(width, height), Seed::new(0), 0).unwrap();
            assert_eq!(
                (result.width(), result.height(), result.channels()),
                (16, 16, Channels::Rgb)
            );
            assert_eq!(result.pixels().len(), pipeline.image_bytes(0));
        }
    }

    /// What random stages decide does not depend on the size, so that each cuts the same part out.
    #[test]
    fn an_epoch_has_its_own_size() {
        let crop = || vec![Transform::RandomResizedCrop { scale: (0.2, 0.8), ratio: (0.75, 1.5) }];
        let pipeline = |size| Pipeline::new(Channels::Grey, size, crop()).unwrap();
        let stages = vec![ImageSizeStage { until_epoch: 2, size: 12 }];
        let progressive = pipeline(20).with_image_sizes(stages).unwrap();
        for (epoch, size) in [(0, 12), (1, 12), (2, 20), (3, 20)] {
            assert_eq!(progressive.size(epoch), size);
            assert_eq!(progressive.image_bytes(epoch), (size * size) as usize);
            let found = progressive.run(image(40, 30), Seed::new(4), epoch).unwrap();
            assert_eq!(found, pipeline(size).run(image(40, 30), Seed::new(4), epoch).unwrap());
            assert_eq!((found.width(), found.height()), (size, size));
        }
        let stages = vec![ImageSizeStage { until_epoch: 2, size: 0 }];
        assert!(pipeline(20).with_image_sizes(stages).is_err());
    }

    #[test]
    fn evaluation_leaves_images_of_the_right_size_alone() {
        let pipeline = Pipeline::default_eval(Channels::Grey, 28).unwrap();
        assert_eq!(pipeline.run(image(28, 28), Seed::new(0), 0).unwrap(), image(28, 28));
    }

    #[test]
    fn evaluation_cuts_the_middle_of_other_images() {
        let pipeline = Pipeline::default_eval(Channels::Grey, 28).unwrap();
        let resized = resize::shorter_side(image(64, 48), 32).unwrap();
        assert_eq!((resized.width(), resized.height()), (42, 32));
        let result = pipeline.run(image(64, 48), Seed::new(0), 0).unwrap();
        let middle = (0..28).map(|y| resized.row(y + 2)[7..35].to_vec());
        assert_eq!(result.pixels(), middle.collect::<Vec<_>>().concat());
    }

    #[test]
    fn evaluation_resizes_to_timms_lengths() {
        for (size, expected) in [(224, 256), (384, 438), (160, 182), (32, 36)] {
            let pipeline = Pipeline::default_eval(Channels::Rgb, size).unwrap();
            assert_eq!(pipeline.transforms()[0], Transform::ResizeShorter { to: expected });
        }
    }

    #[test]
    fn stages_have_random_streams_of_their_own() {
        let crop = Transform::PadCrop { padding: 4, fill: 0 };
        let once = Pipeline::new(Channels::Grey, 16, vec![crop.clone()]).unwrap();
        let nothing = Transform::HorizontalFlip { probability: 0.0 };
        let after = Pipeline::new(Channels::Grey, 16, vec![crop, nothing]).unwrap();
        let seed = Pipeline::sample_seed(Seed::new(1), 2, 3);
        let result = once.run(image(16, 16), seed, 0).unwrap();
        assert_eq!(result, after.run(image(16, 16), seed, 0).unwrap());
        let others = [(1, 2, 4), (1, 3, 3), (2, 2, 3)].map(|(run, epoch, sample)| {
            once.run(image(16, 16), Pipeline::sample_seed(Seed::new(run), epoch, sample), 0)
        });
        assert!(others.iter().any(|other| *other != Ok(result.clone())));
    }

    #[test]
    fn impossible_sizes_and_settings_are_refused() {
        assert!(Pipeline::new(Channels::Rgb, 0, vec![]).is_err());
        assert!(Pipeline::default_eval(Channels::Rgb, 1 << 20).is_err());
        let wrong = Transform::HorizontalFlip { probability: 2.0 };
        assert!(Pipeline::new(Channels::Rgb, 8, vec![wrong]).is_err());
    }

    /// What is decoded of a file depends on the stages; what comes out hardly does. In this small, sharp
    /// photograph it differs by up to 1.5 grey levels on average from resizing the whole image, where it
    /// was decoded at a smaller scale, and else by next to nothing.
    #[test]
    fn files_give_what_whole_images_give() {
        let file = include_bytes!("../decode/fixtures/photo.jpg");
        let image = crate::decode(file).unwrap();
        let crop = |scale| Transform::RandomResizedCrop { scale, ratio: (0.75, 1.333) };
        let flip = Transform::HorizontalFlip { probability: 0.5 };
        let pad = Transform::PadCrop { padding: 2, fill: 0 };
        let cases = [
            (24, vec![crop((0.3, 1.0)), flip.clone()]),
            (24, vec![crop((0.3, 1.0)), flip.clone(), pad]),
            (60, vec![crop((0.1, 0.5))]),
            (20, vec![Transform::Resize {}]),
            (20, vec![]),
            (28, vec![Transform::ResizeShorter { to: 32 }, Transform::CenterCrop {}, flip.clone()]),
            (50, vec![flip, crop((0.3, 1.0))]),
        ];
        for channels in [Channels::Rgb, Channels::Grey] {
            for (size, transforms) in &cases {
                let pipeline = Pipeline::new(channels, *size, transforms.clone()).unwrap();
                let mut scratch = Scratch::new(&StageClock::new(&pipeline));
                let mut found = vec![0; pipeline.image_bytes(0)];
                let mut sum = 0.0;
                for sample in 0..20 {
                    let seed = Pipeline::sample_seed(Seed::new(7), 0, sample);
                    pipeline
                        .run_into(Stored::Encoded(file), seed, 0, &mut scratch, &mut found)
                        .unwrap();
                    let whole = pipeline.run(image.clone(), seed, 0).unwrap();
                    let pairs = found.iter().zip(whole.pixels());
                    sum += pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
                }
                let mean = sum / 20.0 / found.len() as f64;
                println!("{size} px, {channels:?}, {transforms:?}: mean difference {mean:.3}");
                assert!(mean < 2.0, "{size} px, {transforms:?}: mean difference {mean}");
            }
        }
    }

    #[test]
    fn borrowed_pixels_give_what_owned_ones_give() {
        let crop = Transform::RandomResizedCrop { scale: (0.2, 1.0), ratio: (0.75, 1.5) };
        let transforms = vec![crop, Transform::HorizontalFlip { probability: 0.5 }];
        for channels in [Channels::Grey, Channels::Rgb] {
            let pipeline = Pipeline::new(channels, 16, transforms.clone()).unwrap();
            let mut scratch = Scratch::new(&StageClock::new(&pipeline));
            let (image, seed) = (image(50, 40), Seed::new(3));
            let mut found = vec![0; pipeline.image_bytes(0)];
            let stored = Stored::Pixels(image.view());
            pipeline.run_into(stored, seed, 0, &mut scratch, &mut found).unwrap();
            assert_eq!(found, pipeline.run(image, seed, 0).unwrap().pixels());
        }
    }
}
