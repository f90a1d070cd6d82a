//! RandAugment and TrivialAugment: any operation, of one strength or of any.

use vitral_sdk::image::Size;
use vitral_sdk::prelude::*;

use crate::{RandAugment, operation::Operation};

/// How far a policy's operations go at full strength.
struct Ranges {
    shear: f64,
    translate_x: f64,
    translate_y: f64,
    rotate: f64,
    /// Of brightness, colour, contrast and sharpness.
    enhance: f64,
    /// Bits that posterizing takes away.
    posterize: f64,
}

/// Operations that have a strength and a direction, first, and others after.
const SIGNED: u32 = 9;
const OPERATIONS: u32 = 14;

/// `num_ops` operations of strength `magnitude`.
pub fn rand_augment(settings: &RandAugment, size: Size, rng: &mut Rng) -> Vec<Operation> {
    let ranges = Ranges {
        shear: 0.3,
        translate_x: 150.0 / 331.0 * size.width as f64,
        translate_y: 150.0 / 331.0 * size.height as f64,
        rotate: 30.0,
        enhance: 0.9,
        posterize: 4.0,
    };
    let last = f64::from(settings.num_magnitude_bins - 1);
    (0..settings.num_ops)
        .map(|_| {
            let deviation = settings.magnitude_std * standard_normal(rng);
            let magnitude = (f64::from(settings.magnitude) + deviation).clamp(0.0, last);
            draw(&ranges, magnitude / last, rng)
        })
        .collect()
}

/// One operation of any strength, with TrivialAugment's wide ranges.
pub fn trivial_augment(settings: &RandAugment, rng: &mut Rng) -> Vec<Operation> {
    let ranges = Ranges {
        shear: 0.99,
        translate_x: 32.0,
        translate_y: 32.0,
        rotate: 135.0,
        enhance: 0.99,
        posterize: 6.0,
    };
    let last = settings.num_magnitude_bins - 1;
    let strength = f64::from(rng.random_range(0..=last)) / f64::from(last);
    vec![draw(&ranges, strength, rng)]
}

/// One of the operations, of a strength from 0 to 1 in either direction.
fn draw(ranges: &Ranges, strength: f64, rng: &mut Rng) -> Operation {
    let which = rng.random_range(0..OPERATIONS);
    let sign = if which < SIGNED && rng.random_bool(0.5) { -strength } else { strength };
    match which {
        0 => Operation::ShearX(sign * ranges.shear),
        1 => Operation::ShearY(sign * ranges.shear),
        2 => Operation::TranslateX((sign * ranges.translate_x).trunc()),
        3 => Operation::TranslateY((sign * ranges.translate_y).trunc()),
        4 => Operation::Rotate(sign * ranges.rotate),
        5 => Operation::Brightness(sign * ranges.enhance),
        6 => Operation::Color(sign * ranges.enhance),
        7 => Operation::Contrast(sign * ranges.enhance),
        8 => Operation::Sharpness(sign * ranges.enhance),
        9 => Operation::Posterize(8 - (strength * ranges.posterize).round_ties_even() as u32),
        10 => Operation::Solarize(255.0 * (1.0 - strength)),
        11 => Operation::AutoContrast,
        12 => Operation::Equalize,
        _ => Operation::Identity,
    }
}

/// A normal number: the sum of twelve uniform ones, less 6 (Irwin-Hall), which needs no function
/// that differs between machines.
fn standard_normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_drawn_about_equally_often() {
        let mut rng = Sample { seed: 1, epoch: 0, size: 32 }.rng();
        let size = Size { width: 32, height: 32, channels: 3 };
        let settings = RandAugment::new(defaults()).unwrap();
        let mut identities = 0;
        for _ in 0..7000 {
            let operations = rand_augment(&settings, size, &mut rng);
            assert_eq!(operations.len(), 2);
            identities += operations.iter().filter(|op| **op == Operation::Identity).count();
        }
        assert!((900..1100).contains(&identities), "{identities}");
    }

    #[test]
    fn strengths_are_those_of_the_paper() {
        let mut rng = Sample { seed: 2, epoch: 0, size: 32 }.rng();
        let size = Size { width: 331, height: 331, channels: 3 };
        let settings = RandAugment { magnitude: 30, ..defaults() };
        for operation in (0..500).flat_map(|_| rand_augment(&settings, size, &mut rng)) {
            match operation {
                Operation::ShearX(by) | Operation::ShearY(by) => assert_eq!(by.abs(), 0.3),
                Operation::TranslateX(by) | Operation::TranslateY(by) => {
                    assert_eq!(by.abs(), 150.0);
                }
                Operation::Rotate(by) => assert_eq!(by.abs(), 30.0),
                Operation::Color(by) => assert_eq!(by.abs(), 0.9),
                Operation::Posterize(bits) => assert_eq!(bits, 4),
                Operation::Solarize(from) => assert_eq!(from, 0.0),
                _ => {}
            }
        }
    }

    fn defaults() -> RandAugment {
        RandAugment {
            policy: crate::Policy::RandAugment,
            num_ops: 2,
            magnitude: 9,
            magnitude_std: 0.0,
            num_magnitude_bins: 31,
            interpolation: crate::Between::Nearest,
            fill: 0,
        }
    }
}
