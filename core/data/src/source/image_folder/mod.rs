//! A folder with one folder of image files per class, as ImageNet is usually laid out.

mod listing;

use std::collections::HashSet;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_files::Kind;

use self::listing::{Beside, class_folders, refuse_parts};
pub(super) use self::listing::{EXTENSIONS, images_under, parts_of};
use super::classes::Classes;
use super::matching::abridged;
use super::settings::{Purpose, Settings};
use super::stored::{Source, Stored};
use crate::decode::decode;
use crate::error::{DataError, OnError, ReadError};
use crate::pixels::{Image, MAX_IMAGE_BYTES};

/// Settings of `ImageFolder`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "ImageFolder", deny_unknown_fields)]
#[schemars(inline)]
pub struct ImageFolderConfig {
    /// The folder that holds the classes' folders.
    #[serde(with = "vitral_config::path_text")]
    #[schemars(with = "PathBuf")]
    pub path: PathBuf,
    /// The classes' folders in the order of their numbers. Without them, all folders by name.
    #[serde(default)]
    pub classes: Option<Vec<String>>,
}

impl Settings for ImageFolderConfig {
    fn open(&self, purpose: Purpose, _: OnError) -> Result<Arc<dyn Source>, DataError> {
        let classes = Classes::choose(self.classes.as_deref());
        Ok(Arc::new(ImageFolder::open_with(&self.path, classes, purpose)?))
    }

    fn is_numbered(&self) -> bool {
        self.classes.is_some()
    }

    fn paths(&mut self) -> Vec<(String, &mut PathBuf)> {
        vec![("path".into(), &mut self.path)]
    }

    fn of_path(path: &Path) -> Option<Self> {
        path.is_dir().then(|| Self { path: path.into(), classes: None })
    }

    fn path_in_words() -> Option<&'static str> {
        Some("a folder of class folders")
    }
}

/// Images in a folder per class, decoded when they are read.
#[derive(Debug)]
pub struct ImageFolder {
    root: PathBuf,
    files: Vec<(PathBuf, u32)>,
    class_names: Vec<String>,
    notes: Vec<String>,
}

impl ImageFolder {
    /// Lists the images under `path`. Files are in the order of their classes, then of their paths.
    ///
    /// With `classes`, a label is a folder's position in that list; a listed class may have no
    /// folder, but there may be no folder that is not listed. Without, classes are all folders,
    /// sorted by name. Hidden files and folders are ignored; other files that are no images of a class
    /// are counted in its [notes](Source::notes).
    ///
    /// # Errors
    /// If a folder cannot be read, there are no classes or no images, a class is not listed, or the
    /// folders are `train` and `val` or the like.
    pub fn open(path: &Path, classes: Option<&[String]>) -> Result<Self, DataError> {
        Self::open_with(path, Classes::choose(classes), Purpose::Training)
    }

    pub(crate) fn open_with(
        path: &Path,
        classes: Classes<'_>,
        purpose: Purpose,
    ) -> Result<Self, DataError> {
        let mut beside = Beside::default();
        let found = class_folders(path, &mut beside)?;
        let given = classes.given()?;
        if given.is_none() {
            refuse_parts(path, &found, purpose)?;
        }
        let class_names = given.map_or_else(|| found.clone(), <[String]>::to_vec);
        let known: HashSet<_> = class_names.iter().collect();
        if let Some(extra) = found.iter().find(|name| !known.contains(name)) {
            let problem = format!(
                "the folder `{extra}` is not among the listed classes: {}; the folders: {}",
                abridged(&class_names),
                abridged(&found)
            );
            return Err(DataError::malformed(path, problem));
        }
        let mut files = Vec::new();
        for (label, name) in (0..).zip(&class_names) {
            if found.binary_search(name).is_err() {
                continue;
            }
            let folder = path.join(name);
            let images = images_under(&folder, path, &mut beside.unread)?;
            if images.is_empty() {
                if given.is_none() && purpose == Purpose::Training {
                    return Err(DataError::malformed(&folder, beside.no_images()));
                }
                beside.empty.push(name.clone());
            }
            files.extend(images.into_iter().map(|file| (file, label)));
        }
        if files.is_empty() {
            return Err(DataError::malformed(path, beside.no_images()));
        }
        Ok(Self { root: path.to_owned(), files, class_names, notes: beside.notes() })
    }
}

impl Source for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> u32 {
        self.files[index].1
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        let failed = |reason: String| ReadError { name: self.name(index), reason };
        let mut bytes = Vec::new();
        read_limited(&self.files[index].0, &mut bytes).map_err(failed)?;
        decode(&bytes).map_err(|error| failed(error.to_string()))
    }

    fn load<'a>(&'a self, index: usize, buffer: &'a mut Vec<u8>) -> Result<Stored<'a>, ReadError> {
        read_limited(&self.files[index].0, buffer)
            .map_err(|reason| ReadError { name: self.name(index), reason })?;
        Ok(Stored::Encoded(buffer))
    }

    fn name(&self, index: usize) -> String {
        self.files[index].0.display().to_string()
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn hash_index(&self, hasher: &mut dyn Hasher) {
        for (file, _) in &self.files {
            let below = file.strip_prefix(&self.root).unwrap_or(file);
            hasher.write(below.as_os_str().as_encoded_bytes());
            // Which no name has in it.
            hasher.write_u8(0);
            // One that is gone meanwhile is of no size.
            hasher.write_u64(file.metadata().map_or(u64::MAX, |found| found.len()));
        }
    }
}

fn read_limited(path: &Path, bytes: &mut Vec<u8>) -> Result<(), String> {
    vitral_files::read_into(path, Kind::IMAGE.at_most(MAX_IMAGE_BYTES), bytes)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
