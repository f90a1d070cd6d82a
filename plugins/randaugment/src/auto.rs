//! AutoAugment's policy for ImageNet.

use vitral_sdk::prelude::*;

use crate::operation::Operation;

/// An operation by name, how likely it is applied, and its strength from 0 to 9.
type Step = (Name, f64, u32);

#[derive(Clone, Copy)]
enum Name {
    ShearX,
    Rotate,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

use Name::{
    AutoContrast, Color, Contrast, Equalize, Invert, Posterize, Rotate, Sharpness, ShearX, Solarize,
};

/// The pairs of the paper's appendix, in torchvision's order.
const PAIRS: [[Step; 2]; 25] = [
    [(Posterize, 0.4, 8), (Rotate, 0.6, 9)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
    [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
    [(Posterize, 0.6, 7), (Posterize, 0.6, 6)],
    [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],
    [(Equalize, 0.4, 0), (Rotate, 0.8, 8)],
    [(Solarize, 0.6, 3), (Equalize, 0.6, 0)],
    [(Posterize, 0.8, 5), (Equalize, 1.0, 0)],
    [(Rotate, 0.2, 3), (Solarize, 0.6, 8)],
    [(Equalize, 0.6, 0), (Posterize, 0.4, 6)],
    [(Rotate, 0.8, 8), (Color, 0.4, 0)],
    [(Rotate, 0.4, 9), (Equalize, 0.6, 0)],
    [(Equalize, 0.0, 0), (Equalize, 0.8, 0)],
    [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
    [(Color, 0.6, 4), (Contrast, 1.0, 8)],
    [(Rotate, 0.8, 8), (Color, 1.0, 2)],
    [(Color, 0.8, 8), (Solarize, 0.8, 7)],
    [(Sharpness, 0.4, 7), (Invert, 0.6, 0)],
    [(ShearX, 0.6, 5), (Equalize, 1.0, 0)],
    [(Color, 0.4, 0), (Equalize, 0.6, 0)],
    [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
    [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
    [(Color, 0.6, 4), (Contrast, 1.0, 8)],
    [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
];

/// One of the pairs, each half of it as likely as the policy says.
pub fn auto_augment(rng: &mut Rng) -> Vec<Operation> {
    let pair = PAIRS[rng.random_range(0..PAIRS.len())];
    pair.into_iter().map(|step| drawn(step, rng)).collect()
}

fn drawn((name, probability, level): Step, rng: &mut Rng) -> Operation {
    let applies = rng.random_bool(probability);
    let negative = rng.random_bool(0.5);
    if !applies {
        return Operation::Identity;
    }
    let strength = f64::from(level) / 9.0;
    let signed = if negative { -strength } else { strength };
    match name {
        ShearX => Operation::ShearX(signed * 0.3),
        Rotate => Operation::Rotate(signed * 30.0),
        Color => Operation::Color(signed * 0.9),
        Contrast => Operation::Contrast(signed * 0.9),
        Sharpness => Operation::Sharpness(signed * 0.9),
        Posterize => Operation::Posterize(8 - (strength * 4.0).round_ties_even() as u32),
        Solarize => Operation::Solarize(255.0 * (1.0 - strength)),
        AutoContrast => Operation::AutoContrast,
        Equalize => Operation::Equalize,
        Invert => Operation::Invert,
    }
}
