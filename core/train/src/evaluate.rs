//! How good a model is: loss, top-1, top-5 and per-class accuracy over every image of a set.

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use vitral_data::{DataConfig, Loader, Skipped};
use vitral_model::{Mode, ViT};

use crate::{
    Error,
    batch::images_to_device,
    evaluation::{ClassAccuracy, Evaluation},
    loss::{Loss, targets},
};

/// The sums behind an [`Evaluation`], batch by batch.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    left_out: Vec<Skipped>,
    /// The bits of each image's loss: their sum depends on its order, which must be that of the images.
    losses: Vec<u32>,
    top1: u64,
    top5: u64,
    classes: Vec<(u64, u64)>,
}

impl Tally {
    fn add(&mut self, logits: &[f32], losses: &[f32], labels: &[u32]) {
        let classes = self.classes.len();
        for ((row, loss), &label) in logits.chunks(classes).zip(losses).zip(labels) {
            let rank = rank_of(row, label as usize);
            self.losses.push(loss.to_bits());
            self.top1 += u64::from(rank == 0);
            self.top5 += u64::from(rank < 5);
            let (images, correct) = &mut self.classes[label as usize];
            *images += 1;
            *correct += u64::from(rank == 0);
        }
    }

    /// This, and what the images after these come to.
    pub(crate) fn and(mut self, mut after: Self) -> Self {
        self.left_out.append(&mut after.left_out);
        self.losses.append(&mut after.losses);
        self.top1 += after.top1;
        self.top5 += after.top5;
        for ((images, correct), (more, more_correct)) in self.classes.iter_mut().zip(after.classes)
        {
            *images += more;
            *correct += more_correct;
        }
        self
    }

    fn images(&self) -> u64 {
        self.losses.len() as u64
    }

    pub(crate) fn finish(self, names: &[String]) -> Evaluation {
        let images = self.images().max(1) as f64;
        let loss: f64 = self.losses.iter().map(|bits| f64::from(f32::from_bits(*bits))).sum();
        let class = |(name, (images, correct)): (&String, (u64, u64))| ClassAccuracy {
            name: name.clone(),
            images,
            correct,
        };
        Evaluation {
            images: self.images(),
            skipped: self.left_out.len() as u64,
            left_out: self.left_out,
            notes: Vec::new(),
            loss: loss / images,
            top1: self.top1 as f64 / images,
            top5: self.top5 as f64 / images,
            classes: names.iter().zip(self.classes).map(class).collect(),
        }
    }
}

/// How many logits are above the label's; an equal one of a lower class counts as above, so that a
/// model without preference is not right by accident, and NaN is never right.
pub(crate) fn rank_of(logits: &[f32], label: usize) -> usize {
    let own = logits[label];
    if own.is_nan() {
        return logits.len();
    }
    let above = |(class, &logit): (usize, &f32)| {
        logit > own || (logit == own && class < label) || logit.is_nan()
    };
    logits
        .iter()
        .enumerate()
        .filter(|&entry| entry.0 != label)
        .filter(|&entry| above(entry))
        .count()
}

/// Evaluates a model (without autodiff) on every image that the loader brings. Labels are positions in the
/// list of class names.
///
/// `progress` is called with the number of images done.
///
/// # Errors
/// An image that cannot be read, where the data's policy is to stop, and what `progress` fails with.
pub fn evaluate(
    model: &ViT,
    loader: Loader,
    data: &DataConfig,
    class_names: &[String],
    loss: Loss,
    device: &Device,
    progress: impl FnMut(u64) -> Result<(), Error>,
) -> Result<Evaluation, Error> {
    let evaluator = Evaluator { model, data, loss, device, flips: false, pictured: 0 };
    evaluator.run(loader, class_names, |_| {}, progress)
}

/// What evaluates a model, and how.
pub(crate) struct Evaluator<'a> {
    pub model: &'a ViT,
    pub data: &'a DataConfig,
    pub loss: Loss,
    pub device: &'a Device,
    /// Whether logits are the mean of those of an image and its mirror image.
    pub flips: bool,
    /// How many of the first images are given with their pixels.
    pub pictured: usize,
}

/// Pixels of the first images of a batch, if any were asked for.
#[derive(Default)]
pub(crate) struct Pixels {
    /// Normalised, as the model sees them.
    pub values: Vec<f32>,
    /// `[images, height, width, channels]`.
    pub shape: [usize; 4],
}

