//! A set of labelled images, and one of them as it is stored.

use std::hash::Hasher;

use super::groups::Groups;
use crate::decode::{decode, encoded_size};
use crate::error::{DataError, DecodeError, ReadError};
use crate::pixels::{Channels, Image, ImageView};

/// One image as its source has it, so that work which nobody needs is not done: of a file, only the
/// part that a random crop keeps is decoded, and mapped pixels are resized from where they lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored<'a> {
    /// A JPEG, PNG or WebP file.
    Encoded(&'a [u8]),
    /// Pixels that stay where they are.
    Pixels(ImageView<'a>),
    /// Pixels made for the caller.
    Image(Image),
}

impl Stored<'_> {
    /// Width, height and channels of the image, upright, as [`decode`](Self::decode) gives it. Of an
    /// encoded image only the header is read.
    ///
    /// # Errors
    /// If the bytes do not start like a JPEG, PNG or WebP file.
    pub fn size(&self) -> Result<(u32, u32, Channels), DecodeError> {
        match self {
            Self::Encoded(bytes) => encoded_size(bytes),
            Self::Pixels(view) => Ok((view.width(), view.height(), view.channels())),
            Self::Image(image) => Ok((image.width(), image.height(), image.channels())),
        }
    }

    /// The whole image.
    ///
    /// # Errors
    /// As [`decode`](crate::decode).
    pub fn decode(self) -> Result<Image, DecodeError> {
        match self {
            Self::Encoded(bytes) => decode(bytes),
            Self::Pixels(view) => Ok(view.to_image()),
            Self::Image(image) => Ok(image),
        }
    }
}

/// A set of labelled images that can be read in any order, by several threads at once.
///
/// An index is below [`len`](Self::len); other indices may panic.
pub trait Source: Send + Sync {
    /// How many images there are.
    fn len(&self) -> usize;

    /// Whether there are none. Sources that this crate opens are never empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of the classes; a label is a position in this list.
    fn class_names(&self) -> &[String];

    /// The class of one image.
    fn label(&self, index: usize) -> u32;

    /// Reads and decodes one image.
    ///
    /// # Errors
    /// If the image's file cannot be read or is damaged.
    fn read(&self, index: usize) -> Result<Image, ReadError>;

    /// One image as it is stored. What has to be read lies in `buffer` afterwards, whose contents
    /// before the call do not matter; it keeps its memory from image to image.
    ///
    /// [`read`](Self::read) gives the same image, decoded.
    ///
    /// # Errors
    /// If the image's file cannot be read or is damaged. Encoded bytes may be found to be damaged
    /// only when they are decoded.
    fn load<'a>(&'a self, index: usize, buffer: &'a mut Vec<u8>) -> Result<Stored<'a>, ReadError> {
        let _ = buffer;
        self.read(index).map(Stored::Image)
    }

    /// What to call one image in a message: its path, or its file and number.
    fn name(&self, index: usize) -> String;

    /// What was found and is not read: a sentence each, for people.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// Parts that are damaged and were left out, such as a shard: which, and why.
    fn damaged(&self) -> &[String] {
        &[]
    }

    /// Adds to a hash what the index says of the images, none of which is read for it: what they are
    /// called below the place of the data set, how long they are, where they are in it, and what of them
    /// is in memory. A data set that was moved has the same index.
    fn hash_index(&self, hasher: &mut dyn Hasher);

    /// Whether what was read until now is what the files have. Where it is not, no image counts that was
    /// read meanwhile.
    ///
    /// # Errors
    /// A file is not any more what it was when it was opened.
    fn check_whole(&self) -> Result<(), DataError> {
        Ok(())
    }

    /// The groups that are read as a whole, if reading single images in any order would be slow.
    fn groups(&self) -> Option<&Groups> {
        None
    }

    /// Makes sure that it keeps as many groups in memory as it takes where so many are shuffled at once.
    fn keep_groups(&self, shuffled: usize) {
        let _ = shuffled;
    }
}

/// What [`Source::read`] gives where a source's [`load`](Source::load) does the work.
pub(crate) fn read_loaded(source: &dyn Source, index: usize) -> Result<Image, ReadError> {
    let mut buffer = Vec::new();
    let failed = |reason: String| ReadError { name: source.name(index), reason };
    let decoded = source.load(index, &mut buffer)?.decode();
    source.check_whole().map_err(|error| failed(error.to_string()))?;
    decoded.map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn sizes_are_those_of_the_decoded_image() {
        let grey = image::GrayImage::new(5, 3);
        let colour = image::RgbaImage::new(2, 7);
        for (image, format) in [
            (image::DynamicImage::from(grey.clone()), image::ImageFormat::Png),
            (grey.into(), image::ImageFormat::Jpeg),
            (colour.into(), image::ImageFormat::WebP),
        ] {
            let mut bytes = Cursor::new(Vec::new());
            image.write_to(&mut bytes, format).unwrap();
            let stored = Stored::Encoded(bytes.get_ref());
            let decoded = stored.clone().decode().unwrap();
            let size = (decoded.width(), decoded.height(), decoded.channels());
            assert_eq!(stored.size().unwrap(), size);
        }
        assert!(Stored::Encoded(b"no image").size().is_err());
    }
}
