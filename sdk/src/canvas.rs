//! The image that is augmented.

use std::fmt;

use vitral_abi::{Sample, Setting, Value};

/// An image: rows from top to bottom, pixels from left to right, channels (1 or 3) innermost.
/// ```
/// use vitral_sdk::Image;
///
/// let mut pixels = [10, 20, 30, 40, 50, 60];
/// let mut image = Image::new(2, 3, 1, &mut pixels);
/// image.row_mut(1).fill(0);
/// assert_eq!(image.pixels(), [10, 20, 0, 0, 50, 60]);
///
/// // One of another size takes its place.
/// image.replace(1, 1, vec![255]);
/// assert_eq!((image.width(), image.height()), (1, 1));
/// ```
pub struct Image<'a> {
    width: u32,
    height: u32,
    channels: u32,
    pixels: Pixels<'a>,
    touched: bool,
}

enum Pixels<'a> {
    /// The given image's.
    Given(&'a mut [u8]),
    /// Another image's.
    Replaced(Vec<u8>),
}

impl<'a> Image<'a> {
    /// An image of these pixels.
    ///
    /// # Panics
    /// If there are not `width * height * channels` bytes.
    pub fn new(width: u32, height: u32, channels: u32, pixels: &'a mut [u8]) -> Self {
        check(width, height, channels, pixels.len());
        Self { width, height, channels, pixels: Pixels::Given(pixels), touched: false }
    }

    /// Pixels of a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// 1 or 3.
    pub fn channels(&self) -> u32 {
        self.channels
    }

    /// All pixels, row by row.
    pub fn pixels(&self) -> &[u8] {
        match &self.pixels {
            Pixels::Given(pixels) => pixels,
            Pixels::Replaced(pixels) => pixels,
        }
    }

    /// All pixels, to be changed.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        self.touched = true;
        match &mut self.pixels {
            Pixels::Given(pixels) => pixels,
            Pixels::Replaced(pixels) => pixels,
        }
    }

    /// Bytes of a row.
    fn stride(&self) -> usize {
        self.width as usize * self.channels as usize
    }

    /// One row's pixels.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, y: u32) -> &[u8] {
        let stride = self.stride();
        &self.pixels()[y as usize * stride..][..stride]
    }

    /// One row's pixels, to be changed.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_mut(&mut self, y: u32) -> &mut [u8] {
        let stride = self.stride();
        &mut self.pixels_mut()[y as usize * stride..][..stride]
    }

    /// Takes another image, which may have another size but has as many channels, in place of this.
    ///
    /// # Panics
    /// If there are not `width * height * channels` bytes, or none.
    pub fn replace(&mut self, width: u32, height: u32, pixels: Vec<u8>) {
        check(width, height, self.channels, pixels.len());
        assert!(!pixels.is_empty(), "an image of {width}x{height} has no pixels");
        (self.width, self.height) = (width, height);
        self.pixels = Pixels::Replaced(pixels);
        self.touched = true;
    }

    /// Whether its pixels may have changed.
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "needed there only"))]
    pub(crate) fn is_touched(&self) -> bool {
        self.touched
    }

    /// The pixels that took the place of the given ones.
    pub(crate) fn into_replaced(self) -> Option<Vec<u8>> {
        match self.pixels {
            Pixels::Given(_) => None,
            Pixels::Replaced(pixels) => Some(pixels),
        }
    }
}

impl fmt::Debug for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}x{}x{})", self.width, self.height, self.channels)
    }
}

fn check(width: u32, height: u32, channels: u32, bytes: usize) {
    let wanted = u128::from(width) * u128::from(height) * u128::from(channels);
    assert!(
        wanted == bytes as u128,
        "an image of {width}x{height}x{channels} has {wanted} bytes, not {bytes}"
    );
}

/// An image by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 1 or 3.
    pub channels: u32,
    /// `width * height * channels` bytes.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// An image of these pixels.
    ///
    /// # Panics
    /// If there are not `width * height * channels` bytes.
    pub fn new(width: u32, height: u32, channels: u32, pixels: impl Into<Vec<u8>>) -> Self {
        let pixels = pixels.into();
        check(width, height, channels, pixels.len());
        Self { width, height, channels, pixels }
    }
}

/// An image and what it must become, as a test of an image augmentation.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageCase {
    /// What it shows.
    pub title: String,
    /// What differs from the defaults.
    pub settings: Vec<Setting>,
    /// Where the image stands in a run.
    pub sample: Sample,
    /// What goes in.
    pub input: Picture,
    /// What must come out.
    pub output: Picture,
}

impl ImageCase {
    /// A case with every parameter at its default, seed 0, epoch 0 and a model of the input's width.
    pub fn new(title: impl Into<String>, input: Picture, output: Picture) -> Self {
        let sample = Sample { seed: 0, epoch: 0, size: input.width };
        Self { title: title.into(), settings: Vec::new(), sample, input, output }
    }

    /// Sets a parameter.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.push(Setting::new(name, value));
        self
    }

    /// Puts the image elsewhere in a run.
    #[must_use]
    pub fn sample(self, sample: Sample) -> Self {
        Self { sample, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_where_they_should_be() {
        let mut bytes = [0, 1, 2, 3, 4, 5];
        let mut image = Image::new(1, 2, 3, &mut bytes);
        image.row_mut(1)[0] = 9;
        assert_eq!((image.row(0), image.row(1)), (&[0, 1, 2][..], &[9, 4, 5][..]));
        assert_eq!(bytes, [0, 1, 2, 9, 4, 5]);
    }

    #[test]
    fn looking_does_not_touch() {
        let mut bytes = [0; 4];
        let mut image = Image::new(2, 2, 1, &mut bytes);
        image.row(0);
        assert!(!image.is_touched());
        image.replace(1, 2, vec![1, 2]);
        assert!(image.is_touched());
        assert_eq!((image.width(), image.height(), image.pixels()), (1, 2, &[1, 2][..]));
        assert_eq!(image.into_replaced(), Some(vec![1, 2]));
    }

    #[test]
    #[should_panic(expected = "an image of 2x2x3 has 12 bytes, not 4")]
    fn wrong_lengths_are_noticed() {
        Image::new(2, 2, 3, &mut [0; 4]);
    }
}
