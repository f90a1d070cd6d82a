//! What is wanted of an image, what is given, and what is too large for that.

use crate::error::DecodeError;
use crate::pixels::{Image, MAX_IMAGE_BYTES, MAX_IMAGE_SIDE};
use crate::region::{Area, Crop};

/// What is wanted of an image: a part of it, which will be resized to a width and a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub part: Crop,
    pub width: u32,
    pub height: u32,
}

impl Request {
    /// All of an image, as large as it is.
    pub fn whole(width: u32, height: u32) -> Self {
        Self { part: Crop::whole(width, height), width, height }
    }
}

/// At least what was wanted of an image, upright, and where in it the wanted part lies.
pub(crate) struct Decoded {
    pub image: Image,
    pub area: Area,
}

pub(super) fn too_large(what: &str) -> DecodeError {
    DecodeError(format!(
        "{what} is larger than allowed ({MAX_IMAGE_SIDE} pixels a side, {} MiB)",
        MAX_IMAGE_BYTES >> 20
    ))
}
