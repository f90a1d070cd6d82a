//! Encoded bytes to pixels: JPEG, PNG and WebP, recognised by their content.
//!
//! Of a JPEG file, only what is wanted of its image is decoded, by `vitral-jpeg`. It leaves files of rarer
//! kinds (inks, colours other than Y, Cb and Cr, other subsampling, scans of one component each) and damaged
//! ones to zune-jpeg, which decodes them as a whole. What neither reads (arithmetic coding, lossless and
//! hierarchical files, 12 bits a value) is refused by name.

mod hybrid;
mod jpeg;
mod part;
mod png;
mod request;

use std::{borrow::Cow, io::Cursor};

use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use vitral_jpeg::{Jpeg, Pixels};

pub use self::hybrid::{CodedAxis, CodedImage, CodedImages, CodedPlane};
use self::jpeg::Segments;
pub(crate) use self::request::Request;
use self::request::{Decoded, too_large};
use crate::error::DecodeError;
use crate::pixels::{Channels, Image, MAX_IMAGE_BYTES, MAX_IMAGE_SIDE};
use crate::region::exchanges_sides;

/// Decodes a JPEG, PNG or WebP file, turned upright by its EXIF orientation.
///
/// As with Pillow's `convert("RGB")`, transparency is dropped without blending and of 16-bit values
/// the upper 8 bits are kept (also in grey files, where Pillow clips). Grey files give images of one
/// channel.
///
/// # Errors
/// If the bytes are of another format, damaged or cut short, or if the image is larger than
/// [`MAX_IMAGE_SIDE`] or [`MAX_IMAGE_BYTES`].
pub fn decode(bytes: &[u8]) -> Result<Image, DecodeError> {
    let all = |width, height| Ok(Request::whole(width, height));
    Ok(Decoder::default().part(bytes, None, all)?.image)
}

/// Width, height and channels of an image as [`decode`] gives it. Only its header is read, by the decoder
/// that will read the rest: what one of them takes, another may refuse.
pub(crate) fn encoded_size(bytes: &[u8]) -> Result<(u32, u32, Channels), DecodeError> {
    let format = format_of(bytes)?;
    if format == ImageFormat::Jpeg {
        let segments = Segments::read(bytes);
        segments.check_kind()?;
        if let Ok(jpeg) = Jpeg::open(bytes) {
            return part::size(jpeg.frame(), segments);
        }
    }
    let bytes = needed(bytes, format);
    let mut decoder = reader(&bytes, format).into_decoder().map_err(explain)?;
    let (width, height) = decoder.dimensions();
    let turn = decoder.orientation().map_err(explain)?;
    let channels = if is_grey(decoder.color_type()) { Channels::Grey } else { Channels::Rgb };
    Ok(if exchanges_sides(turn) { (height, width, channels) } else { (width, height, channels) })
}

/// Decodes one image after the other, with memory that it keeps.
#[derive(Default)]
pub(crate) struct Decoder {
    jpeg: Pixels,
    /// Memory of an image that is no longer needed.
    buffer: Vec<u8>,
}

impl Decoder {
    /// Decodes what `choose` wants of an image whose upright width and height it is given; in
    /// `channels`, or in the file's own.
    pub fn part(
        &mut self,
        bytes: &[u8],
        channels: Option<Channels>,
        choose: impl FnOnce(u32, u32) -> Result<Request, DecodeError>,
    ) -> Result<Decoded, DecodeError> {
        let format = format_of(bytes)?;
        if format == ImageFormat::Jpeg {
            let segments = Segments::read(bytes);
            segments.check()?;
            if let Ok(jpeg) = Jpeg::open(bytes) {
                return self.jpeg(bytes, jpeg, segments, channels, choose);
            }
        }
        let image = whole(bytes, format, channels)?;
        let area = choose(image.width(), image.height())?.part.area();
        Ok(Decoded { image, area })
    }

    fn jpeg(
        &mut self,
        bytes: &[u8],
        jpeg: Jpeg<'_>,
        segments: Segments,
        channels: Option<Channels>,
        choose: impl FnOnce(u32, u32) -> Result<Request, DecodeError>,
    ) -> Result<Decoded, DecodeError> {
        let (width, height) = (jpeg.frame().width, jpeg.frame().height);
        part::check_size(width, height)?;
        let (width, height) = part::upright_size(width, height, segments.orientation);
        let request = choose(width, height)?;
        let buffer = &mut self.buffer;
        let decoded = part::decode(&mut self.jpeg, jpeg, segments, channels, request, buffer);
        decoded.or_else(|_| {
            // Another decoder may know how it is coded, or make something of what is damaged.
            let image = whole(bytes, ImageFormat::Jpeg, channels)?;
            Ok(Decoded { image, area: request.part.area() })
        })
    }

