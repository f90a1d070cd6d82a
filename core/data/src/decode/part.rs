//! Of a JPEG file, no more than a part of its image needs, in the smallest size that is large enough.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use vitral_jpeg::{Frame, Jpeg, Pixels, Scale, Window};

use super::jpeg::Segments;
use super::request::{Decoded, Request, too_large};
use crate::error::DecodeError;
use crate::pixels::{Channels, Image, MAX_IMAGE_SIDE, byte_count};
use crate::region::{Area, Crop, exchanges_sides, inverse};

/// Width, height and channels of an image that is turned upright.
///
/// # Errors
/// It is too large.
pub(super) fn size(frame: &Frame, segments: Segments) -> Result<(u32, u32, Channels), DecodeError> {
    check_size(frame.width, frame.height)?;
    let (width, height) = upright_size(frame.width, frame.height, segments.orientation);
    Ok((width, height, channels_of(frame)))
}

/// The channels that a file has.
fn channels_of(frame: &Frame) -> Channels {
    if frame.components.len() == 1 { Channels::Grey } else { Channels::Rgb }
}

/// Decodes what is wanted of an image that `choose` was asked about. The image's pixels lie in `buffer`,
/// which keeps its memory.
///
/// # Errors
/// The file is damaged, or coded in a way that another decoder may know.
pub(super) fn decode(
    decoder: &mut Pixels,
    jpeg: Jpeg<'_>,
    segments: Segments,
    channels: Option<Channels>,
    request: Request,
    buffer: &mut Vec<u8>,
) -> Result<Decoded, DecodeError> {
    let (frame, turn) = (jpeg.frame(), segments.orientation);
    let Located { scale, window, area } = Located::new(request, turn, frame.width, frame.height);
    let channels = channels.unwrap_or_else(|| channels_of(frame));
    decoder
        .read(jpeg, window, scale, channels == Channels::Grey, buffer)
        .map_err(|error| DecodeError(error.to_string()))?;
    let image = Image::new(window.width, window.height, channels, std::mem::take(buffer))?;
    let area = area.turned(turn, window.width, window.height);
    Ok(Decoded { image: turned(image, turn)?, area })
}

/// By how much each side may shrink while decoding: the part stays at least as large as it is wanted.
fn scale(request: Request) -> u32 {
    let fits = |scale: &u32| {
        request.part.width / scale >= request.width && request.part.height / scale >= request.height
    };
    [8, 4, 2].into_iter().find(fits).unwrap_or(1)
}

/// Width and height of an image once it is upright.
pub(super) fn upright_size(width: u32, height: u32, turn: Orientation) -> (u32, u32) {
    if exchanges_sides(turn) { (height, width) } else { (width, height) }
}

/// The wanted part as it lies in the file's own orientation, at a scale. `width` and `height` are those
/// of the upright image at full size.
fn in_file(request: Request, turn: Orientation, width: u32, height: u32, scale: u32) -> Area {
    let area = request.part.area().turned(inverse(turn), width, height);
    area.seen_from(1.0 / f64::from(scale), 0, 0)
}

/// Where [`vitral_jpeg`] finds what is wanted of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Located {
    pub scale: Scale,
    /// What is to be decoded, in the file's own orientation.
    pub window: Window,
    /// The wanted part, seen from the window.
    pub area: Area,
}

impl Located {
    /// `width` and `height` are those of the file.
    pub fn new(request: Request, turn: Orientation, width: u32, height: u32) -> Self {
        let scale = match scale(request) {
            8 => Scale::Eighth,
            4 => Scale::Quarter,
            2 => Scale::Half,
            _ => Scale::Full,
        };
        let divisor = scale.divisor();
        let (upright_width, upright_height) = upright_size(width, height, turn);
        let area = in_file(request, turn, upright_width, upright_height, divisor);
        let Crop { left, top, width, height } =
            area.cover(width.div_ceil(divisor), height.div_ceil(divisor));
        let window = Window { left, top, width, height };
        Self { scale, window, area: area.seen_from(1.0, left, top) }
    }
}

/// The image, turned upright.
fn turned(image: Image, orientation: Orientation) -> Result<Image, DecodeError> {
    if orientation == Orientation::NoTransforms {
        return Ok(image);
    }
    let (width, height, channels) = (image.width(), image.height(), image.channels());
    let pixels = image.into_pixels();
    let image: Option<DynamicImage> = match channels {
        Channels::Grey => GrayImage::from_raw(width, height, pixels).map(Into::into),
        Channels::Rgb => RgbImage::from_raw(width, height, pixels).map(Into::into),
    };
    let mut image = image.ok_or_else(|| too_large("the image"))?;
    image.apply_orientation(orientation);
    Image::new(image.width(), image.height(), channels, image.into_bytes())
}

/// Refuses sides that are too long before any memory is taken.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), DecodeError> {
    let sides = [width, height].iter().all(|side| (1..=MAX_IMAGE_SIDE).contains(side));
    if sides && byte_count(width, height, Channels::Rgb).is_ok() {
        return Ok(());
    }
    Err(too_large(&format!("an image of {width} x {height} pixels")))
}
