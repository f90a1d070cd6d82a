//! Pictures of the images that an evaluation has noted.

use std::{collections::BTreeSet, sync::Arc};

use vitral_data::{Part, Source};
use vitral_train::{Error, Evaluated, PredictOptions, TrainedModel, noted::NotedImage};

use crate::{
    page::{Picture, Pictures, jpeg},
    picture,
};

/// Images of each kind on a page.
pub const PICTURES: usize = 12;
/// Least pixels of an image's sides.
const SIDE: u32 = 112;

/// Pictures of what was noted, each with its map of attention where the model has one.
///
/// # Errors
/// As of a prediction.
pub fn pictures(model: &TrainedModel, found: &Evaluated) -> Result<Pictures, Error> {
    let noted = || found.noted.mistakes.iter().chain(&found.noted.unsure);
    let samples: BTreeSet<u32> = noted().map(|image| image.sample).collect();
    let samples: Vec<u32> = samples.into_iter().collect();
    if samples.is_empty() {
        return Ok(Pictures::default());
    }
    let (files, note) = match attended(model, found, &samples) {
        Ok(files) => (files, None),
        Err(Error::NoAttention(reason)) => {
            let plain = samples.iter().map(|&sample| (sample, plain(&*found.images, sample)));
            (plain.collect(), Some(format!("Without maps of attention: {reason}.")))
        }
        Err(error) => return Err(error),
    };
    let all = |images: &[NotedImage]| images.iter().map(|image| of(image, found, &files)).collect();
    Ok(Pictures { mistakes: all(&found.noted.mistakes), unsure: all(&found.noted.unsure), note })
}

/// A sample, and its files.
type OfSample = (u32, Vec<Vec<u8>>);

/// What the model was given of images, and where it looked.
fn attended(
    model: &TrainedModel,
    found: &Evaluated,
    samples: &[u32],
) -> Result<Vec<OfSample>, Error> {
    let part: Arc<dyn Source> = Arc::new(Part::of(found.images.clone(), samples.to_vec()));
    let options = PredictOptions { attention: true, ..PredictOptions::default() };
    let mut files = Vec::with_capacity(samples.len());
    for batch in model.predict(&part, options)? {
        let batch = batch?;
        for (&place, attended) in batch.samples.iter().zip(batch.attention.iter().flatten()) {
            let pictures = [picture::shown(&attended.image, SIDE), picture::rollout(attended)];
            files.push((samples[place as usize], pictures.iter().map(jpeg).collect()));
        }
    }
    Ok(files)
}

/// The image alone, unless it cannot be read any more.
fn plain(images: &dyn Source, sample: u32) -> Vec<Vec<u8>> {
    let image = images.read(sample as usize);
    image.iter().map(|image| jpeg(&picture::shown(image, SIDE))).collect()
}

fn of(image: &NotedImage, found: &Evaluated, files: &[OfSample]) -> Picture {
    let name = |class: usize| {
        found
            .figures
            .classes
            .get(class)
            .map_or_else(|| class.to_string(), |found| found.name.clone())
    };
    let own = files.iter().find(|(sample, _)| *sample == image.sample);
    let first = (name(image.predicted), image.probability);
    let second = image.second.map(|(class, probability)| (name(class), probability));
    Picture {
        files: own.map_or_else(Vec::new, |(_, files)| files.clone()),
        name: found.images.name(image.sample as usize),
        class: name(image.class),
        taken_for: [Some(first), second].into_iter().flatten().collect(),
    }
}
