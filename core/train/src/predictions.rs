//! Images classified by a trained model, batch by batch: data workers read and decode those of the next
//! batches while the model computes.

use std::sync::Arc;

use burn::tensor::{Tensor, activation};
use vitral_data::{Image, ImageBatch, Loader, Skipped, Source};
use vitral_model::{Mode, attention_maps::AttentionMaps};

use crate::{
    Error, TrainedModel,
    batch::images_to_device,
    footprint::{self, Purpose},
    loss::Loss,
    trainer::{each_loader, evaluated_at_once},
};

/// Images that are classified at once at most, unless somebody says how many.
const AT_ONCE: usize = 64;
/// Values of attention in all layers that are kept at once, but for those of a single image: 256 MiB.
const ATTENTION_AT_ONCE: usize = 64 << 20;

/// How images are classified.
#[derive(Clone, Copy, Debug, Default)]
pub struct PredictOptions {
    /// Images that go through the model at once; by default as many as in its evaluations, and at most 64.
    pub batch: Option<usize>,
    /// Whether the features behind the classes are wanted, too.
    pub features: bool,
    /// Whether the attention that led there is wanted, too; it is computed on a slower way.
    pub attention: bool,
}

/// An image with the attention of a model to it.
#[derive(Clone, Debug, PartialEq)]
pub struct AttendedImage {
    /// What the model was given of the image.
    pub image: Image,
    /// Where it looked.
    pub maps: AttentionMaps,
}

/// Some images, classified.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted {
    /// Each image's index in its source.
    pub samples: Vec<u32>,
    /// The probabilities of all classes, image by image.
    pub probabilities: Vec<f32>,
    /// What the head makes them of, image by image, if it is wanted.
    pub features: Option<Vec<f32>>,
    /// The attention to each image, if it is wanted.
    pub attention: Option<Vec<AttendedImage>>,
    /// Images between these that could not be read.
    pub skipped: Vec<Skipped>,
}

impl TrainedModel {
    /// Classifies all images of a source, in its order. What cannot be read is left out and named.
    ///
    /// # Errors
    /// There is too little memory for so many images at once, the source has none, or the model has no
    /// attention where it is wanted.
    pub fn predict(
        &self,
        images: &Arc<dyn Source>,
        options: PredictOptions,
    ) -> Result<Predictions<'_>, Error> {
        let usual = evaluated_at_once(&self.experiment, self.state.micro_batch.as_ref());
        let mut batch = options.batch.unwrap_or(usual.min(AT_ONCE)).min(images.len().max(1));
        if options.attention {
            let config = self.vit().config();
            config.check_attention_maps()?;
            batch = batch.min(ATTENTION_AT_ONCE / config.attention_elements()).max(1);
        }
        self.check_memory(Purpose::Evaluate(batch))?;
        let loader = each_loader(&self.experiment, images, batch)?;
        Ok(Predictions { model: self, loader, options, ahead: None })
    }

    /// How many values the features of an image have.
    pub fn feature_width(&self) -> usize {
        let config = self.vit().config();
        config.representation_size.unwrap_or(config.pooled_width())
    }

    fn check_memory(&self, purpose: Purpose) -> Result<(), Error> {
        footprint::check(&self.experiment, self.programs(), purpose, self.device())
    }
}

/// The images of a source, classified one batch after the other.
pub struct Predictions<'a> {
    model: &'a TrainedModel,
    loader: Loader,
    options: PredictOptions,
    /// The batch that the device computes while the one before it is used.
    ahead: Option<Result<Computing, Error>>,
}

/// A batch that a device computes.
struct Computing {
    samples: Vec<u32>,
    skipped: Vec<Skipped>,
    /// Probabilities, and features if they are wanted; none of no images.
    results: Option<(Tensor<2>, Option<Tensor<2>>)>,
    attention: Option<Vec<AttendedImage>>,
}

impl Predictions<'_> {
    /// Has the device compute the next batch.
    fn start(&mut self) -> Option<Result<Computing, Error>> {
        let batch = match self.loader.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error.into())),
        };
        Some(self.computed(batch))
    }

    fn computed(&self, mut batch: ImageBatch) -> Result<Computing, Error> {
        let model = self.model;
        let mut attention = self.options.attention.then(Vec::new);
        let results = match batch.is_empty() {
            true => None,
            false => {
                let normalize = &model.experiment.data.normalize;
                let images = images_to_device(&batch, normalize, model.device())?;
                let (logits, features) = if let Some(attention) = &mut attention {
                    let attended = model.vit().forward_with_attention(images)?;
                    attention.extend(attended_images(&batch, attended.maps)?);
                    (attended.logits, self.options.features.then_some(attended.features))
                } else if self.options.features {
                    let found = model.vit().forward_with_features(images, Mode::Eval);
                    (found.0, Some(found.1))
                } else {
                    (model.vit().forward(images, Mode::Eval), None)
                };
                let probabilities = match model.experiment.train.loss {
                    Loss::Softmax => activation::softmax(logits, 1),
                    Loss::Sigmoid | Loss::SigmoidMean => activation::sigmoid(logits),
                };
                Some((probabilities, features))
            }
        };
        let samples = std::mem::take(&mut batch.samples);
        let skipped = std::mem::take(&mut batch.skipped);
        self.loader.recycle(batch);
        Ok(Computing { samples, skipped, results, attention })
    }
}

impl Iterator for Predictions<'_> {
    type Item = Result<Predicted, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let computing = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.start()?,
        };
        if computing.is_ok() {
            self.ahead = self.start();
        }
        Some(computing.and_then(read))
    }
}

/// Images as the model was given them, with its attention to each.
fn attended_images(
    batch: &ImageBatch,
    maps: Vec<AttentionMaps>,
) -> Result<Vec<AttendedImage>, Error> {
    let bytes = batch.images.len() / batch.len();
    let images = batch.images.chunks_exact(bytes).zip(maps);
    let attended = images.map(|(pixels, maps)| {
        let image = Image::new(batch.size, batch.size, batch.channels, pixels.to_vec());
        let image = image.map_err(|error| Error::Device(error.to_string()))?;
        Ok(AttendedImage { image, maps })
    });
    attended.collect()
}

/// Waits for what a device computes.
fn read(batch: Computing) -> Result<Predicted, Error> {
    let Computing { samples, skipped, results, attention } = batch;
    let values = |tensor: Tensor<2>, what: &'static str| -> Result<Vec<f32>, Error> {
        let values: Vec<f32> =
            tensor.try_into_vec_as().map_err(|error| Error::Device(error.to_string()))?;
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(Error::NoNumber { what }),
        }
    };
    let (probabilities, features) = match results {
        None => (Vec::new(), None),
        Some((probabilities, features)) => (
            values(probabilities, "the probabilities are")?,
            features.map(|features| values(features, "the features are")).transpose()?,
        ),
    };
    Ok(Predicted { samples, probabilities, features, attention, skipped })
}
