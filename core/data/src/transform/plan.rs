//! The first stage, worked out before an image is decoded: which part of it is needed, and how large.

use vitral_seed::Seed;

use super::{Transform, random_resized_crop, resize};
use crate::decode::Request;
use crate::error::TransformError;
use crate::pixels::Channels;
use crate::region::Crop;

/// A part of an image, resized, and how many transforms that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub request: Request,
    /// Transforms that are done once the part has been resized.
    pub done: usize,
}

impl Plan {
    /// What `transforms` begin with for an image of `width` x `height` pixels, on its way to `size` x
    /// `size`. `seed` is the sample's own.
    pub fn new(
        transforms: &[Transform],
        (width, height): (u32, u32),
        channels: Channels,
        size: u32,
        seed: Seed,
    ) -> Result<Self, TransformError> {
        let whole = Crop::whole(width, height);
        let plan =
            |part, (width, height), done| Self { request: Request { part, width, height }, done };
        Ok(match transforms.first() {
            None => plan(whole, (size, size), 0),
            Some(Transform::Resize {}) => plan(whole, (size, size), 1),
            Some(&Transform::ResizeShorter { to }) => {
                plan(whole, resize::shorter_size(width, height, channels, to)?, 1)
            }
            Some(&Transform::RandomResizedCrop { scale, ratio }) => {
                let rng = &mut seed.indexed(0).rng();
                let part = random_resized_crop::choose(width, height, scale, ratio, rng);
                plan(part, (size, size), 1)
            }
            // The others work on all of the image, as large as it is.
            Some(_) => Self::nothing(width, height),
        })
    }

    /// The image as it is.
    pub fn nothing(width: u32, height: u32) -> Self {
        Self { request: Request { part: Crop::whole(width, height), width, height }, done: 0 }
    }
}
