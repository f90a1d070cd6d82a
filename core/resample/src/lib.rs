//! Resizes images with a filter that widens when an image shrinks, as Pillow does it: interpolation with antialiasing.
//!
//! `fast_image_resize` does the work. Its loops are generic over pixels, images and 30 precisions, and compiled where they
//! are called from: here, once, in place of each build of all that handles images.
//!
//! ```
//! use vitral_resample::{Filter, Part, Source, resize};
//!
//! let source = Source { pixels: &[0, 100, 200, 40], width: 4, height: 1, channels: 1 };
//! let whole = Part { left: 0.0, top: 0.0, width: 4.0, height: 1.0 };
//! let mut out = [0; 2];
//! resize(source, (0, 0, 4, 1), Some(whole), Filter::Bilinear, (2, 1), &mut out)?;
//! assert_eq!(out, [71, 117]);
//! # Ok::<(), String>(())
//! ```

use std::cell::RefCell;

pub use fast_image_resize::FilterType as Filter;
use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{PixelTrait, ResizeAlg, ResizeOptions, Resizer};

thread_local! {
    /// Keeps its scratch memory from image to image.
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// An image's values from left to right, top to bottom: a byte for each channel.
#[derive(Clone, Copy, Debug)]
pub struct Source<'p> {
    /// As many as width, height and channels multiply to.
    pub pixels: &'p [u8],
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// One of grey images, three of others.
    pub channels: usize,
}

/// A part of an image, in pixels, which need not be whole ones.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Where it begins.
    pub left: f64,
    /// Where it begins.
    pub top: f64,
    /// How much of it there is.
    pub width: f64,
    /// How much of it there is.
    pub height: f64,
}

/// Resizes the pixels of a crop (left, top, width, height), or a part of the crop, to `width` x `height` pixels in `out`,
/// which has their length. Pixels outside the crop have no influence.
///
/// # Errors
/// Sizes that do not fit each other, in words.
pub fn resize(
    source: Source<'_>,
    crop: (u32, u32, u32, u32),
    part: Option<Part>,
    filter: Filter,
    size: (u32, u32),
    out: &mut [u8],
) -> Result<(), String> {
    let mut options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    if let Some(Part { left, top, width, height }) = part {
        options = options.crop(left, top, width, height);
    }
    match source.channels {
        1 => of_pixels::<U8>(source, crop, size, out, &options),
        3 => of_pixels::<U8x3>(source, crop, size, out, &options),
        channels => Err(format!("cannot resize: images have 1 or 3 channels, not {channels}")),
    }
}

fn of_pixels<P: PixelTrait>(
    source: Source<'_>,
    (left, top, width, height): (u32, u32, u32, u32),
    size: (u32, u32),
    out: &mut [u8],
    options: &ResizeOptions,
) -> Result<(), String> {
    let explain = |error: &dyn std::fmt::Display| format!("cannot resize: {error}");
    let source = TypedImageRef::<P>::from_buffer(source.width, source.height, source.pixels)
        .map_err(|error| explain(&error))?;
    let source = TypedCroppedImage::new(source, left, top, width, height)
        .map_err(|error| explain(&error))?;
    let mut target =
        TypedImage::<P>::from_buffer(size.0, size.1, out).map_err(|error| explain(&error))?;
    RESIZER
        .with_borrow_mut(|resizer| resizer.resize_typed(&source, &mut target, options))
        .map_err(|error| explain(&error))
}
