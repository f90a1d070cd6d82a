//! Components that change images: one copy in, one copy out.

use std::sync::Arc;

use vitral_abi::{Sample, wit::ToWit};
use vitral_seed::Seed;

use super::{
    bindings::exports::vitral::plugin::image_augmentations,
    exports::Exports,
    keeper::{Keeper, Request},
    pixels::{Passed, Pixels, in_place, is_changed},
};
use crate::{Call, CallError, Image, ImageAugmentation, ImageMut, image::check_made};

/// What `augment` is called with, and what it gives.
type Given = (Passed, image_augmentations::Sample);
type Made = (Result<Option<Passed>, String>,);

pub(super) struct Augmentation(pub(super) Keeper);

impl Augmentation {
    fn call(
        &mut self,
        (width, height, channels): (u32, u32, u32),
        pixels: &mut [u8],
        sample: &Sample,
        words: &dyn Fn() -> String,
    ) -> Result<Option<Passed>, CallError> {
        let passed = Passed { width, height, channels, pixels: Pixels::InPlace };
        let exports = Arc::clone(self.0.exports());
        let request = Request {
            call: Call::Augment,
            words,
            time: self.0.time(),
            seed: Some(Seed::new(sample.seed)),
            trace: None,
        };
        in_place(pixels, || {
            self.0.call(request, async |store, instance| {
                let Exports::Image(_, augment) = &*exports else {
                    return Ok(Err("it is not an image augmentation".to_owned()));
                };
                let augment = instance.get_typed_func::<Given, Made>(&mut *store, augment)?;
                let (made,) = augment.call_async(store, (passed, sample.to_wit())).await?;
                Ok(made)
            })
        })
    }
}

impl ImageAugmentation for Augmentation {
    fn augment_in_place(
        &mut self,
        image: ImageMut<'_>,
        sample: &Sample,
    ) -> Result<Option<Image>, CallError> {
        let described = image.words(sample);
        let words = || described.clone();
        image.check().map_err(|cause| self.0.error(Call::Augment, words(), cause))?;
        let ImageMut { width, height, channels, pixels } = image;
        let mut result = self.call((width, height, channels), pixels, sample, &words);
        if self.0.is_exhausted() && !is_changed() {
            // An image depends on its sample alone, so that another instance makes of it what this one would have.
            tracing::debug!("plugin `{}` used up its memory and is started again", self.0.plugin());
            self.0.discard();
            result = self.call((width, height, channels), pixels, sample, &words);
        }
        let Some(made) = result? else { return Ok(None) };
        let bytes = match &made.pixels {
            Pixels::InPlace => pixels.len(),
            Pixels::Elsewhere(pixels) => pixels.len(),
        };
        check_made((made.width, made.height, made.channels), bytes, channels)
            .map_err(|cause| self.0.error(Call::Augment, described, cause))?;
        let pixels = match made.pixels {
            Pixels::InPlace if (made.width, made.height) == (width, height) => return Ok(None),
            // As many pixels in another shape.
            Pixels::InPlace => pixels.to_vec(),
            Pixels::Elsewhere(pixels) => pixels,
        };
        Ok(Some(Image { width: made.width, height: made.height, channels, pixels }))
    }
}
