//! Pairs of IDX files, the format of MNIST: one of images, one of labels.

mod file;

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::file::{HELD, IdxFile, Values, read};
use super::classes::Classes;
use super::matching::{Finder, abridged, numbered};
use super::positions::read_at;
use super::settings::{Purpose, Settings};
use super::stored::{Source, Stored, read_loaded};
use crate::error::{DataError, OnError, ReadError};
use crate::pixels::{Channels, Image, ImageView, byte_count};

/// Settings of `Idx`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "Idx", deny_unknown_fields)]
#[schemars(inline)]
pub struct IdxConfig {
    /// File with the images: bytes of shape [n, height, width] or [n, height, width, channels].
    #[serde(with = "vitral_config::path_text")]
    #[schemars(with = "PathBuf")]
    pub images: PathBuf,
    /// File with one byte per image, its class.
    #[serde(with = "vitral_config::path_text")]
    #[schemars(with = "PathBuf")]
    pub labels: PathBuf,
    /// Names of the classes in the order of their numbers. Without them, the numbers are the names.
    #[serde(default)]
    pub classes: Option<Vec<String>>,
}

impl Settings for IdxConfig {
    fn open(&self, _: Purpose, _: OnError) -> Result<Arc<dyn Source>, DataError> {
        let classes = Classes::choose(self.classes.as_deref());
        Ok(Arc::new(Idx::open_with(&self.images, &self.labels, classes)?))
    }

    fn is_numbered(&self) -> bool {
        true
    }

    fn paths(&mut self) -> Vec<(String, &mut PathBuf)> {
        vec![("images".into(), &mut self.images), ("labels".into(), &mut self.labels)]
    }
}

/// Images and labels from a pair of IDX files. Small files and compressed ones are held in memory; of
/// others, each image is read when it is its turn.
#[derive(Debug)]
pub struct Idx {
    path: PathBuf,
    width: u32,
    height: u32,
    channels: Channels,
    pixels: Values,
    labels: Vec<u32>,
    class_names: Vec<String>,
}

impl Idx {
    /// Reads both files.
    ///
    /// # Errors
    /// If a file cannot be read or is not IDX of unsigned bytes with the right dimensions, if their
    /// counts differ, or if a label has no name in `classes`.
    pub fn open(
        images: &Path,
        labels: &Path,
        classes: Option<&[String]>,
    ) -> Result<Self, DataError> {
        Self::open_with(images, labels, Classes::choose(classes))
    }

    pub(crate) fn open_with(
        images: &Path,
        labels: &Path,
        classes: Classes<'_>,
    ) -> Result<Self, DataError> {
        Self::open_holding(HELD, images, labels, classes)
    }

    /// Opens files whose values are held in memory if they have at most so many bytes.
    fn open_holding(
        held: u64,
        images: &Path,
        labels: &Path,
        classes: Classes<'_>,
    ) -> Result<Self, DataError> {
        let image_file = IdxFile::open(images, held)?;
        let (dimensions, label_values) = read(labels)?;
        let (count, width, height, channels) = image_dimensions(images, &image_file.dimensions)?;
        let &[label_count] = dimensions.as_slice() else {
            let problem = format!(
                "labels have one dimension, this file has {}; is it the image file?",
                dimensions.len()
            );
            return Err(DataError::malformed(labels, problem));
        };
        if label_count != count {
            let problem = format!(
                "holds {label_count} labels, but {} holds {count} images",
                images.display()
            );
            return Err(DataError::malformed(labels, problem));
        }
        let (label_values, class_names) = name_classes(labels, &label_values, classes)?;
        Ok(Self {
            path: images.to_owned(),
            width,
            height,
            channels,
            pixels: image_file.values,
            labels: label_values,
            class_names,
        })
    }
}

impl Source for Idx {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        read_loaded(self, index)
    }

    fn load<'a>(&'a self, index: usize, buffer: &'a mut Vec<u8>) -> Result<Stored<'a>, ReadError> {
        let failed = |reason: String| ReadError { name: self.name(index), reason };
        let length = self.width as usize * self.height as usize * self.channels.count();
        let pixels = match &self.pixels {
            Values::Held(values) => &values[index * length..][..length],
            Values::InFile { file, start } => {
                buffer.resize(length, 0);
                let at = start + index as u64 * length as u64;
                read_at(file, &self.path, at, buffer).map_err(|error| failed(error.to_string()))?;
                buffer
            }
        };
        ImageView::new(self.width, self.height, self.channels, pixels)
            .map(Stored::Pixels)
            .map_err(|error| failed(error.to_string()))
    }

    fn name(&self, index: usize) -> String {
        format!("{}, image {index}", self.path.display())
    }

    fn hash_index(&self, hasher: &mut dyn Hasher) {
        hasher.write_u32(self.width);
        hasher.write_u32(self.height);
        match &self.pixels {
            Values::Held(values) => hasher.write(values),
            // As long as its count says, or it would not have been opened.
            Values::InFile { start, .. } => hasher.write_u64(*start),
        }
    }
}

/// Count, width, height and channels of an image file.
fn image_dimensions(
    path: &Path,
    dimensions: &[u32],
) -> Result<(u32, u32, u32, Channels), DataError> {
    let wrong = |problem: String| DataError::malformed(path, problem);
    let (count, height, width, channels) = match *dimensions {
        [count, height, width] => (count, height, width, 1),
        [count, height, width, channels] => (count, height, width, channels),
        _ => {
            return Err(wrong(format!(
                "images have three dimensions (n, height, width) or four (and channels), this file has {}",
                dimensions.len()
            )));
        }
    };
    let Some(channels) = Channels::from_count(channels as usize) else {
        return Err(wrong(format!("images have {channels} channels; 1 and 3 are supported")));
    };
    if count == 0 {
        return Err(wrong("holds no images".into()));
    }
    byte_count(width, height, channels).map_err(|error| wrong(error.to_string()))?;
    Ok((count, width, height, channels))
}

/// Each image's class, and the names of all.
fn name_classes(
    path: &Path,
    labels: &[u8],
    classes: Classes<'_>,
) -> Result<(Vec<u32>, Vec<String>), DataError> {
    let Some(names) = classes.given()? else {
        let count = labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
        return Ok((labels.iter().map(|&label| label.into()).collect(), numbered(count)));
    };
    let finder = Finder::new(names);
    let mut positions = Vec::with_capacity(labels.len());
    for (index, &label) in labels.iter().enumerate() {
        let Some(position) = finder.find_number(label.into()) else {
            let problem = format!(
                "label {label} of image {index} is not among the {} listed classes: {}",
                names.len(),
                abridged(names)
            );
            return Err(DataError::malformed(path, problem));
        };
        positions.push(position as u32);
    }
    Ok((positions, names.to_vec()))
}

#[cfg(test)]
mod tests;
