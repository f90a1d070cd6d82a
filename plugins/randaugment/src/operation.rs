//! What is done to an image. Colour operations leave what they cannot change of grey images alone.

use vitral_sdk::image::{self, Affine, Interpolation, Size};

/// An operation with its strength.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    Identity,
    /// Pixels that each row is moved by, for each row.
    ShearX(f64),
    ShearY(f64),
    /// In pixels.
    TranslateX(f64),
    TranslateY(f64),
    /// In degrees.
    Rotate(f64),
    /// These four are factors less 1: 0 changes nothing.
    Brightness(f64),
    Color(f64),
    Contrast(f64),
    Sharpness(f64),
    /// Bits that are kept.
    Posterize(u32),
    /// Values from here on are inverted.
    Solarize(f64),
    AutoContrast,
    Equalize,
    Invert,
}

/// How operations warp.
#[derive(Clone, Copy, Debug)]
pub struct Warping {
    pub interpolation: Interpolation,
    pub fill: [u8; 3],
}

impl Operation {
    /// Changes an image.
    pub fn apply(self, pixels: &mut [u8], size: Size, warping: Warping) {
        let channels = size.channels;
        let factor = |strength: f64| (1.0 + strength) as f32;
        let affine = match self {
            Self::ShearX(by) => Affine::shear_x(by),
            Self::ShearY(by) => Affine::shear_y(by),
            Self::TranslateX(by) => Affine::translate(by, 0.0),
            Self::TranslateY(by) => Affine::translate(0.0, by),
            Self::Rotate(degrees) => Affine::rotate(degrees, size),
            Self::Identity => return,
            Self::Brightness(by) => return image::brightness(pixels, factor(by)),
            Self::Color(by) => return image::saturation(pixels, channels, factor(by)),
            Self::Contrast(by) => return image::contrast(pixels, channels, factor(by)),
            Self::Sharpness(by) => return image::sharpness(pixels, size, factor(by)),
            Self::Posterize(bits) => return image::posterize(pixels, bits),
            // A value is an integer: it is at least the threshold where it is at least its ceiling.
            Self::Solarize(from) => return image::solarize(pixels, from.ceil() as u32),
            Self::AutoContrast => return image::autocontrast(pixels, channels),
            Self::Equalize => return image::equalize(pixels, channels),
            Self::Invert => return image::invert(pixels),
        };
        image::warp(pixels, size, affine, warping.interpolation, warping.fill);
    }
}
