//! Where images come from. One file per kind of data set.

mod cifar;
mod classes;
mod groups;
mod idx;
mod image_folder;
mod matching;
mod parquet;
mod patterns;
mod positions;
mod unread;
mod web_dataset;

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cifar::Cifar;
use classes::Classes;
pub use groups::Groups;
pub use idx::Idx;
pub use image_folder::ImageFolder;
pub use matching::{ClassList, abridged, match_classes};
pub(crate) use matching::{TRAINING, Whose};
use parquet::Columns;
pub use parquet::Parquet;
use web_dataset::Parts;
pub use web_dataset::WebDataset;

use crate::cache::Cache;
use crate::decode::{decode, encoded_size};
use crate::error::{DataError, DecodeError, ReadError};
use crate::pixels::{Channels, Image, ImageView};
use crate::worker::OnError;

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
}

/// What [`Source::read`] gives where a source's [`load`](Source::load) does the work.
pub(crate) fn read_loaded(source: &dyn Source, index: usize) -> Result<Image, ReadError> {
    let mut buffer = Vec::new();
    let failed = |reason: String| ReadError { name: source.name(index), reason };
    let decoded = source.load(index, &mut buffer)?.decode();
    source.check_whole().map_err(|error| failed(error.to_string()))?;
    decoded.map_err(|error| failed(error.to_string()))
}

/// A data set on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum SourceConfig {
    /// A pair of IDX files, as MNIST and Fashion-MNIST come, plain or compressed with gzip.
    Idx {
        /// File with the images: bytes of shape [n, height, width] or [n, height, width, channels].
        #[serde(with = "vitral_config::path_text")]
        #[schemars(with = "PathBuf")]
        images: PathBuf,
        /// File with one byte per image, its class.
        #[serde(with = "vitral_config::path_text")]
        #[schemars(with = "PathBuf")]
        labels: PathBuf,
        /// Names of the classes in the order of their numbers. Without them, the numbers are the names.
        #[serde(default)]
        classes: Option<Vec<String>>,
    },
    /// A folder with one folder of images (JPEG, PNG, WebP) for each class.
    ImageFolder {
        /// The folder that holds the classes' folders.
        #[serde(with = "vitral_config::path_text")]
        #[schemars(with = "PathBuf")]
        path: PathBuf,
        /// The classes' folders in the order of their numbers. Without them, all folders by name.
        #[serde(default)]
        classes: Option<Vec<String>>,
    },
    /// CIFAR-10 in its binary version.
    Cifar10 {
        /// The files, such as data_batch_1.bin. Class names come from batches.meta.txt beside the first.
        #[serde(with = "vitral_config::path_text::list")]
        #[schemars(with = "Vec<PathBuf>")]
        files: Vec<PathBuf>,
    },
    /// CIFAR-100 in its binary version.
    Cifar100 {
        /// The files, such as train.bin. Class names come from fine_label_names.txt (or
        /// coarse_label_names.txt) beside the first.
        #[serde(with = "vitral_config::path_text::list")]
        #[schemars(with = "Vec<PathBuf>")]
        files: Vec<PathBuf>,
        /// Use the 20 coarse classes instead of the 100 fine ones.
        #[serde(default)]
        coarse: bool,
    },
    /// WebDataset: tar files whose samples are an image and its class, as in `7.jpg` and `7.cls`.
    WebDataset {
        /// The tar files: paths, `train-{000000..000009}.tar`, `train-*.tar`.
        #[serde(with = "vitral_config::path_text::list")]
        #[schemars(with = "Vec<PathBuf>")]
        shards: Vec<PathBuf>,
        /// Names of the classes in the order of their numbers. Without them, the names in the samples
        /// are sorted; where these have numbers, the numbers are the names.
        #[serde(default)]
        classes: Option<Vec<String>>,
        /// The extension of a sample's image, such as `jpg` or `input.jpg`. Without it, that of a JPEG,
        /// PNG or WebP file.
        #[serde(default)]
        image: Option<String>,
        /// The extension of the entry with a sample's class, such as `cls`, `target.json` or `txt`. Without
        /// it, `cls`, or else `json`. A `txt` is the name where classes are listed, and in validation, where
        /// they are those of the training; else it is a caption.
        #[serde(default)]
        label: Option<String>,
        /// The key of the class in a sample's `json`. With dots, the keys on the way to it.
        #[serde(default = "default_label_key")]
        label_key: String,
        /// Read the shards from start to end in a random order, as disks like it, and shuffle about as
        /// many images together; twice as many, encoded, are in memory. Without it, any image can come
        /// next, and each is read on its own.
        #[serde(default)]
        #[schemars(range(min = 1))]
        shuffle_buffer: Option<usize>,
    },
    /// Parquet files with image bytes, in the layout of the Hugging Face hub. They are read a row
    /// group at a time, in a random order.
    Parquet {
        /// The files: paths, or patterns such as `data/train-*.parquet`.
        #[serde(with = "vitral_config::path_text::list")]
        #[schemars(with = "Vec<PathBuf>")]
        files: Vec<PathBuf>,
        /// The classes in the order of their numbers; where the file names its numbers, a choice and
        /// order of those names. Without them, those in the file.
        #[serde(default)]
        classes: Option<Vec<String>>,
        /// The column of images: a struct with `bytes`, or bytes. Without it, the file says which.
        #[serde(default)]
        image: Option<String>,
        /// The column of classes: numbers or names. Without it, the file says which.
        #[serde(default)]
        label: Option<String>,
        /// About how many images are shuffled together, 4096 if not set; twice as many, encoded, are
        /// in memory.
        #[serde(default)]
        #[schemars(range(min = 1))]
        shuffle_buffer: Option<usize>,
    },
    /// A cache of any other data set, which `vitral data cache` makes.
    Cache {
        /// The cache's file.
        #[serde(with = "vitral_config::path_text")]
        #[schemars(with = "PathBuf")]
        path: PathBuf,
    },
}

