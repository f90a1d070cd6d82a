//! Components that change images: one copy in, one copy out.

use std::sync::Arc;

use vitral_abi::Sample;
use vitral_seed::Seed;

use super::{
    bindings::exports::vitral::plugin::image_augmentations,
    convert,
    keeper::{Keeper, Request},
    open::Exports,
};
use crate::{Call, CallError, Image, ImageAugmentation, image::check_made};

pub(super) struct Augmentation(pub(super) Keeper);

impl ImageAugmentation for Augmentation {
    fn augment(&mut self, image: &mut Image, sample: &Sample) -> Result<(), CallError> {
        let described = image.words(sample);
        let words = || described.clone();
        image.check().map_err(|cause| self.0.error(Call::Augment, words(), cause))?;
        let passed = image_augmentations::Image {
            width: image.width,
            height: image.height,
            channels: image.channels,
            pixels: std::mem::take(&mut image.pixels),
        };
        let exports = Arc::clone(self.0.exports());
        let request = Request {
            call: Call::Augment,
            words: &words,
            time: self.0.time(),
            seed: Some(Seed::new(sample.seed)),
            trace: None,
        };
        let result = self.0.call(request, async |store, instance| {
            let Exports::Image(indices) = &*exports else {
                return Ok(Err("it is no image augmentation".to_owned()));
            };
            let guest = indices.load(&mut *store, instance)?;
            guest.call_augment(store, &passed, convert::sample(sample)).await
        });
        image.pixels = passed.pixels;
        let Some(made) = result? else { return Ok(()) };
        check_made((made.width, made.height, made.channels), made.pixels.len(), image.channels)
            .map_err(|cause| self.0.error(Call::Augment, described, cause))?;
        (image.width, image.height, image.pixels) = (made.width, made.height, made.pixels);
        Ok(())
    }
}
