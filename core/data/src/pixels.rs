//! An image in memory, and the conversion between grey and colour.

use crate::error::DecodeError;

/// Longest side of an image that is accepted, in pixels.
pub const MAX_IMAGE_SIDE: u32 = 16_384;

/// Most bytes that the pixels of one image may take, so that a hostile file cannot fill memory.
pub const MAX_IMAGE_BYTES: u64 = 512 * 1024 * 1024;

/// How many values a pixel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channels {
    /// One: brightness.
    Grey,
    /// Three: red, green, blue.
    Rgb,
}

impl Channels {
    /// Values per pixel: 1 or 3.
    pub const fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }

    /// The kind of image that has `count` values per pixel, if there is one (1 or 3).
    pub const fn from_count(count: usize) -> Option<Self> {
        match count {
            1 => Some(Self::Grey),
            3 => Some(Self::Rgb),
            _ => None,
        }
    }
}

/// Pixels that belong to someone else, such as a memory-mapped file: rows from the top, pixels from
/// the left, channels innermost (HWC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageView<'a> {
    width: u32,
    height: u32,
    channels: Channels,
    pixels: &'a [u8],
}

impl<'a> ImageView<'a> {
    /// A view of `width * height` pixels.
    ///
    /// # Errors
    /// If a side is zero, if the pixels are more than [`MAX_IMAGE_BYTES`], or if `pixels` does not
    /// have `width * height * channels` bytes.
    pub fn new(
        width: u32,
        height: u32,
        channels: Channels,
        pixels: &'a [u8],
    ) -> Result<Self, DecodeError> {
        check_length(width, height, channels, pixels.len())?;
        Ok(Self { width, height, channels, pixels })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Values per pixel.
    pub fn channels(&self) -> Channels {
        self.channels
    }

    /// The values, HWC.
    pub fn pixels(&self) -> &'a [u8] {
        self.pixels
    }

    /// The values of row `y`, counted from the top.
    pub(crate) fn row(&self, y: u32) -> &'a [u8] {
        let length = self.width as usize * self.channels.count();
        &self.pixels[y as usize * length..][..length]
    }

    /// A copy with pixels of its own.
    pub fn to_image(&self) -> Image {
        let Self { width, height, channels, pixels } = *self;
        Image { width, height, channels, pixels: pixels.to_vec() }
    }
}

/// An image of 8-bit values: rows from the top, pixels from the left, channels innermost (HWC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    channels: Channels,
    pixels: Vec<u8>,
}

impl Image {
    /// An image of `width * height` pixels.
    ///
    /// # Errors
    /// If a side is zero, if the pixels would be more than [`MAX_IMAGE_BYTES`], or if `pixels` does
    /// not have `width * height * channels` bytes.
    pub fn new(
        width: u32,
        height: u32,
        channels: Channels,
        pixels: Vec<u8>,
    ) -> Result<Self, DecodeError> {
        check_length(width, height, channels, pixels.len())?;
        Ok(Self { width, height, channels, pixels })
    }

    /// The image's pixels, borrowed.
    pub fn view(&self) -> ImageView<'_> {
        let Self { width, height, channels, ref pixels } = *self;
        ImageView { width, height, channels, pixels }
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Values per pixel.
    pub fn channels(&self) -> Channels {
        self.channels
    }

    /// The values, HWC.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The values, HWC, to change in place.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The image's own values, HWC.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// The values of row `y`, counted from the top.
    #[cfg(test)]
    pub(crate) fn row(&self, y: u32) -> &[u8] {
        self.view().row(y)
    }

    /// The same image with other channels, as Pillow's `convert("L")` and `convert("RGB")` make it:
    /// grey is the ITU-R 601 luma, and colour from grey repeats the value.
    pub fn into_channels(self, channels: Channels) -> Self {
        let pixels = match (self.channels, channels) {
            (Channels::Grey, Channels::Grey) | (Channels::Rgb, Channels::Rgb) => return self,
            (Channels::Grey, Channels::Rgb) => self.pixels.iter().flat_map(|&v| [v; 3]).collect(),
            (Channels::Rgb, Channels::Grey) => self.pixels.chunks_exact(3).map(luma).collect(),
        };
        Self { pixels, channels, ..self }
    }
}

fn check_length(
    width: u32,
    height: u32,
    channels: Channels,
    length: usize,
) -> Result<(), DecodeError> {
    let expected = byte_count(width, height, channels)?;
    if length != expected {
        return Err(DecodeError(format!(
            "an image of {width} x {height} pixels with {} channel(s) takes {expected} bytes, not {length}",
            channels.count()
        )));
    }
    Ok(())
}

/// Bytes that an image takes, if it may exist at all.
pub(crate) fn byte_count(
    width: u32,
    height: u32,
    channels: Channels,
) -> Result<usize, DecodeError> {
    if width == 0 || height == 0 {
        return Err(DecodeError(format!("an image of {width} x {height} pixels has no pixels")));
    }
    let bytes = u128::from(width) * u128::from(height) * channels.count() as u128;
    match usize::try_from(bytes) {
        Ok(bytes) if bytes as u64 <= MAX_IMAGE_BYTES => Ok(bytes),
        _ => Err(DecodeError(format!(
            "an image of {width} x {height} pixels is larger than the {} MiB that one image may take",
            MAX_IMAGE_BYTES >> 20
        ))),
    }
}

/// ITU-R 601-2 luma of an RGB pixel, in the 16-bit fixed point of Pillow.
fn luma(rgb: &[u8]) -> u8 {
    let [r, g, b] = [0, 1, 2].map(|channel| u32::from(rgb[channel]));
    // The factors add up to 65536, so the sum is at most 255.5 * 65536 and fits into u8 after the shift.
    ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_from_colour_is_pillows_luma() {
        // Image.new("RGB", ...).convert("L") in Pillow gives these values.
        let colours = [
            ([255, 0, 0], 76),
            ([0, 255, 0], 150),
            ([0, 0, 255], 29),
            ([255, 255, 255], 255),
            ([0, 0, 0], 0),
            ([12, 200, 99], 132),
        ];
        for (rgb, grey) in colours {
            let image = Image::new(1, 1, Channels::Rgb, rgb.to_vec()).unwrap();
            assert_eq!(image.into_channels(Channels::Grey).pixels(), [grey], "{rgb:?}");
        }
    }

    #[test]
    fn colour_from_grey_repeats_the_value() {
        let image = Image::new(2, 1, Channels::Grey, vec![7, 9]).unwrap();
        let colour = image.into_channels(Channels::Rgb);
        assert_eq!(colour.pixels(), [7, 7, 7, 9, 9, 9]);
        assert_eq!((colour.width(), colour.channels()), (2, Channels::Rgb));
    }

    #[test]
    fn images_of_wrong_or_impossible_size_are_refused() {
        assert!(Image::new(2, 2, Channels::Rgb, vec![0; 11]).is_err());
        assert!(Image::new(0, 2, Channels::Rgb, vec![]).is_err());
        assert!(ImageView::new(2, 2, Channels::Rgb, &[0; 11]).is_err());
        let view = ImageView::new(2, 1, Channels::Grey, &[3, 4]).unwrap();
        assert_eq!(view.to_image().view(), view);
        let error = Image::new(u32::MAX, u32::MAX, Channels::Rgb, vec![]).unwrap_err();
        assert!(error.to_string().contains("512 MiB"), "{error}");
    }
}
