//! What lies in the folders of a data set: classes, images, and what is neither.

use std::borrow::Cow;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use super::super::settings::Purpose;
use super::super::unread::{FILES, Unread};
use crate::error::DataError;

/// Extensions of files that are read, in lower case.
pub(crate) const EXTENSIONS: [&str; 7] = ["jpg", "jpeg", "jpe", "jfif", "jif", "png", "webp"];

/// Images outside of the classes' folders that are named.
const NAMED: usize = 3;

/// What folders of training images are called where a data set is in parts.
const TRAINING_PARTS: [&str; 2] = ["train", "training"];
/// What folders of other images are called there.
const OTHER_PARTS: [&str; 7] = ["val", "valid", "validation", "dev", "eval", "test", "testing"];

/// Folders in folders that are followed. More are taken for a link that leads back up.
const MAX_DEPTH: usize = 32;

/// What a folder has beside the images of its classes.
#[derive(Default)]
pub(super) struct Beside {
    /// Files with extensions that are not read.
    pub unread: Unread,
    /// Images in the folder itself.
    classless: Vec<String>,
    /// Folders without images.
    pub empty: Vec<String>,
}

impl Beside {
    pub fn no_images(&self) -> String {
        let found = self.unread.describe(FILES).map(|files| format!("; not read: {files}"));
        format!("holds no images ({}){}", EXTENSIONS.join(", "), found.unwrap_or_default())
    }

    pub fn notes(mut self) -> Vec<String> {
        let mut notes = Vec::new();
        let list = |names: &mut Vec<String>| {
            names.sort();
            let shown = names[..names.len().min(NAMED)].join(", ");
            if names.len() > NAMED { format!("{shown}, ...") } else { shown }
        };
        match self.classless.len() {
            0 => {}
            1 => notes.push(format!(
                "1 image is in no class's folder, and is not read: {}",
                list(&mut self.classless)
            )),
            count => notes.push(format!(
                "{count} images are in no class's folder, and are not read: {}",
                list(&mut self.classless)
            )),
        }
        if let Some(files) = self.unread.describe(FILES) {
            let read = EXTENSIONS.join(", ");
            notes.push(format!("not read, as only {read} are: {files}"));
        }
        if !self.empty.is_empty() {
            notes.push(format!("without images: {}", list(&mut self.empty)));
        }
        notes
    }
}

/// Names of the folders in `path`, sorted. Files are none of a class's.
pub(super) fn class_folders(path: &Path, beside: &mut Beside) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    for entry in visible_entries(path)? {
        if !is_folder(&entry)? {
            let (file, name) = (entry.path(), || entry.file_name().display().to_string());
            match is_read(&file) {
                true => beside.classless.push(name()),
                false => beside.unread.add(&extension(&file), name),
            }
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
        let found = match beside.classless.len() {
            0 => String::new(),
            images => format!("; it holds {images} images itself"),
        };
        let problem =
            format!("holds no classes: it needs one folder of images for each class{found}");
        return Err(DataError::malformed(path, problem));
    }
    names.sort();
    Ok(names)
}

/// Refuses a folder that holds a data set in parts, `train` and `val`, which are no classes.
pub(super) fn refuse_parts(
    path: &Path,
    found: &[String],
    purpose: Purpose,
) -> Result<(), DataError> {
    let called = |parts: &[&str]| {
        parts.iter().find_map(|part| found.iter().find(|name| name.eq_ignore_ascii_case(part)))
    };
    let (training, other) = (called(&TRAINING_PARTS), called(&OTHER_PARTS));
    let wanted = match purpose {
        Purpose::Training => training.or(other),
        Purpose::Validation => other.or(training),
    };
    let Some(wanted) = wanted else { return Ok(()) };
    let (parts, others): (Vec<&String>, Vec<&String>) =
        found.iter().partition(|name| is_part(name));
    if training.is_none() || other.is_none() {
        // A class may be called `train`, too. Then there are others, or images in its folder.
        if !others.is_empty() {
            return Ok(());
        }
        for name in &parts {
            if holds_images(&path.join(name))? {
                return Ok(());
            }
        }
    }
    let shown: Vec<String> = parts.iter().map(|name| format!("`{name}`")).collect();
    Err(DataError::malformed(
        path,
        format!(
            "holds {}, which are splits of a data set and not classes: give {} (if they are classes, list \
             them in `classes`)",
            shown.join(" and "),
            path.join(wanted).display()
        ),
    ))
}

/// The folders in a folder that are called as a data set's parts are: of training images, and of others. What
/// is not there is none.
pub(in super::super) fn parts_of(path: &Path) -> Result<[Option<PathBuf>; 2], DataError> {
    let mut names = Vec::new();
    for entry in visible_entries(path)? {
        if is_folder(&entry)? {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    let called = |parts: &[&str]| {
        let found =
            parts.iter().find_map(|part| names.iter().find(|name| name.eq_ignore_ascii_case(part)));
        found.map(|name| path.join(name))
    };
    Ok([called(&TRAINING_PARTS), called(&OTHER_PARTS)])
}

fn is_part(name: &str) -> bool {
    TRAINING_PARTS.iter().chain(&OTHER_PARTS).any(|part| part.eq_ignore_ascii_case(name))
}

/// Whether there are image files in a folder, not counting those in the folders in it.
fn holds_images(folder: &Path) -> Result<bool, DataError> {
    let entries = visible_entries(folder)?;
    Ok(entries.iter().any(|entry| is_read(&entry.path())))
}

/// Image files in `folder` and the folders in it, sorted by path. Other files are counted, by their names
/// in `root`.
pub(in super::super) fn images_under(
    folder: &Path,
    root: &Path,
    unread: &mut Unread,
) -> Result<Vec<PathBuf>, DataError> {
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
                continue;
            }
            let path = entry.path();
            if is_read(&path) {
                images.push(path);
            } else {
                let name = || path.strip_prefix(root).unwrap_or(&path).display().to_string();
                unread.add(&extension(&path), name);
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

/// Whether a file's extension is that of an image.
fn is_read(path: &Path) -> bool {
    EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(&extension(path)))
}

fn extension(path: &Path) -> Cow<'_, str> {
    path.extension().map_or(Cow::Borrowed(""), std::ffi::OsStr::to_string_lossy)
}
