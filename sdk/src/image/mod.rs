//! Image work on 8-bit pixels: what augmentations are made of.
//!
//! Everything is integer arithmetic, or `f32` and `f64` additions, products and quotients, so that a
//! native plugin and its WebAssembly form give the same bytes. Loops run over whole rows without
//! branches, which compilers turn into SIMD on every target; those that cannot be are unrolled
//! (`chunks`), as WebAssembly looks at the clock once in each iteration. Unless a function says otherwise, it
//! gives what [Pillow](https://python-pillow.github.io) gives, value for value.
//!
//! `channels` is 1 (grey) or 3 (RGB), innermost; rows follow each other without gaps.

mod blend;
mod chunks;
mod color;
mod fill;
mod filter;
mod geometry;
mod histogram;
mod table;
#[cfg(test)]
mod tests;

pub use blend::{blend, blend_with};
pub use color::{hue, luma, luma_of, saturation};
pub use fill::{Rectangle, fill, fill_with};
pub use filter::{gaussian_blur, sharpness, smooth};
pub use geometry::{Affine, Interpolation, flip_horizontal, flip_vertical, warp};
pub use histogram::{autocontrast, equalize, histogram};
pub use table::{apply, brightness, contrast, invert, posterize, solarize};

/// Rows, pixels of a row, values of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Values of a pixel, 1 or 3.
    pub channels: usize,
}

impl Size {
    /// The size of an image.
    pub fn of(image: &crate::Image<'_>) -> Self {
        let [width, height, channels] =
            [image.width(), image.height(), image.channels()].map(|size| size as usize);
        Self { width, height, channels }
    }

    /// Values of a row.
    pub const fn row(self) -> usize {
        self.width * self.channels
    }
}