/// A batch, and what the model says of it.
pub(crate) struct Answered<'a> {
    /// Image by image.
    pub logits: &'a [f32],
    /// The class of each image.
    pub labels: &'a [u32],
    /// The index of each image in its source.
    pub samples: &'a [u32],
    /// Of the first images of all.
    pub pixels: &'a Pixels,
}

impl Evaluator<'_> {
    /// The same as [`evaluate`]; `each` is called with each batch.
    pub fn run(
        &self,
        loader: Loader,
        class_names: &[String],
        each: impl FnMut(&Answered<'_>),
        progress: impl FnMut(u64) -> Result<(), Error>,
    ) -> Result<Evaluation, Error> {
        Ok(self.tally(loader, each, progress)?.finish(class_names))
    }

    /// What the images that the loader brings come to, which may be some of those of a set.
    pub fn tally(
        &self,
        loader: Loader,
        mut each: impl FnMut(&Answered<'_>),
        mut progress: impl FnMut(u64) -> Result<(), Error>,
    ) -> Result<Tally, Error> {
        // A model may have more classes than there are names.
        let classes = self.model.config().classes;
        let mut tally = Tally { classes: vec![(0, 0); classes], ..Tally::default() };
        for batch in loader {
            let mut batch = batch?;
            tally.left_out.append(&mut batch.skipped);
            let images = images_to_device(&batch, &self.data.normalize, self.device)?;
            let pictured = if tally.images() == 0 { self.pictured.min(batch.len()) } else { 0 };
            let pixels = match images.dims() {
                [_, height, width, channels] if pictured > 0 => Pixels {
                    values: read(images.clone().narrow(0, 0, pictured))?,
                    shape: [pictured, height, width, channels],
                },
                _ => Pixels::default(),
            };
            let logits = self.logits(images);
            let targets = targets(&batch.labels, classes, 0.0, self.device);
            let losses = self.loss.per_image(logits.clone(), targets);
            let logits = read(logits)?;
            tally.add(&logits, &read(losses)?, &batch.labels);
            let (labels, samples) = (&batch.labels, &batch.samples);
            each(&Answered { logits: &logits, labels, samples, pixels: &pixels });
            progress(tally.images() + tally.left_out.len() as u64)?;
        }
        Ok(tally)
    }

    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        match self.flips {
            false => self.model.forward(images, Mode::Eval),
            true => {
                let mirrored = self.model.forward(images.clone().flip([2]), Mode::Eval);
                (self.model.forward(images, Mode::Eval) + mirrored) / 2.0
            }
        }
    }
}

fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, Error> {
    tensor.try_into_vec_as::<f32>().map_err(|error| Error::Device(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_what_is_above() {
        assert_eq!(rank_of(&[0.1, 0.9, 0.5], 1), 0);
        assert_eq!(rank_of(&[0.1, 0.9, 0.5], 0), 2);
        assert_eq!(rank_of(&[0.0, 0.0, 0.0], 0), 0);
        assert_eq!(rank_of(&[0.0, 0.0, 0.0], 2), 2);
        assert_eq!(rank_of(&[f32::NAN, 0.0], 0), 2);
        assert_eq!(rank_of(&[f32::NAN, 0.0], 1), 1);
    }

    #[test]
    fn tally_counts_by_class() {
        let mut tally = Tally { classes: vec![(0, 0); 6], ..Tally::default() };
        let logits =
            [[6., 5., 4., 3., 2., 1.], [6., 5., 4., 3., 2., 1.], [1., 5., 4., 3., 2., 0.]].concat();
        let names: Vec<String> = (0..6).map(|n| n.to_string()).collect();
        let mut after = Tally { classes: vec![(0, 0); 6], ..Tally::default() };
        tally.add(&logits[..6], &[0.5], &[0]);
        after.add(&logits[6..], &[1.0, 1.5], &[5, 1]);
        let found = tally.and(after).finish(&names);
        assert_eq!((found.images, found.loss), (3, 1.0));
        assert!((found.top1 - 2.0 / 3.0).abs() < 1e-12 && (found.top5 - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(found.classes[5].accuracy(), Some(0.0));
        assert_eq!(found.classes[1].accuracy(), Some(1.0));
        assert_eq!(found.classes[2].accuracy(), None);
    }
}
