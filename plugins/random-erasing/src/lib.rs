//! Random erasing (Zhong et al. 2020): rectangles of an image are replaced, with timm's modes.

use vitral_sdk::image::{self, Rectangle, Size};
use vitral_sdk::prelude::*;

/// How often a rectangle is drawn before an image is left as it is: it may not fit.
const ATTEMPTS: usize = 10;

/// Replaces rectangles of an image.
#[derive(Clone, Debug, Parameters)]
pub struct RandomErasing {
    /// How likely an image is changed.
    #[parameter(default = 0.25, min = 0.0, max = 1.0)]
    probability: f64,
    /// Smallest area of a rectangle, relative to the image's.
    #[parameter(default = 0.02, min = 0.0001, max = 1.0)]
    min_area: f64,
    /// Largest area of all rectangles together, relative to the image's.
    #[parameter(default = 0.3333333333, min = 0.0001, max = 1.0)]
    max_area: f64,
    /// Smallest height relative to the width; the largest is its reciprocal.
    #[parameter(default = 0.3, min = 0.01, max = 1.0)]
    min_aspect: f64,
    /// What the pixels become.
    #[parameter(default = Mode::Const)]
    mode: Mode,
    /// The value of `const`.
    #[parameter(default = 0, min = 0, max = 255)]
    value: u8,
    /// Rectangles of an image.
    #[parameter(default = 1, min = 1, max = 64)]
    count: u32,
}

/// What erased pixels become.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `value` in every channel.
    Const,
    /// One random colour for each rectangle.
    Rand,
    /// Random values everywhere.
    Pixel,
}

impl Plugin for RandomErasing {
    type Parameters = Self;

    const IDENTITY: Identity = identity!("random-erasing", "Replaces random rectangles of images");

    fn new(parameters: Self) -> Result<Self> {
        if parameters.min_area > parameters.max_area {
            bail!(
                "min_area {} must not be above max_area {}",
                parameters.min_area,
                parameters.max_area
            );
        }
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("DeiT's: random values in every pixel")
                .set("probability", 0.25)
                .set("mode", "pixel"),
            Example::new("Always three grey rectangles")
                .set("probability", 1)
                .set("count", 3)
                .set("value", 128),
        ]
    }
}

impl RandomErasing {
    /// A rectangle that fits into the image, if one is found.
    fn rectangle(&self, size: Size, rng: &mut Rng) -> Option<Rectangle> {
        let area = (size.width * size.height) as f64;
        let largest = (self.max_area / f64::from(self.count)).max(self.min_area);
        for _ in 0..ATTEMPTS {
            let target = area * between(self.min_area, largest, rng);
            // Uniform in the logarithm, as timm draws it.
            let log = vitral_sdk::math::log(self.min_aspect);
            let aspect = vitral_sdk::math::exp(between(log, -log, rng));
            let height = (target * aspect).sqrt().round_ties_even() as usize;
            let width = (target / aspect).sqrt().round_ties_even() as usize;
            let fits = width < size.width && height < size.height;
            if fits && width > 0 && height > 0 {
                let top = rng.random_range(0..=size.height - height);
                let left = rng.random_range(0..=size.width - width);
                return Some(Rectangle { top, left, width, height });
            }
        }
        None
    }
}

fn between(low: f64, high: f64, rng: &mut Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

impl ImageAugmentation for RandomErasing {
    fn augment(&mut self, image: &mut Image<'_>, sample: &Sample) -> Result<()> {
        let mut rng = sample.rng();
        if !rng.random_bool(self.probability) {
            return Ok(());
        }
        let size = Size::of(image);
        for _ in 0..self.count {
            let Some(rectangle) = self.rectangle(size, &mut rng) else { continue };
            let pixels = image.pixels_mut();
            match self.mode {
                Mode::Const => image::fill(pixels, size, rectangle, [self.value; 3]),
                Mode::Rand => image::fill(pixels, size, rectangle, rng.random()),
                Mode::Pixel => image::fill_with(pixels, size, rectangle, |row| rng.fill(row)),
            }
        }
        Ok(())
    }

    fn cases() -> Vec<ImageCase> {
        let whole = || Picture::new(2, 2, 1, [1, 2, 3, 4]);
        let never = ImageCase::new("never is never", whole(), whole());
        vec![never.set("probability", 0.0)]
    }
}

/// The plugin's functions, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::image_augmentation::<RandomErasing>()
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(RandomErasing: image_augmentation);
