//! Random brightness, contrast, saturation and hue, in random order: torchvision's `ColorJitter`.

use vitral_sdk::image;
use vitral_sdk::prelude::*;

/// Random brightness, contrast, saturation and hue.
#[derive(Clone, Debug, Parameters)]
pub struct ColorJitter {
    /// Brightness is multiplied by a factor from `1 - brightness` (not below 0) to `1 + brightness`.
    #[parameter(default = 0.4, min = 0.0, max = 10.0)]
    brightness: f32,
    /// The same for contrast.
    #[parameter(default = 0.4, min = 0.0, max = 10.0)]
    contrast: f32,
    /// The same for saturation; grey images have none.
    #[parameter(default = 0.4, min = 0.0, max = 10.0)]
    saturation: f32,
    /// The hue is turned by up to this share of the colour circle, either way.
    #[parameter(default = 0.0, min = 0.0, max = 0.5)]
    hue: f32,
    /// How likely an image is changed.
    #[parameter(default = 1.0, min = 0.0, max = 1.0)]
    probability: f64,
}

impl Plugin for ColorJitter {
    type Parameters = Self;

    const IDENTITY: Identity =
        identity!("color-jitter", "Random brightness, contrast, saturation and hue");

    fn new(parameters: Self) -> Result<Self> {
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("DeiT III's")
                .set("brightness", 0.3)
                .set("contrast", 0.3)
                .set("saturation", 0.3),
            Example::new("SimCLR's, strong")
                .set("brightness", 0.8)
                .set("contrast", 0.8)
                .set("saturation", 0.8)
                .set("hue", 0.2)
                .set("probability", 0.8),
        ]
    }
}

impl ImageAugmentation for ColorJitter {
    fn augment(&mut self, image: &mut Image<'_>, sample: &Sample) -> Result<()> {
        let mut rng = sample.rng();
        if !rng.random_bool(self.probability) {
            return Ok(());
        }
        let mut order = [0, 1, 2, 3];
        // Fisher and Yates's shuffle.
        for last in (1..order.len()).rev() {
            order.swap(last, rng.random_range(0..=last));
        }
        let channels = image.channels() as usize;
        let pixels = image.pixels_mut();
        for which in order {
            let mut factor = |strength: f32| {
                let low = (1.0 - strength).max(0.0);
                low + (1.0 + strength - low) * rng.random::<f32>()
            };
            match which {
                0 if self.brightness > 0.0 => image::brightness(pixels, factor(self.brightness)),
                1 if self.contrast > 0.0 => {
                    image::contrast(pixels, channels, factor(self.contrast));
                }
                2 if self.saturation > 0.0 => {
                    image::saturation(pixels, channels, factor(self.saturation));
                }
                3 if self.hue > 0.0 => {
                    let turn = (2.0 * rng.random::<f32>() - 1.0) * self.hue;
                    image::hue(pixels, channels, turn);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn cases() -> Vec<ImageCase> {
        let grey = || Picture::new(2, 1, 1, [10, 200]);
        let none = ImageCase::new("nothing is jittered by nothing", grey(), grey());
        vec![none.set("brightness", 0.0).set("contrast", 0.0).set("saturation", 0.0)]
    }
}

/// The plugin's functions, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::image_augmentation::<ColorJitter>()
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(ColorJitter: image_augmentation);