/// What a data set is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its classes are those of the model.
    Training,
    /// Its classes are matched with those of the model, and need not all have images.
    Validation,
}

/// What the images of validation are called in messages.
pub(crate) const VALIDATION: &str = "the validation data";

fn default_label_key() -> String {
    "label".into()
}

impl SourceConfig {
    /// Opens the data set: checks its files, and finds out about classes and labels.
    ///
    /// # Errors
    /// If a file is missing, cannot be read or is malformed, or if there are no images.
    pub fn open(&self) -> Result<Arc<dyn Source>, DataError> {
        self.open_with(OnError::Stop)
    }

    /// Opens the data set; shards and row groups that are damaged are left out if images are. Which these
    /// are, [`Source::damaged`] says.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(&self, on_error: OnError) -> Result<Arc<dyn Source>, DataError> {
        self.open_for(Purpose::Training, on_error)
    }

    /// Opens the data set for validation. Its labels are positions in `classes`, which its own are
    /// matched with by name; without them, it has its own. What is damaged is left out as by
    /// [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// As [`open`](Self::open), and if there are images of a class that is not among `classes`.
    pub fn open_validation(
        &self,
        classes: Option<&ClassList>,
        on_error: OnError,
    ) -> Result<Arc<dyn Source>, DataError> {
        let source = self.open_for(Purpose::Validation, on_error)?;
        let whose = Whose { name: VALIDATION, numbered: self.is_numbered() };
        match classes {
            Some(classes) => classes.order(source, whose),
            None => Ok(source),
        }
    }

    /// Whether a number stands for a class by its position in the list of classes: the files have
    /// numbers, or the experiment lists the classes in the order of their numbers.
    pub fn is_numbered(&self) -> bool {
        match self {
            Self::Idx { .. } | Self::Cifar10 { .. } | Self::Cifar100 { .. } => true,
            Self::ImageFolder { classes, .. }
            | Self::WebDataset { classes, .. }
            | Self::Parquet { classes, .. } => classes.is_some(),
            Self::Cache { .. } => false,
        }
    }

    fn open_for(&self, purpose: Purpose, on_error: OnError) -> Result<Arc<dyn Source>, DataError> {
        Ok(match self {
            Self::Idx { images, labels, classes } => {
                Arc::new(Idx::open_with(images, labels, Classes::choose(classes.as_deref()))?)
            }
            Self::ImageFolder { path, classes } => Arc::new(ImageFolder::open_with(
                path,
                Classes::choose(classes.as_deref()),
                purpose,
            )?),
            Self::Cifar10 { files } => Arc::new(Cifar::open_10(files)?),
            Self::Cifar100 { files, coarse } => Arc::new(Cifar::open_100(files, *coarse)?),
            Self::WebDataset { shards, classes, image, label, label_key, shuffle_buffer } => {
                let parts = Parts {
                    image: image.as_deref(),
                    label: label.as_deref(),
                    label_key,
                    named_in_text: classes.is_some() || purpose == Purpose::Validation,
                };
                let (classes, buffer) = (Classes::choose(classes.as_deref()), *shuffle_buffer);
                Arc::new(WebDataset::open_with(shards, classes, parts, buffer, on_error)?)
            }
            Self::Parquet { files, classes, image, label, shuffle_buffer } => {
                let columns = Columns { image: image.as_deref(), label: label.as_deref() };
                let (classes, buffer) = (Classes::choose(classes.as_deref()), *shuffle_buffer);
                Arc::new(Parquet::open_with(files, classes, columns, buffer, on_error)?)
            }
            Self::Cache { path } => Arc::new(Cache::open(path)?),
        })
    }

    /// Makes relative paths start at a folder: the one that `base` gives for each of them, by the field
    /// that it stands in, as `path` or `shards[0]`.
    pub fn resolve_paths<'b>(&mut self, base: impl Fn(&str) -> &'b Path) {
        for (field, path) in self.paths() {
            *path = base(&field).join(&*path);
        }
    }

    /// Whether something is where each of its paths says, of patterns whether they match.
    pub fn is_there(&self) -> bool {
        let mut paths = self.clone();
        let paths: Vec<PathBuf> = paths.paths().into_iter().map(|(_, path)| path.clone()).collect();
        let files = if self.is_patterned() { patterns::expand("files", &paths) } else { Ok(paths) };
        files.is_ok_and(|files| files.iter().all(|file| file.exists()))
    }

    /// Every path with the field that it stands in.
    pub fn paths(&mut self) -> Vec<(String, &mut PathBuf)> {
        match self {
            Self::Idx { images, labels, .. } => {
                vec![("images".into(), images), ("labels".into(), labels)]
            }
            Self::ImageFolder { path, .. } | Self::Cache { path } => vec![("path".into(), path)],
            Self::WebDataset { shards, .. } => numbered("shards", shards),
            Self::Cifar10 { files }
            | Self::Cifar100 { files, .. }
            | Self::Parquet { files, .. } => numbered("files", files),
        }
    }

    /// Whether its paths may be patterns of files.
    fn is_patterned(&self) -> bool {
        matches!(self, Self::WebDataset { .. } | Self::Parquet { .. })
    }
}

