//! A plugin: images become grey, some of the time. `vitral plugin new` makes a crate for one of your own.
//!
//! `cargo build --release -p vitral-sdk --example library_plugin` makes it a native library.

use vitral_sdk::prelude::*;

/// Makes images grey.
#[derive(Parameters)]
pub struct Grey {
    /// How likely an image is changed.
    #[parameter(default = 0.2, min = 0, max = 1)]
    probability: f64,
}

impl Plugin for Grey {
    type Parameters = Self;
    const IDENTITY: Identity = identity!("grey", "Makes images grey");

    fn new(parameters: Self) -> Result<Self> {
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![Example::new("Every image").set("probability", 1.0)]
    }
}

impl ImageAugmentation for Grey {
    fn augment(&mut self, image: &mut Image<'_>, sample: &Sample) -> Result<()> {
        if image.channels() == 3 && sample.rng().random::<f64>() < self.probability {
            for pixel in image.pixels_mut().chunks_exact_mut(3) {
                pixel.fill((pixel.iter().map(|&value| u32::from(value)).sum::<u32>() / 3) as u8);
            }
        }
        Ok(())
    }
}

vitral_sdk::export!(Grey: image_augmentation);
