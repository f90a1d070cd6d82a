//! A folder with one folder of image files per class, as ImageNet is usually laid out.

use std::collections::HashSet;
use std::fs::{self, DirEntry, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::classes::Classes;
use super::{Source, Stored};
use crate::decode::decode;
use crate::error::{DataError, ReadError};
use crate::pixels::{Image, MAX_IMAGE_BYTES};

pub(super) const EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// Folders in folders that are followed. More are taken for a link that leads back up.
const MAX_DEPTH: usize = 32;

/// Images in a folder per class, decoded when they are read.
#[derive(Debug)]
pub struct ImageFolder {
    files: Vec<(PathBuf, u32)>,
    class_names: Vec<String>,
}

impl ImageFolder {
    /// Lists the images under `path`. Files are in the order of their classes, then of their paths.
    ///
    /// With `classes`, a label is a folder's position in that list; a listed class may have no
    /// folder, but there may be no folder that is not listed. Without, classes are all folders,
    /// sorted by name. Hidden files and folders are ignored.
    ///
    /// # Errors
    /// If a folder cannot be read, there are no classes or no images, or a class is not listed.
    pub fn open(path: &Path, classes: Option<&[String]>) -> Result<Self, DataError> {
        Self::open_with(path, Classes::choose(classes, None))
    }

    pub(crate) fn open_with(path: &Path, classes: Classes<'_>) -> Result<Self, DataError> {
        let found = class_folders(path)?;
        let given = classes.given()?;
        let class_names = given.map_or_else(|| found.clone(), <[String]>::to_vec);
        let known: HashSet<_> = class_names.iter().collect();
        if let Some(extra) = found.iter().find(|name| !known.contains(name)) {
            let problem = format!("the folder `{extra}` is not among the {}", classes.describe());
            return Err(DataError::malformed(path, problem));
        }
        let mut files = Vec::new();
        for (label, name) in (0..).zip(&class_names) {
            if found.binary_search(name).is_err() {
                continue;
            }
            let folder = path.join(name);
            let images = images_under(&folder)?;
            if images.is_empty() && given.is_none() {
                return Err(DataError::malformed(&folder, no_images()));
            }
            files.extend(images.into_iter().map(|file| (file, label)));
        }
        if files.is_empty() {
            return Err(DataError::malformed(path, no_images()));
        }
        Ok(Self { files, class_names })
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
}

fn no_images() -> String {
    format!("holds no images ({})", EXTENSIONS.join(", "))
}

fn read_limited(path: &Path, bytes: &mut Vec<u8>) -> Result<(), String> {
    bytes.clear();
    let file = File::open(path).map_err(|error| error.to_string())?;
    let limited = file.take(MAX_IMAGE_BYTES + 1).read_to_end(bytes);
    match limited {
        Ok(count) if count as u64 > MAX_IMAGE_BYTES => {
            Err(format!("the file is larger than {} MiB", MAX_IMAGE_BYTES >> 20))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Names of the folders in `path`, sorted.
fn class_folders(path: &Path) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    for entry in visible_entries(path)? {
        if !is_folder(&entry)? {
            continue;
        }
        match entry.file_name().into_string() {
            Ok(name) => names.push(name),
            Err(_) => {
                let problem = "a class's name must be valid UTF-8";
                return Err(DataError::malformed(&entry.path(), problem));
            }
        }
    }
    if names.is_empty() {
        let problem = "holds no classes: it needs one folder of images for each class";
        return Err(DataError::malformed(path, problem));
    }
    names.sort();
    Ok(names)
}

/// Image files in `folder` and the folders in it, sorted by path.
fn images_under(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut images = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        if depth > MAX_DEPTH {
            let problem =
                format!("lies more than {MAX_DEPTH} folders deep; does a link lead back up?");
            return Err(DataError::malformed(&folder, problem));
        }
        for entry in visible_entries(&folder)? {
            if is_folder(&entry)? {
                folders.push((entry.path(), depth + 1));
            } else if has_image_extension(&entry.path()) {
                images.push(entry.path());
            }
        }
    }
    images.sort();
    Ok(images)
}

fn visible_entries(folder: &Path) -> Result<Vec<DirEntry>, DataError> {
    let failed = |error| DataError::io(folder, error);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// Whether an entry is a folder or a link to one. Only links cost another call of the system.
fn is_folder(entry: &DirEntry) -> Result<bool, DataError> {
    let kind = entry.file_type().map_err(|error| DataError::io(&entry.path(), error))?;
    Ok(kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()))
}

fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(found)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;
    use tempfile::TempDir;

    fn save(folder: &TempDir, path: &str, value: u8) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(6, 4, image::Rgb([value; 3])).save(path).unwrap();
    }

    fn animals() -> TempDir {
        let folder = TempDir::new().unwrap();
        save(&folder, "dog/b.JPG", 10);
        save(&folder, "dog/deeper/a.png", 20);
        save(&folder, "cat/c.webp", 30);
        save(&folder, "cat/.hidden.png", 0);
        save(&folder, ".trash/x.png", 0);
        save(&folder, "stray.png", 0);
        fs::write(folder.path().join("cat/notes.txt"), "no image").unwrap();
        folder
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn finds_images_of_all_kinds_in_sorted_order() {
        let folder = animals();
        let source = ImageFolder::open(folder.path(), None).unwrap();
        assert_eq!(source.class_names(), ["cat", "dog"]);
        let found: Vec<_> = (0..source.len()).map(|i| (source.name(i), source.label(i))).collect();
        let expected = [("cat/c.webp", 0), ("dog/b.JPG", 1), ("dog/deeper/a.png", 1)];
        for ((name, label), (path, class)) in found.iter().zip(expected) {
            assert_eq!((Path::new(name), *label), (&*folder.path().join(path), class));
        }
        assert_eq!(found.len(), 3);
        for (index, value) in [(0, 30), (1, 10), (2, 20)] {
            let image = source.read(index).unwrap();
            assert_eq!((image.width(), image.height()), (6, 4));
            assert!(image.pixels().iter().all(|&pixel| pixel.abs_diff(value) <= 2));
        }
    }

    #[test]
    fn listed_classes_decide_the_labels() {
        let folder = animals();
        let listed = names(&["emu", "dog", "cat"]);
        let source = ImageFolder::open(folder.path(), Some(&listed)).unwrap();
        assert_eq!(source.class_names(), listed);
        assert_eq!([0, 1, 2].map(|index| source.label(index)), [1, 1, 2]);
    }

    #[test]
    fn a_folder_that_is_no_known_class_is_named() {
        let folder = animals();
        let error = ImageFolder::open(folder.path(), Some(&names(&["cat", "dogs"]))).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("`dog`") && message.contains("cat, dogs"), "{message}");
    }

    #[test]
    fn missing_classes_and_images_are_explained() {
        let message = |folder: &Path| ImageFolder::open(folder, None).unwrap_err().to_string();
        let folder = TempDir::new().unwrap();
        assert!(message(folder.path()).contains("holds no classes"));
        fs::create_dir(folder.path().join("cat")).unwrap();
        let empty = message(folder.path());
        assert!(empty.contains("cat: holds no images (jpg, jpeg, png, webp)"), "{empty}");
        assert!(message(&folder.path().join("nowhere")).contains("nowhere"));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = animals();
        fs::write(folder.path().join("cat/d.png"), b"not a picture").unwrap();
        let source = ImageFolder::open(folder.path(), None).unwrap();
        let error = source.read(1).unwrap_err();
        assert!(error.name.ends_with("d.png") && error.reason.contains("not a JPEG"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_back_up_is_an_error() {
        let folder = animals();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("cat/up")).unwrap();
        let error = ImageFolder::open(folder.path(), None).unwrap_err();
        assert!(error.to_string().contains("link"), "{error}");
    }
}
