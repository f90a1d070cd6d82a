//! Image files without classes, as somebody hands them over to have them classified.

use std::hash::Hasher;
use std::path::{Path, PathBuf};

use vitral_files::Kind;

use super::image_folder::{EXTENSIONS, images_under};
use super::patterns;
use super::stored::{Source, Stored, read_loaded};
use super::unread::{FILES, Unread};
use crate::error::{DataError, ReadError};
use crate::pixels::{Image, MAX_IMAGE_BYTES};

/// Image files in the order in which they were added. They have no classes: there are no names, and every
/// label is 0.
#[derive(Debug, Default)]
pub struct ImageFiles {
    images: Vec<Place>,
    /// Files that were found and are no images.
    unread: Unread,
    notes: Vec<String>,
}

/// Where an image is.
#[derive(Debug)]
enum Place {
    File(PathBuf),
    /// In memory, and what to call it.
    Memory(String, Vec<u8>),
}

impl ImageFiles {
    /// Adds what a path stands for: a file, whatever its name; the image files in a folder and the folders
    /// in it, sorted by path; or those that a pattern such as `photos/**/*.jpg` matches. A file that is not
    /// there is found out when it is read.
    ///
    /// # Errors
    /// A folder cannot be read or has no images, or a pattern is malformed or matches nothing.
    pub fn add(&mut self, path: &Path) -> Result<(), DataError> {
        if path.is_dir() {
            return self.add_folder(path);
        }
        let text = path.to_str().unwrap_or_default();
        if !text.contains(['*', '?', '[', '{']) || path.symlink_metadata().is_ok() {
            self.images.push(Place::File(path.into()));
            return Ok(());
        }
        for found in patterns::expand("images", std::slice::from_ref(&path.into()))? {
            match found.is_dir() {
                true => self.add_folder(&found)?,
                false => self.images.push(Place::File(found)),
            }
        }
        Ok(())
    }

    /// Adds an image that is in memory, encoded.
    pub fn add_bytes(&mut self, name: String, bytes: Vec<u8>) {
        self.images.push(Place::Memory(name, bytes));
    }

    fn add_folder(&mut self, folder: &Path) -> Result<(), DataError> {
        let found = images_under(folder, folder, &mut self.unread)?;
        let is_read = EXTENSIONS.join(", ");
        self.notes = self.unread.describe(FILES).into_iter().collect();
        self.notes.iter_mut().for_each(|files| {
            *files = format!("not read, as only {is_read} are: {files}");
        });
        if found.is_empty() {
            let beside = self.notes.first().map(|note| format!("; {note}")).unwrap_or_default();
            return Err(DataError::malformed(folder, format!("holds no images{beside}")));
        }
        self.images.extend(found.into_iter().map(Place::File));
        Ok(())
    }

    /// The file of an image; none where it is in memory.
    pub fn path(&self, index: usize) -> Option<&Path> {
        match &self.images[index] {
            Place::File(path) => Some(path),
            Place::Memory(..) => None,
        }
    }
}

impl Source for ImageFiles {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn class_names(&self) -> &[String] {
        &[]
    }

    fn label(&self, _: usize) -> u32 {
        0
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        read_loaded(self, index)
    }

    fn load<'a>(&'a self, index: usize, buffer: &'a mut Vec<u8>) -> Result<Stored<'a>, ReadError> {
        match &self.images[index] {
            Place::Memory(_, bytes) => Ok(Stored::Encoded(bytes)),
            Place::File(path) => {
                let kind = Kind::IMAGE.at_most(MAX_IMAGE_BYTES);
                vitral_files::read_into(path, kind, buffer).map_err(|error| ReadError {
                    name: self.name(index),
                    reason: error.to_string(),
                })?;
                Ok(Stored::Encoded(buffer))
            }
        }
    }

    fn name(&self, index: usize) -> String {
        match &self.images[index] {
            Place::File(path) => path.display().to_string(),
            Place::Memory(name, _) => name.clone(),
        }
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn hash_index(&self, hasher: &mut dyn Hasher) {
        for image in &self.images {
            match image {
                Place::File(path) => hasher.write(path.as_os_str().as_encoded_bytes()),
                Place::Memory(_, bytes) => hasher.write(bytes),
            }
            hasher.write_u8(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(images: &ImageFiles, root: &Path) -> Vec<String> {
        let below = |index| images.path(index).unwrap().strip_prefix(root).unwrap().to_owned();
        (0..images.len()).map(|index| below(index).display().to_string()).collect()
    }

    #[test]
    fn files_folders_and_patterns_come_in_the_order_in_which_they_are_added() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("photos/deep/er")).unwrap();
        for name in ["photos/b.png", "photos/a.JPG", "photos/deep/er/c.webp", "photos/notes.txt"] {
            fs::write(root.join(name), "x").unwrap();
        }
        fs::write(root.join("odd [1].png"), "x").unwrap();
        let mut images = ImageFiles::default();
        for path in ["missing.png", "photos", "photos/*.png", "odd [1].png"] {
            images.add(&root.join(path)).unwrap();
        }
        let expected = [
            "missing.png",
            "photos/a.JPG",
            "photos/b.png",
            "photos/deep/er/c.webp",
            "photos/b.png",
            "odd [1].png",
        ];
        assert_eq!(names(&images, root), expected);
        assert!(images.notes()[0].contains("1 .txt (notes.txt)"), "{:?}", images.notes());
        let nothing = images.add(&root.join("photos/*.gif")).unwrap_err().to_string();
        assert!(nothing.contains("matches no file"), "{nothing}");
        fs::create_dir(root.join("empty")).unwrap();
        let empty = images.add(&root.join("empty")).unwrap_err().to_string();
        assert!(empty.contains("holds no images"), "{empty}");
    }

    #[test]
    fn an_image_in_memory_is_read_under_its_name() {
        let mut png = std::io::Cursor::new(Vec::new());
        image::GrayImage::new(3, 2).write_to(&mut png, image::ImageFormat::Png).unwrap();
        let mut images = ImageFiles::default();
        images.add_bytes("standard input".into(), png.into_inner());
        images.add_bytes("broken".into(), b"no image".to_vec());
        assert_eq!(images.read(0).unwrap().width(), 3);
        assert_eq!(images.read(1).unwrap_err().name, "broken");
        assert_eq!(images.path(0), None);
    }
}
