//! Fills a square of an image (DeVries and Taylor 2017, arXiv:1708.04552).

use vitral_sdk::prelude::*;

/// A square around a random pixel; what of it is outside of the image is cut off.
#[derive(Debug, Parameters)]
pub struct Cutout {
    /// How likely an image is changed.
    #[parameter(default = 0.5, min = 0, max = 1)]
    probability: f64,
    /// Side of the square, relative to the image's shorter side.
    #[parameter(default = 0.5, min = 0, max = 1)]
    size: f64,
    /// What the square is filled with.
    #[parameter(default = 128, min = 0, max = 255)]
    value: u8,
}

impl Plugin for Cutout {
    type Parameters = Self;
    const IDENTITY: Identity = identity!("cutout", "Fills a square of images");

    fn new(parameters: Self) -> Result<Self> {
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![Example::new("Every image, black").set("probability", 1).set("value", 0)]
    }
}

impl ImageAugmentation for Cutout {
    fn augment(&mut self, image: &mut Image<'_>, sample: &Sample) -> Result<()> {
        let mut rng = sample.rng();
        if rng.random::<f64>() >= self.probability {
            return Ok(());
        }
        let (width, height, channels) = (image.width(), image.height(), image.channels());
        let side = (self.size * f64::from(width.min(height))).round() as u32;
        // Around a random place on a line, cut off at both of its ends.
        let mut span = |line: u32| {
            let end = rng.random_range(0..line) + side - side / 2;
            end.saturating_sub(side)..end.min(line)
        };
        let (columns, rows) = (span(width), span(height));
        for row in rows {
            let columns = (columns.start * channels) as usize..(columns.end * channels) as usize;
            image.row_mut(row)[columns].fill(self.value);
        }
        Ok(())
    }

    fn cases() -> Vec<ImageCase> {
        let white = || Picture::new(1, 1, 3, [255; 3]);
        let case = ImageCase::new("The whole of one pixel", white(), Picture::new(1, 1, 3, [7; 3]));
        vec![case.set("probability", 1).set("size", 1).set("value", 7)]
    }
}

vitral_sdk::export!(Cutout: image_augmentation);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_passes_its_checks() {
        vitral_testkit::check_image_augmentation::<Cutout>();
    }
}
