//! How an image that is resized finds values between its pixels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_resample::Filter;

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
    pub(super) const fn filter(self) -> Filter {
        match self {
            Self::Bilinear => Filter::Bilinear,
            // The cubic of that a has the name of its inventors.
            Self::Bicubic => Filter::CatmullRom,
        }
    }
}
