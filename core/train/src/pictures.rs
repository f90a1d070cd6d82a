//! Some images of an evaluation as pictures, with what the model says of them.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage, imageops};
use vitral_config::visible;
use vitral_data::{Channels, DataConfig};

use crate::{Error, evaluate::Answered, evaluate::rank_of, loss::Loss};

/// How many there are: the first ones of those that are evaluated.
pub(crate) const PICTURES: usize = 8;
/// Least side of a picture in pixels, and which part of its side its frame takes.
const LEAST: u32 = 112;
const FRAME: u32 = 28;
/// Its colours, where the model is right and where it is wrong.
const RIGHT: Rgb<u8> = Rgb([46, 160, 67]);
const WRONG: Rgb<u8> = Rgb([215, 48, 48]);

/// An image with what the model says of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    /// The class that it has, and the one that the model takes it for.
    pub label: String,
    pub predicted: String,
    /// How sure the model is of that, from 0 to 1.
    pub probability: f64,
    pub side: u32,
    pub png: Vec<u8>,
}

impl Picture {
    /// Those of a batch that were asked for.
    ///
    /// # Errors
    /// The data's normalisation is none for its channels, or a picture cannot be made.
    pub(crate) fn all_of(
        answered: &Answered<'_>,
        names: &[String],
        data: &DataConfig,
        loss: Loss,
    ) -> Result<Vec<Self>, Error> {
        let [count, side, _, channels] = answered.pixels.shape;
        if count == 0 {
            return Ok(Vec::new());
        }
        let kind = if channels == 1 { Channels::Grey } else { Channels::Rgb };
        let (mean, std) = data.normalize.mean_std(kind)?;
        let classes = answered.logits.len() / answered.labels.len();
        let rows = answered.logits.chunks(classes).zip(answered.labels);
        let images = answered.pixels.values.chunks(side * side * channels);
        let name = |class: usize| match names.get(class) {
            Some(name) => visible(name).into_owned(),
            None => format!("class {class}"),
        };
        let picture = |(image, (logits, &label)): (&[f32], (&[f32], &u32))| {
            let best = (0..classes).find(|class| rank_of(logits, *class) == 0);
            let is_right = best == Some(label as usize);
            let value = |x: u32, y: u32, channel: usize| {
                let channel = channel % channels;
                let at = (y as usize * side + x as usize) * channels + channel;
                // Beyond 0 and 255 goes what was rounded.
                (255.0 * (image[at] * std[channel] + mean[channel])).round() as u8
            };
            let pixels = RgbImage::from_fn(side as u32, side as u32, |x, y| {
                Rgb([0, 1, 2].map(|channel| value(x, y, channel)))
            });
            let framed = framed(&pixels, if is_right { RIGHT } else { WRONG });
            let mut png = Cursor::new(Vec::new());
            framed
                .write_to(&mut png, ImageFormat::Png)
                .map_err(|error| Error::Message(format!("a picture cannot be made: {error}")))?;
            Ok(Self {
                label: name(label as usize),
                predicted: best.map_or_else(|| "nothing".into(), name),
                probability: best.map_or(f64::NAN, |best| probability(logits, best, loss)),
                side: framed.width(),
                png: png.into_inner(),
            })
        };
        images.zip(rows).take(count).map(picture).collect()
    }
}

/// As large as it takes to be seen, with a frame around it.
fn framed(pixels: &RgbImage, colour: Rgb<u8>) -> RgbImage {
    let side = pixels.width() * LEAST.div_ceil(pixels.width()).max(1);
    let width = side / FRAME;
    let mut framed = RgbImage::from_pixel(side + 2 * width, side + 2 * width, colour);
    let large = imageops::resize(pixels, side, side, imageops::FilterType::Nearest);
    imageops::replace(&mut framed, &large, i64::from(width), i64::from(width));
    framed
}

fn probability(logits: &[f32], class: usize, loss: Loss) -> f64 {
    let own = f64::from(logits[class]);
    match loss {
        Loss::Softmax => {
            1.0 / logits.iter().map(|logit| (f64::from(*logit) - own).exp()).sum::<f64>()
        }
        Loss::Sigmoid | Loss::SigmoidMean => 1.0 / (1.0 + (-own).exp()),
    }
}

#[cfg(test)]
mod tests {
    use vitral_data::Normalization;

    use super::*;
    use crate::evaluate::Pixels;

    #[test]
    fn a_picture_shows_its_image_and_whether_the_model_is_right() {
        let normalize = Normalization::default();
        let data = r#"(train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"]))"#;
        let data: DataConfig = vitral_config::Document::new("test", data).parse().unwrap();
        let data = DataConfig { normalize: normalize.clone(), ..data };
        // Black and white, of 2 x 2 pixels.
        let (mean, std) = normalize.mean_std(Channels::Grey).unwrap();
        let of = |value: f32| (value - mean[0]) / std[0];
        let values = [[0.0; 4], [1.0; 4]].concat().into_iter().map(of).collect();
        let answered = Answered {
            logits: &[0.0, 2.0, f32::NAN, f32::NAN],
            labels: &[1, 0],
            samples: &[7, 8],
            pixels: &Pixels { values, shape: [2, 2, 2, 1] },
        };
        let names = ["cat".to_owned(), "a\u{1b}dog".to_owned()];
        let found = Picture::all_of(&answered, &names, &data, Loss::Softmax).unwrap();
        let said: Vec<_> = found.iter().map(|one| (&*one.label, &*one.predicted)).collect();
        assert!(!said[0].0.contains('\u{1b}'));
        assert_eq!((said[0].0, said[1]), (said[0].1, ("cat", "nothing")));
        assert!((found[0].probability - 0.880_797).abs() < 1e-6);
        assert!((probability(&[0.0, 2.0], 1, Loss::Sigmoid) - 0.880_797).abs() < 1e-6);
        for (picture, (frame, inside)) in found.iter().zip([(RIGHT, 0), (WRONG, 255)]) {
            let shown = image::load_from_memory(&picture.png).unwrap().into_rgb8();
            assert_eq!(shown.width(), picture.side);
            assert!(picture.side >= LEAST);
            assert_eq!(*shown.get_pixel(0, 0), frame);
            assert_eq!(*shown.get_pixel(picture.side / 2, picture.side / 2), Rgb([inside; 3]));
        }
        let none = Answered { pixels: &Pixels::default(), ..answered };
        assert!(Picture::all_of(&none, &names, &data, Loss::Softmax).unwrap().is_empty());
    }
}
