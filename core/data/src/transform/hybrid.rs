//! Which stages a device can compute together with the decoding of JPEG files.

use super::interpolation::Interpolation;
use crate::error::DataError;

/// What a device that makes pixels of coefficients can do of a stage on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hybrid {
    /// All: it mirrors.
    Mirrors,
    /// All, once: it resizes a part to the model's size.
    Resizes,
    /// Nothing.
    NeedsPixels,
}

impl Hybrid {
    /// Of a resize to the model's size; the device has the usual filter alone.
    pub(super) const fn resizes(interpolation: Interpolation) -> Self {
        match interpolation {
            Interpolation::Bilinear => Self::Resizes,
            Interpolation::Bicubic => Self::NeedsPixels,
        }
    }
}

/// Checks that stages, by their names, are a resize to the model's input size and flips.
///
/// # Errors
/// The first one that is something else.
pub(super) fn check<'n>(stages: impl Iterator<Item = (&'n str, Hybrid)>) -> Result<(), DataError> {
    // Once an image has been made smaller, its coefficients no longer say what its parts are.
    let mut first = true;
    for (number, (name, hybrid)) in stages.enumerate() {
        match hybrid {
            Hybrid::Mirrors => {}
            Hybrid::Resizes if first => first = false,
            Hybrid::Resizes | Hybrid::NeedsPixels => {
                return Err(DataError::setting(
                    format!("augment[{number}]"),
                    format!(
                        "`{name}` needs pixels, which `decoder: Hybrid` does not have before the \
                         batch is on the device; it allows one bilinear `RandomResizedCrop` or \
                         `Resize`, and flips"
                    ),
                ));
            }
        }
    }
    Ok(())
}