    /// Takes an image back whose memory the next one can use.
    pub fn recycle(&mut self, image: Image) {
        self.buffer = image.into_pixels();
    }
}

/// All of an image, by the `image` library; in `channels`, or in the file's own.
fn whole(
    bytes: &[u8],
    format: ImageFormat,
    wanted: Option<Channels>,
) -> Result<Image, DecodeError> {
    let bytes = needed(bytes, format);
    let mut decoder = reader(&bytes, format).into_decoder().map_err(explain)?;
    if decoder.total_bytes() > MAX_IMAGE_BYTES {
        let (width, height) = decoder.dimensions();
        return Err(too_large(&format!("{width} x {height} pixels")));
    }
    let orientation = decoder.orientation().map_err(explain)?;
    let grey = is_grey(decoder.color_type());
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(explain)?;
    decoded.apply_orientation(orientation);

    let (width, height) = (decoded.width(), decoded.height());
    let (channels, pixels) = if grey {
        (Channels::Grey, grey_bytes(decoded))
    } else {
        (Channels::Rgb, rgb_bytes(decoded))
    };
    let image = Image::new(width, height, channels, pixels)?;
    Ok(match wanted {
        Some(wanted) => image.into_channels(wanted),
        None => image,
    })
}

fn format_of(bytes: &[u8]) -> Result<ImageFormat, DecodeError> {
    match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) => Ok(format),
        Ok(other) => {
            Err(DecodeError(format!("the file is {other:?}; JPEG, PNG and WebP can be read")))
        }
        Err(_) if bytes.is_empty() => Err(DecodeError("the file is empty".into())),
        Err(_) => Err(DecodeError("the file is not a JPEG, PNG or WebP image".into())),
    }
}

/// What of a file has to be looked at.
fn needed(bytes: &[u8], format: ImageFormat) -> Cow<'_, [u8]> {
    if format == ImageFormat::Png { png::without_metadata(bytes) } else { Cow::Borrowed(bytes) }
}

fn reader(bytes: &[u8], format: ImageFormat) -> ImageReader<Cursor<&[u8]>> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits());
    reader
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_IMAGE_SIDE);
    limits.max_image_height = Some(MAX_IMAGE_SIDE);
    limits.max_alloc = Some(MAX_IMAGE_BYTES);
    limits
}

fn explain(error: image::ImageError) -> DecodeError {
    match error {
        image::ImageError::Limits(_) => too_large("the image"),
        error => DecodeError(error.to_string()),
    }
}

fn is_grey(color: ColorType) -> bool {
    matches!(color, ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16)
}

fn grey_bytes(image: DynamicImage) -> Vec<u8> {
    match image {
        DynamicImage::ImageLuma8(image) => image.into_raw(),
        DynamicImage::ImageLumaA8(image) => keep(image.as_raw(), 2, 1, |v| v),
        DynamicImage::ImageLuma16(image) => keep(image.as_raw(), 1, 1, upper),
        DynamicImage::ImageLumaA16(image) => keep(image.as_raw(), 2, 1, upper),
        other => other.into_luma8().into_raw(),
    }
}

fn rgb_bytes(image: DynamicImage) -> Vec<u8> {
    match image {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageRgba8(image) => keep(image.as_raw(), 4, 3, |v| v),
        DynamicImage::ImageRgb16(image) => keep(image.as_raw(), 3, 3, upper),
        DynamicImage::ImageRgba16(image) => keep(image.as_raw(), 4, 3, upper),
        other => other.into_rgb8().into_raw(),
    }
}

/// The first `kept` of every `of` values.
fn keep<T: Copy>(values: &[T], of: usize, kept: usize, to_byte: fn(T) -> u8) -> Vec<u8> {
    let pixels = values.chunks_exact(of);
    pixels.flat_map(|pixel| pixel[..kept].iter().map(|&v| to_byte(v))).collect()
}

fn upper(value: u16) -> u8 {
    (value >> 8) as u8
}

#[cfg(test)]
mod tests;
