//! `data.eval_transforms`, and what other projects say in its place.

use vitral_data::{CenterCrop, Interpolation, Resize, ResizeShorter, Transform};
use vitral_interchange::{Fit, Preprocessing};

/// Transforms that do to validation images what a preprocessing does, for a model of images of this side in
/// pixels; none where that is what happens without any.
pub fn eval_transforms(preprocessing: Preprocessing, size: usize) -> Vec<Transform> {
    if preprocessing == usual() {
        return Vec::new();
    }
    let interpolation = match preprocessing.interpolation {
        vitral_interchange::Interpolation::Bilinear => Interpolation::Bilinear,
        vitral_interchange::Interpolation::Bicubic => Interpolation::Bicubic,
    };
    match preprocessing.fit {
        Fit::Squash => vec![Transform::Resize(Resize { interpolation })],
        Fit::Crop(share) => {
            // As timm rounds it.
            let to = (size as f64 / share).floor() as u32;
            let shorter = ResizeShorter { to, interpolation };
            vec![Transform::ResizeShorter(shorter), Transform::CenterCrop(CenterCrop {})]
        }
    }
}

/// What transforms of validation images are elsewhere, if that can be said there.
pub(crate) fn preprocessing(transforms: &[Transform], size: usize) -> Option<Preprocessing> {
    let of = |interpolation| match interpolation {
        Interpolation::Bilinear => vitral_interchange::Interpolation::Bilinear,
        Interpolation::Bicubic => vitral_interchange::Interpolation::Bicubic,
    };
    match transforms {
        [] => Some(usual()),
        [Transform::Resize(Resize { interpolation })] => {
            Some(Preprocessing { fit: Fit::Squash, interpolation: of(*interpolation) })
        }
        [Transform::ResizeShorter(shorter), Transform::CenterCrop(_)]
            if shorter.to as usize >= size =>
        {
            let interpolation = of(shorter.interpolation);
            Some(Preprocessing { fit: Fit::Crop(share(size, shorter.to)), interpolation })
        }
        _ => None,
    }
}

/// The share of a shorter side that is cut out, so that rounding leads back to that side.
fn share(size: usize, to: u32) -> f64 {
    let share = size as f64 / f64::from(to);
    if (size as f64 / share).floor() == f64::from(to) {
        share
    } else {
        size as f64 / (f64::from(to) + 0.25)
    }
}

/// What happens to validation images without transforms.
fn usual() -> Preprocessing {
    Preprocessing {
        fit: Fit::Crop(vitral_data::EVAL_CROP),
        interpolation: vitral_interchange::Interpolation::Bilinear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitral_interchange::Interpolation::{Bicubic, Bilinear};

    #[test]
    fn what_others_say_becomes_transforms_and_comes_back() {
        for (fit, interpolation, shorter) in [
            (Fit::Crop(0.9), Bicubic, Some(248)),
            (Fit::Crop(1.0), Bicubic, Some(224)),
            (Fit::Crop(0.875), Bicubic, Some(256)),
            (Fit::Squash, Bilinear, None),
        ] {
            let transforms = eval_transforms(Preprocessing { fit, interpolation }, 224);
            let to = transforms.iter().find_map(|transform| match transform {
                Transform::ResizeShorter(shorter) => Some(shorter.to),
                _ => None,
            });
            assert_eq!(to, shorter);
            // By way of whole pixels, which is what both sides resize to.
            let back = preprocessing(&transforms, 224).unwrap();
            assert_eq!(eval_transforms(back, 224), transforms);
        }
        assert!(eval_transforms(usual(), 224).is_empty());
        assert_eq!(preprocessing(&[], 224), Some(usual()));
        let flip = vitral_data::HorizontalFlip { probability: 0.5 };
        assert_eq!(preprocessing(&[Transform::HorizontalFlip(flip)], 224), None);
    }

    #[test]
    fn rounding_leads_back_to_the_same_side() {
        for size in [96, 224, 384] {
            for to in size..2 * size {
                assert_eq!((size as f64 / share(size, to as u32)).floor() as usize, to);
            }
        }
    }
}
