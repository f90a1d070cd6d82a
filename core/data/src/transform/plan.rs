//! The first stages, worked out before an image is decoded: which part of it is needed, and how large.

use vitral_seed::Seed;

use super::interpolation::Interpolation;
use super::stage::{Passing, Redraw, Stage, Step};
use crate::decode::Request;
use crate::error::TransformError;
use crate::region::Crop;

/// A part of an image, resized, perhaps mirrored, and how many stages that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub request: Request,
    pub interpolation: Interpolation,
    /// Whether the part is mirrored left and right once it has been resized.
    pub mirrored: bool,
    /// Stages that are done then.
    pub done: usize,
}

impl Plan {
    /// What `stages` begin with for an image. `seed` is the sample's own.
    ///
    /// A part of a mirrored image is the mirrored image of another part, so that flips in front of a stage
    /// that needs a part are made after it.
    pub fn new(stages: &[Stage], image: Passing, seed: Seed) -> Result<Self, TransformError> {
        let (mut mirrored, mut done) = (false, 0);
        for (number, stage) in stages.iter().enumerate() {
            done += 1;
            match stage.operation.step(image, seed.indexed(number as u64))? {
                Step::Mirror(happens) => mirrored ^= happens,
                Step::Redraw(Redraw::Resize(Request { part, width, height }, interpolation)) => {
                    let part = if mirrored { part.mirrored(image.width) } else { part };
                    let request = Request { part, width, height };
                    return Ok(Self { request, interpolation, mirrored, done });
                }
                // They work on all of the image, as large as it is.
                Step::Redraw(Redraw::Cut(_)) | Step::Plugin(_) => {
                    return Ok(Self::nothing(image.width, image.height));
                }
            }
        }
        let part = Crop::whole(image.width, image.height);
        let request = Request { part, width: image.model, height: image.model };
        Ok(Self { request, interpolation: Interpolation::default(), mirrored, done })
    }

    /// The image as it is.
    pub fn nothing(width: u32, height: u32) -> Self {
        let (request, interpolation) = (Request::whole(width, height), Interpolation::default());
        Self { request, interpolation, mirrored: false, done: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Channels;
    use crate::transform::{
        CenterCrop, HorizontalFlip, PadCrop, RandomResizedCrop, Resize, ResizeShorter, Transform,
        own_stages,
    };

    const SIZE: (u32, u32) = (500, 375);

    fn plan(transforms: &[Transform], seed: u64) -> Plan {
        let (width, height) = SIZE;
        let image = Passing { width, height, channels: Channels::Rgb, model: 224 };
        Plan::new(&own_stages(transforms).unwrap(), image, Seed::new(seed)).unwrap()
    }

    fn flip(probability: f64) -> Transform {
        Transform::HorizontalFlip(HorizontalFlip { probability })
    }

    fn pad() -> Transform {
        Transform::PadCrop(PadCrop { padding: 4, fill: 0 })
    }

    #[test]
    fn a_flip_does_not_hide_which_part_is_needed() {
        let crop = || {
            Transform::RandomResizedCrop(RandomResizedCrop {
                scale: (0.08, 1.0),
                ratio: (0.75, 1.333),
                interpolation: Interpolation::Bicubic,
            })
        };
        for seed in 0..50 {
            // The second stage decides by its own random numbers, whatever the first is.
            let stays = plan(&[flip(0.0), crop()], seed);
            let turns = plan(&[flip(1.0), crop()], seed);
            let part = stays.request.part;
            assert_eq!((stays.mirrored, stays.done), (false, 2));
            assert_eq!((turns.mirrored, turns.done), (true, 2));
            assert_eq!(turns.interpolation, Interpolation::Bicubic);
            assert_eq!(turns.request.part, Crop { left: 500 - part.left - part.width, ..part });
            assert_eq!((turns.request.width, turns.request.height), (224, 224));
            assert!(part.width < SIZE.0 || part.height < SIZE.1 || part == Crop::whole(500, 375));
        }
        let twice = plan(&[flip(1.0), flip(1.0), Transform::Resize(Resize::default())], 0);
        assert_eq!((twice.mirrored, twice.done), (false, 3));
        assert_eq!((twice.request.width, twice.request.height), (224, 224));
        let alone = plan(&[flip(1.0)], 0);
        assert_eq!((alone.mirrored, alone.done, alone.request.width), (true, 1, 224));
        let shorter = Transform::ResizeShorter(ResizeShorter::to(75));
        let shorter = plan(&[flip(1.0), shorter, crop()], 0);
        assert_eq!((shorter.mirrored, shorter.done, shorter.request.width), (true, 2, 100));
    }

    #[test]
    fn stages_that_need_all_of_an_image_are_left_for_later() {
        for transforms in [
            vec![flip(1.0), pad()],
            vec![flip(1.0), Transform::CenterCrop(CenterCrop {})],
            vec![pad(), flip(1.0)],
        ] {
            assert_eq!(plan(&transforms, 0), Plan::nothing(500, 375), "{transforms:?}");
        }
    }
}
