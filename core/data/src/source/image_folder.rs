//! A folder with one folder of image files per class, as ImageNet is usually laid out.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::hash::Hasher;
use std::path::{Path, PathBuf};

use vitral_files::Kind;

use super::classes::Classes;
use super::matching::abridged;
use super::unread::{FILES, Unread};
use super::{Purpose, Source, Stored};
use crate::decode::decode;
use crate::error::{DataError, ReadError};
use crate::pixels::{Image, MAX_IMAGE_BYTES};

/// Extensions of files that are read, in lower case.
pub(super) const EXTENSIONS: [&str; 7] = ["jpg", "jpeg", "jpe", "jfif", "jif", "png", "webp"];

/// Images outside of the classes' folders that are named.
const NAMED: usize = 3;

/// What folders of training images are called where a data set is in parts.
const TRAINING_PARTS: [&str; 2] = ["train", "training"];
/// What folders of other images are called there.
const OTHER_PARTS: [&str; 7] = ["val", "valid", "validation", "dev", "eval", "test", "testing"];

/// Folders in folders that are followed. More are taken for a link that leads back up.
const MAX_DEPTH: usize = 32;

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
                "the folder `{extra}` is not among the classes that are listed: {}; the folders: {}",
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

/// What a folder has beside the images of its classes.
#[derive(Default)]
struct Beside {
    /// Files with extensions that are not read.
    unread: Unread,
    /// Images in the folder itself.
    classless: Vec<String>,
    /// Folders without images.
    empty: Vec<String>,
}

impl Beside {
    fn no_images(&self) -> String {
        let found = self.unread.describe(FILES).map(|files| format!("; not read are {files}"));
        format!("holds no images ({}){}", EXTENSIONS.join(", "), found.unwrap_or_default())
    }

    fn notes(mut self) -> Vec<String> {
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

fn read_limited(path: &Path, bytes: &mut Vec<u8>) -> Result<(), String> {
    vitral_files::read_into(path, Kind::IMAGE.at_most(MAX_IMAGE_BYTES), bytes)
        .map_err(|error| error.to_string())
}

/// Names of the folders in `path`, sorted. Files are none of a class's.
fn class_folders(path: &Path, beside: &mut Beside) -> Result<Vec<String>, DataError> {
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
            images => format!("; it has {images} images itself"),
        };
        let problem =
            format!("holds no classes: it needs one folder of images for each class{found}");
        return Err(DataError::malformed(path, problem));
    }
    names.sort();
    Ok(names)
}

/// Refuses a folder that holds a data set in parts, `train` and `val`, which are no classes.
fn refuse_parts(path: &Path, found: &[String], purpose: Purpose) -> Result<(), DataError> {
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
fn images_under(
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
    fn what_is_not_read_is_counted_by_extension_and_named() {
        let folder = animals();
        for (number, extension) in ["jfif", "JPE", "jif"].into_iter().enumerate() {
            let path = folder.path().join(format!("dog/{number}.{extension}"));
            RgbImage::new(2, 2).save_with_format(path, image::ImageFormat::Jpeg).unwrap();
        }
        for name in ["cat/b1.bmp", "dog/deeper/b2.BMP", "cat/README"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        let source = ImageFolder::open(folder.path(), None).unwrap();
        assert_eq!(source.len(), 6);
        assert_eq!(source.read(1).unwrap().width(), 2);
        let [classless, unread] = source.notes() else { panic!("{:?}", source.notes()) };
        assert!(classless.starts_with("1 image is in no class's folder"), "{classless}");
        assert!(classless.ends_with(": stray.png"), "{classless}");
        for part in ["4 files: 2 .bmp (", "1 .txt (cat/notes.txt)", "1 without an extension (cat/R"]
        {
            assert!(unread.contains(part), "{part}: {unread}");
        }
        assert!(!unread.contains(".hidden") && !unread.contains(".trash"), "{unread}");
    }

    #[test]
    fn a_listed_class_without_images_is_told() {
        let folder = animals();
        fs::create_dir(folder.path().join("emu")).unwrap();
        let listed = names(&["cat", "dog", "emu"]);
        let source = ImageFolder::open(folder.path(), Some(&listed)).unwrap();
        assert!(source.notes().contains(&"without images: emu".into()), "{:?}", source.notes());
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
        assert!(empty.contains("cat: holds no images (jpg, jpeg, jpe, "), "{empty}");
        fs::write(folder.path().join("cat/a.bmp"), b"BM").unwrap();
        let other = message(folder.path());
        assert!(other.ends_with("; not read are 1 file: 1 .bmp (cat/a.bmp)"), "{other}");
        assert!(message(&folder.path().join("nowhere")).contains("nowhere"));
    }

    #[test]
    fn parts_of_a_data_set_are_not_classes() {
        let refused = |paths: &[&str], purpose: Purpose| {
            let folder = TempDir::new().unwrap();
            paths.iter().for_each(|path| save(&folder, path, 0));
            let opened = ImageFolder::open_with(folder.path(), Classes::Found, purpose);
            opened.err().map(|error| error.to_string())
        };
        let both = ["train/cat/a.png", "val/cat/a.png", "test/a.png"];
        for (purpose, wanted) in [(Purpose::Training, "train"), (Purpose::Validation, "val")] {
            let said = refused(&both, purpose).unwrap();
            assert!(said.contains("holds `test` and `train` and `val`"), "{said}");
            assert!(said.contains(&format!("/{wanted} (if")), "{said}");
        }
        assert!(refused(&["Train/a.png", "validation/a.png"], Purpose::Training).is_some());
        assert!(refused(&["train/cat/a.png"], Purpose::Training).is_some());
        for classes in
            [&["train/a.png", "bus/a.png"][..], &["train/a.png"], &["test/x/a.png", "b/a.png"]]
        {
            assert_eq!(refused(classes, Purpose::Training), None);
        }
        let folder = TempDir::new().unwrap();
        both.iter().for_each(|path| save(&folder, path, 0));
        let listed = names(&["train", "val", "test"]);
        assert_eq!(ImageFolder::open(folder.path(), Some(&listed)).unwrap().len(), 3);
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
