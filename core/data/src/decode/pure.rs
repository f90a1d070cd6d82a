//! JPEG by [`vitral_jpeg`], decoding no more than a part of an image needs, in the smallest size that is
//! large enough.

use vitral_jpeg::{Frame, Jpeg, Pixels};

use super::jpeg::Segments;
use super::part::{Located, check_size, turned, upright_size};
use super::{Decoded, Request};
use crate::error::DecodeError;
use crate::pixels::{Channels, Image};

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
pub(super) fn part(
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