/// The paths of a list, each with its place in the field.
fn numbered<'a>(field: &str, paths: &'a mut [PathBuf]) -> Vec<(String, &'a mut PathBuf)> {
    let named = |(index, path)| (format!("{field}[{index}]"), path);
    paths.iter_mut().enumerate().map(named).collect()
}

/// Data sets in the formats of others, which `tests/fixtures/sources/make.py` has written.
#[cfg(test)]
pub(crate) fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/sources").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn reads_from_ron() {
        let read = |text| ron::from_str::<SourceConfig>(text);
        let idx = SourceConfig::Idx { images: "a.gz".into(), labels: "b.gz".into(), classes: None };
        assert_eq!(read(r#"Idx(images: "a.gz", labels: "b.gz")"#).unwrap(), idx);
        let implicit =
            r#"#![enable(implicit_some)] ImageFolder(path: "x", classes: ["cat", "dog"])"#;
        let folder = SourceConfig::ImageFolder {
            path: "x".into(),
            classes: Some(vec!["cat".into(), "dog".into()]),
        };
        assert_eq!(read(implicit).unwrap(), folder);
        let cifar = SourceConfig::Cifar100 { files: vec!["train.bin".into()], coarse: false };
        assert_eq!(read(r#"Cifar100(files: ["train.bin"])"#).unwrap(), cifar);
        let shards = SourceConfig::WebDataset {
            shards: vec!["{0..9}.tar".into()],
            classes: None,
            image: None,
            label: None,
            label_key: "label".into(),
            shuffle_buffer: None,
        };
        assert_eq!(read(r#"WebDataset(shards: ["{0..9}.tar"])"#).unwrap(), shards);
        assert!(read(r#"Parquet(files: ["data/train-*.parquet"])"#).is_ok());
        assert!(read(r#"ImageFolder(path: "x", class: [])"#).is_err());
    }

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

    #[test]
    fn relative_paths_start_at_the_base_and_absolute_ones_stay() {
        let mut config =
            SourceConfig::Idx { images: "data/a".into(), labels: "/b".into(), classes: None };
        config.resolve_paths(|_| Path::new("/home/me"));
        let SourceConfig::Idx { images, labels, .. } = config else {
            unreachable!("it is still an Idx");
        };
        assert_eq!((images, labels), ("/home/me/data/a".into(), "/b".into()));
    }

    #[test]
    fn each_path_can_start_elsewhere() {
        let mut config = SourceConfig::Cifar10 { files: vec!["a".into(), "b".into()] };
        config.resolve_paths(|field| Path::new(if field == "files[1]" { "/x" } else { "/y" }));
        assert_eq!(config, SourceConfig::Cifar10 { files: vec!["/y/a".into(), "/x/b".into()] });
    }
}
