//! Images, and instances of the plugins that change them.

use vitral_abi::Sample;

use crate::{CallError, Cause};

/// The longest side of an image that a plugin may give, in pixels.
pub(crate) const MAX_SIDE: u32 = 16_384;

/// An image of 8-bit values: rows from the top, pixels from the left, channels innermost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Values of a pixel, 1 or 3.
    pub channels: u32,
    /// `width * height * channels` values.
    pub pixels: Vec<u8>,
}

/// An image in memory that belongs to someone else, such as a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct ImageMut<'a> {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Values of a pixel, 1 or 3.
    pub channels: u32,
    /// `width * height * channels` values.
    pub pixels: &'a mut [u8],
}

impl Image {
    /// The image where it lies.
    pub fn as_mut(&mut self) -> ImageMut<'_> {
        let Self { width, height, channels, ref mut pixels } = *self;
        ImageMut { width, height, channels, pixels }
    }
}

impl ImageMut<'_> {
    /// The image in words, for errors.
    pub(crate) fn words(&self, sample: &Sample) -> String {
        let Self { width, height, channels, .. } = self;
        format!(
            "image {width}x{height}x{channels}, epoch {}, seed {:#x}",
            sample.epoch, sample.seed
        )
    }

    /// Checks that an image that is handed to a plugin is one.
    pub(crate) fn check(&self) -> Result<(), Cause> {
        if !matches!(self.channels, 1 | 3) {
            return Err(Cause::Failed(format!(
                "an image has 1 or 3 channels, not {}",
                self.channels
            )));
        }
        check_size(self.width, self.height, self.channels, self.pixels.len())
            .map_err(|problem| Cause::Failed(format!("the image that it was to change: {problem}")))
    }
}

/// An instance of an image augmentation. It recovers from its failures by itself.
pub trait ImageAugmentation: Send {
    /// Changes an image where it lies: a native plugin works on this memory, and from a WebAssembly one
    /// comes a copy back into it. Some image, if one takes the given one's place that has another size
    /// or that a native plugin has made room for. After that, and after an error, what `image` contains
    /// is unspecified.
    ///
    /// # Errors
    /// The plugin fails, takes too much, or gives what is no image.
    fn augment_in_place(
        &mut self,
        image: ImageMut<'_>,
        sample: &Sample,
    ) -> Result<Option<Image>, CallError>;

    /// Changes an image. After an error, what it contains is unspecified.
    ///
    /// # Errors
    /// As [`augment_in_place`](Self::augment_in_place).
    fn augment(&mut self, image: &mut Image, sample: &Sample) -> Result<(), CallError> {
        if let Some(made) = self.augment_in_place(image.as_mut(), sample)? {
            *image = made;
        }
        Ok(())
    }
}

/// Checks an image that a plugin gives for one of so many channels, by its sides and bytes.
pub(crate) fn check_made(
    (width, height, channels): (u32, u32, u32),
    bytes: usize,
    wanted: u32,
) -> Result<(), Cause> {
    if channels != wanted {
        let problem = format!("it returned an image of {channels} channels for one of {wanted}");
        return Err(Cause::BadResult(problem));
    }
    check_size(width, height, channels, bytes)
        .map_err(|problem| Cause::BadResult(format!("it returned {problem}")))
}

fn check_size(width: u32, height: u32, channels: u32, bytes: usize) -> Result<(), String> {
    let sides = 1..=MAX_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(format!("an image of {width}x{height}; sides may be 1 to {MAX_SIDE}"));
    }
    // At most 16384 * 16384 * 3, which 64 bits can count.
    let wanted = u64::from(width) * u64::from(height) * u64::from(channels);
    if bytes as u64 != wanted {
        return Err(format!(
            "{bytes} bytes for an image of {width}x{height}x{channels}, which has {wanted}"
        ));
    }
    Ok(())
}
