//! The first stages, worked out before an image is decoded: which part of it is needed, and how large.

use vitral_seed::Seed;

use super::{Transform, horizontal_flip, random_resized_crop, resize};
use crate::decode::Request;
use crate::error::TransformError;
use crate::pixels::Channels;
use crate::region::Crop;

/// A part of an image, resized, perhaps mirrored, and how many transforms that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub request: Request,
    /// Whether the part is mirrored left and right once it has been resized.
    pub mirrored: bool,
    /// Transforms that are done then.
    pub done: usize,
}

impl Plan {
    /// What `transforms` begin with for an image of `width` x `height` pixels, on its way to `size` x
    /// `size`. `seed` is the sample's own.
    ///
    /// A part of a mirrored image is the mirrored image of another part, so that flips in front of a stage
    /// that needs a part are made after it.
    pub fn new(
        transforms: &[Transform],
        (width, height): (u32, u32),
        channels: Channels,
        size: u32,
        seed: Seed,
    ) -> Result<Self, TransformError> {
        let (mut mirrored, mut first) = (false, 0);
        while let Some(&Transform::HorizontalFlip { probability }) = transforms.get(first) {
            let rng = &mut seed.indexed(first as u64).rng();
            mirrored ^= horizontal_flip::happens(probability, rng);
            first += 1;
        }
        let whole = Crop::whole(width, height);
        let plan = |part: Crop, (width, height), done| Self {
            request: Request { part, width, height },
            mirrored,
            done,
        };
        Ok(match transforms.get(first) {
            None => plan(whole, (size, size), first),
            Some(Transform::Resize {}) => plan(whole, (size, size), first + 1),
            Some(&Transform::ResizeShorter { to }) => {
                plan(whole, resize::shorter_size(width, height, channels, to)?, first + 1)
            }
            Some(&Transform::RandomResizedCrop { scale, ratio }) => {
                let rng = &mut seed.indexed(first as u64).rng();
                let part = random_resized_crop::choose(width, height, scale, ratio, rng);
                let part = if mirrored { part.mirrored(width) } else { part };
                plan(part, (size, size), first + 1)
            }
            // The others work on all of the image, as large as it is.
            Some(_) => Self::nothing(width, height),
        })
    }

    /// The image as it is.
    pub fn nothing(width: u32, height: u32) -> Self {
        let request = Request { part: Crop::whole(width, height), width, height };
        Self { request, mirrored: false, done: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (u32, u32) = (500, 375);

    fn plan(transforms: &[Transform], seed: u64) -> Plan {
        Plan::new(transforms, SIZE, Channels::Rgb, 224, Seed::new(seed)).unwrap()
    }

    fn flip(probability: f64) -> Transform {
        Transform::HorizontalFlip { probability }
    }

    #[test]
    fn a_flip_does_not_hide_which_part_is_needed() {
        let crop = || Transform::RandomResizedCrop { scale: (0.08, 1.0), ratio: (0.75, 1.333) };
        for seed in 0..50 {
            // The second stage decides by its own random numbers, whatever the first is.
            let stays = plan(&[flip(0.0), crop()], seed);
            let turns = plan(&[flip(1.0), crop()], seed);
            let part = stays.request.part;
            assert_eq!((stays.mirrored, stays.done), (false, 2));
            assert_eq!((turns.mirrored, turns.done), (true, 2));
            assert_eq!(turns.request.part, Crop { left: 500 - part.left - part.width, ..part });
            assert_eq!((turns.request.width, turns.request.height), (224, 224));
            assert!(part.width < SIZE.0 || part.height < SIZE.1 || part == Crop::whole(500, 375));
        }
        let twice = plan(&[flip(1.0), flip(1.0), Transform::Resize {}], 0);
        assert_eq!((twice.mirrored, twice.done), (false, 3));
        assert_eq!((twice.request.width, twice.request.height), (224, 224));
        let alone = plan(&[flip(1.0)], 0);
        assert_eq!((alone.mirrored, alone.done, alone.request.width), (true, 1, 224));
        let shorter = plan(&[flip(1.0), Transform::ResizeShorter { to: 75 }, crop()], 0);
        assert_eq!((shorter.mirrored, shorter.done, shorter.request.width), (true, 2, 100));
    }

    #[test]
    fn stages_that_need_all_of_an_image_are_left_for_later() {
        for transforms in [
            vec![flip(1.0), Transform::PadCrop { padding: 4, fill: 0 }],
            vec![flip(1.0), Transform::CenterCrop {}],
            vec![Transform::PadCrop { padding: 4, fill: 0 }, flip(1.0)],
        ] {
            assert_eq!(plan(&transforms, 0), Plan::nothing(500, 375), "{transforms:?}");
        }
    }
}
