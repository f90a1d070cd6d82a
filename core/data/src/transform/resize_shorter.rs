//! An image made smaller or larger in its own shape, by its shorter side.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_seed::Seed;

use super::interpolation::Interpolation;
use super::stage::{Operation, Passing, Redraw, Step};
use crate::decode::Request;
use crate::error::TransformError;
use crate::pixels::{Channels, MAX_IMAGE_SIDE, byte_count};
use crate::region::Crop;

/// Settings of `ResizeShorter`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct ResizeShorter {
    /// Length of the shorter side, in pixels.
    #[schemars(range(min = 1, max = MAX_IMAGE_SIDE))]
    pub to: u32,
    /// How values between pixels are found: `Bilinear` or `Bicubic`.
    #[serde(default)]
    pub interpolation: Interpolation,
}

impl ResizeShorter {
    /// To a length, with the usual filter.
    pub fn to(to: u32) -> Self {
        Self { to, interpolation: Interpolation::default() }
    }
}

impl Operation for ResizeShorter {
    fn works_in_place(&self, (width, height): (u32, u32), _: u32) -> bool {
        width.min(height) == self.to
    }

    fn step(&self, image: Passing, _: Seed) -> Result<Step<'_>, TransformError> {
        let (width, height) = shorter_size(image.width, image.height, image.channels, self.to)?;
        let part = Crop::whole(image.width, image.height);
        let request = Request { part, width, height };
        Ok(Step::Redraw(Redraw::Resize(request, self.interpolation)))
    }
}

/// Width and height of an image of `width` x `height` pixels once its shorter side is `to`. As in
/// torchvision, the longer side is rounded down.
fn shorter_size(
    width: u32,
    height: u32,
    channels: Channels,
    to: u32,
) -> Result<(u32, u32), TransformError> {
    let too_long = || {
        TransformError(format!(
            "an image of {width} x {height} pixels would become too large with a shorter side of {to}"
        ))
    };
    let shorter = u64::from(width.min(height));
    let longer = u64::from(width.max(height)) * u64::from(to) / shorter;
    let longer = u32::try_from(longer).map_err(|_| too_long())?;
    let size = if width <= height { (to, longer) } else { (longer, to) };
    byte_count(size.0, size.1, channels).map_err(|_| too_long())?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_side_gets_the_length() {
        let size = |width, height, to| shorter_size(width, height, Channels::Grey, to).unwrap();
        assert_eq!(size(500, 375, 256), (341, 256));
        assert_eq!(size(30, 40, 15), (15, 20));
        assert_eq!(size(32, 32, 32), (32, 32));
    }

    #[test]
    fn a_result_that_would_fill_memory_is_refused() {
        let error = shorter_size(16_384, 1, Channels::Grey, 512).unwrap_err();
        assert!(error.to_string().contains("16384 x 1"), "{error}");
    }
}
