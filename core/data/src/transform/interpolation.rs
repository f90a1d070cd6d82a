//! How an image that is resized finds values between its pixels.

use fast_image_resize::FilterType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The filter of a resize. Both widen when an image shrinks, as Pillow's and torchvision's do with antialiasing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Interpolation {
    /// A triangle: Pillow's `BILINEAR`.
    #[default]
    Bilinear,
    /// Cubic polynomials with a = -1/2: Pillow's `BICUBIC`. Sharper, and slower.
    Bicubic,
}

impl Interpolation {
    pub(super) const fn filter(self) -> FilterType {
        match self {
            Self::Bilinear => FilterType::Bilinear,
            // The cubic of that a has the name of its inventors.
            Self::Bicubic => FilterType::CatmullRom,
        }
    }
}
