//! DeiT III's augmentation (Touvron et al. 2022): one of greyscale, solarisation and Gaussian blur,
//! then colour jitter.

use vitral_sdk::image::{self, Size};
use vitral_sdk::prelude::*;

/// One of greyscale, solarisation and Gaussian blur, then colour jitter.
#[derive(Clone, Debug, Parameters)]
pub struct ThreeAugment {
    /// Strength of the jitter of brightness, contrast and saturation that follows; 0 has none.
    #[parameter(default = 0.3, min = 0.0, max = 1.0)]
    color_jitter: f32,
    /// Values from this one on are inverted by solarisation.
    #[parameter(default = 128, min = 0, max = 256)]
    solarize_threshold: u32,
    /// Smallest standard deviation of the blur, in pixels.
    #[parameter(default = 0.1, min = 0.01, max = 20.0)]
    blur_min: f32,
    /// Largest standard deviation of the blur, in pixels.
    #[parameter(default = 2.0, min = 0.01, max = 20.0)]
    blur_max: f32,
}

impl Plugin for ThreeAugment {
    type Parameters = Self;

    const IDENTITY: Identity = identity!(
        "three-augment",
        "DeiT III's greyscale, solarisation or blur, with colour jitter"
    );

    fn new(parameters: Self) -> Result<Self> {
        if parameters.blur_min > parameters.blur_max {
            bail!(
                "blur_min {} must not be above blur_max {}",
                parameters.blur_min,
                parameters.blur_max
            );
        }
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("As in DeiT III").set("color_jitter", 0.3),
            Example::new("For small images, without jitter")
                .set("color_jitter", 0)
                .set("blur_max", 0.8),
        ]
    }
}

impl ImageAugmentation for ThreeAugment {
    fn augment(&mut self, image: &mut Image<'_>, sample: &Sample) -> Result<()> {
        let mut rng = sample.rng();
        let size = Size::of(image);
        let pixels = image.pixels_mut();
        match rng.random_range(0..3) {
            0 => image::luma(pixels, size.channels),
            1 => image::solarize(pixels, self.solarize_threshold),
            _ => {
                let deviation =
                    self.blur_min + (self.blur_max - self.blur_min) * rng.random::<f32>();
                image::gaussian_blur(pixels, size, deviation);
            }
        }
        let strength = self.color_jitter;
        if strength > 0.0 {
            let mut factor = || 1.0 - strength + 2.0 * strength * rng.random::<f32>();
            image::brightness(pixels, factor());
            image::contrast(pixels, size.channels, factor());
            image::saturation(pixels, size.channels, factor());
        }
        Ok(())
    }
}

/// The plugin's functions, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::image_augmentation::<ThreeAugment>()
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(ThreeAugment: image_augmentation);
