//! The data sets that an experiment can name. Each is declared here in one line; what can be set of it,
//! and how it is opened, is in its own file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cifar::{Cifar10Config, Cifar100Config};
use super::idx::IdxConfig;
use super::image_folder::{ImageFolderConfig, parts_of};
use super::matching::{ClassList, Whose};
use super::parquet::ParquetConfig;
use super::patterns;
use super::settings::{Purpose, Settings};
use super::split::SplitConfig;
use super::stored::Source;
use super::web_dataset::WebDatasetConfig;
use crate::cache::CacheConfig;
use crate::error::{DataError, OnError};

macro_rules! sources {
    ($($(#[$doc:meta])* $name:ident($settings:ty),)+) => {
        /// A data set on disk.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum SourceConfig {
            $($(#[$doc])* $name($settings),)+
        }

        impl SourceConfig {
            fn settings(&self) -> &dyn Settings {
                match self {
                    $(Self::$name(settings) => settings,)+
                }
            }

            fn settings_mut(&mut self) -> &mut dyn Settings {
                match self {
                    $(Self::$name(settings) => settings,)+
                }
            }

            /// The data set that a path, or a pattern of paths, stands for by itself.
            pub fn of_path(path: &Path) -> Option<Self> {
                None$(.or_else(|| <$settings>::of_path(path).map(Self::$name)))+
            }

            /// Which paths stand for a data set by themselves, in words.
            pub fn paths_in_words() -> Vec<&'static str> {
                [$(<$settings>::path_in_words()),+].into_iter().flatten().collect()
            }
        }
    };
}

sources! {
    /// A pair of IDX files, as MNIST and Fashion-MNIST come, plain or compressed with gzip.
    Idx(IdxConfig),
    /// A folder with one folder of images (JPEG, PNG, WebP) for each class.
    ImageFolder(ImageFolderConfig),
    /// CIFAR-10 in its binary version.
    Cifar10(Cifar10Config),
    /// CIFAR-100 in its binary version.
    Cifar100(Cifar100Config),
    /// WebDataset: tar files whose samples are an image and its class, as in `7.jpg` and `7.cls`.
    WebDataset(WebDatasetConfig),
    /// Parquet files with image bytes, in the layout of the Hugging Face hub. They are read a row
    /// group at a time, in a random order.
    Parquet(ParquetConfig),
    /// A cache of any other data set, which `vitral data cache` makes.
    Cache(CacheConfig),
    /// For validation, a share of the training images, which are then not trained with: `Split(0.1)` holds a
    /// tenth of each class back, always the same images, whatever the seed.
    Split(SplitConfig<SourceConfig>),
}

/// What the images of validation are called in messages.
pub(crate) const VALIDATION: &str = "the validation data";

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
        self.settings().open(Purpose::Training, on_error)
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
        let source = self.settings().open(Purpose::Validation, on_error)?;
        let whose = Whose { name: VALIDATION, numbered: self.is_numbered() };
        match classes {
            Some(classes) => classes.order(source, whose),
            None => Ok(source),
        }
    }

    /// Whether a number stands for a class by its position in the list of classes: the files have
    /// numbers, or the experiment lists the classes in the order of their numbers.
    pub fn is_numbered(&self) -> bool {
        self.settings().is_numbered()
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
        let files = if self.settings().is_patterned() {
            patterns::expand("files", &paths)
        } else {
            Ok(paths)
        };
        files.is_ok_and(|files| files.iter().all(|file| file.exists()))
    }

    /// Every path with the field that it stands in.
    pub fn paths(&mut self) -> Vec<(String, &mut PathBuf)> {
        self.settings_mut().paths()
    }
}

/// The share that is held back where a folder has no images for validation.
const USUAL_SHARE: f64 = 0.1;

/// What a folder of images stands for: those in its `train` and its `val` (or what else such folders are
/// called); where it has the one alone, or folders of classes, a tenth of them is held back.
///
/// # Errors
/// The folder cannot be read, or has images for validation alone.
pub fn parts_of_folder(path: &Path) -> Result<(SourceConfig, SourceConfig), DataError> {
    let folder =
        |path: PathBuf| SourceConfig::ImageFolder(ImageFolderConfig { path, classes: None });
    let held_back = SourceConfig::Split(SplitConfig::from(USUAL_SHARE));
    match parts_of(path)? {
        [Some(train), Some(val)] => Ok((folder(train), folder(val))),
        [Some(train), None] => Ok((folder(train), held_back)),
        [None, None] => Ok((folder(path.to_owned()), held_back)),
        [None, Some(val)] => {
            let name = val.file_name().unwrap_or_default().display();
            let problem = format!("holds `{name}`, but no folder `train` beside it");
            Err(DataError::malformed(path, problem))
        }
    }
}

impl Settings for SourceConfig {
    fn open(&self, purpose: Purpose, on_error: OnError) -> Result<Arc<dyn Source>, DataError> {
        self.settings().open(purpose, on_error)
    }

    fn is_numbered(&self) -> bool {
        self.settings().is_numbered()
    }

    fn paths(&mut self) -> Vec<(String, &mut PathBuf)> {
        self.settings_mut().paths()
    }

    fn is_patterned(&self) -> bool {
        self.settings().is_patterned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitral_config::Document;

    #[test]
    fn reads_from_ron() {
        let read = |text: &str| Document::new("test", text).parse::<SourceConfig>();
        let idx = SourceConfig::Idx(IdxConfig {
            images: "a.gz".into(),
            labels: "b.gz".into(),
            classes: None,
        });
        assert_eq!(read(r#"Idx(images: "a.gz", labels: "b.gz")"#).unwrap(), idx);
        let implicit = r#"ImageFolder(path: "x", classes: ["cat", "dog"])"#;
        let folder = SourceConfig::ImageFolder(ImageFolderConfig {
            path: "x".into(),
            classes: Some(vec!["cat".into(), "dog".into()]),
        });
        assert_eq!(read(implicit).unwrap(), folder);
        let cifar = SourceConfig::Cifar100(Cifar100Config {
            files: vec!["train.bin".into()],
            coarse: false,
        });
        assert_eq!(read(r#"Cifar100(files: ["train.bin"])"#).unwrap(), cifar);
        let shards = SourceConfig::WebDataset(WebDatasetConfig {
            shards: vec!["{0..9}.tar".into()],
            classes: None,
            image: None,
            label: None,
            label_key: "label".into(),
            shuffle_buffer: None,
        });
        assert_eq!(read(r#"WebDataset(shards: ["{0..9}.tar"])"#).unwrap(), shards);
        assert!(read(r#"Parquet(files: ["data/train-*.parquet"])"#).is_ok());
        assert!(read(r#"ImageFolder(path: "x", class: [])"#).is_err());
    }

    #[test]
    fn relative_paths_start_at_the_base_and_absolute_ones_stay() {
        let mut config = SourceConfig::Idx(IdxConfig {
            images: "data/a".into(),
            labels: "/b".into(),
            classes: None,
        });
        config.resolve_paths(|_| Path::new("/home/me"));
        let SourceConfig::Idx(IdxConfig { images, labels, .. }) = config else {
            unreachable!("it is still an Idx");
        };
        assert_eq!((images, labels), ("/home/me/data/a".into(), "/b".into()));
    }

    #[test]
    fn each_path_can_start_elsewhere() {
        let mut config =
            SourceConfig::Cifar10(Cifar10Config { files: vec!["a".into(), "b".into()] });
        config.resolve_paths(|field| Path::new(if field == "files[1]" { "/x" } else { "/y" }));
        assert_eq!(
            config,
            SourceConfig::Cifar10(Cifar10Config { files: vec!["/y/a".into(), "/x/b".into()] })
        );
    }

    #[test]
    fn some_paths_stand_for_a_data_set() {
        let found = |path: &str| SourceConfig::of_path(Path::new(path));
        let parsed = |text: &str| Some(Document::new("test", text).parse().unwrap());
        assert_eq!(found("a-{0..9}.tar"), parsed(r#"WebDataset(shards: ["a-{0..9}.tar"])"#));
        assert_eq!(found("a.parquet"), parsed(r#"Parquet(files: ["a.parquet"])"#));
        assert_eq!(found("a.vcache"), parsed(r#"Cache(path: "a.vcache")"#));
        let folder = env!("CARGO_MANIFEST_DIR");
        assert_eq!(found(folder), parsed(&format!("ImageFolder(path: {folder:?})")));
        assert_eq!(found("a.bin"), None);
        let words = ["a folder of class folders", ".tar", ".parquet", ".vcache"];
        assert_eq!(SourceConfig::paths_in_words(), words);
    }

    #[test]
    fn a_folder_stands_for_what_is_in_it() {
        let found = |folders: &[&str]| {
            let root = tempfile::tempdir().unwrap();
            folders.iter().for_each(|name| std::fs::create_dir(root.path().join(name)).unwrap());
            let found = parts_of_folder(root.path()).map_err(|error| error.to_string())?;
            let name = |config| match config {
                SourceConfig::ImageFolder(folder) => {
                    folder.path.strip_prefix(root.path()).unwrap().display().to_string()
                }
                SourceConfig::Split(split) => split.share.to_string(),
                _ => unreachable!("a folder is none of the others"),
            };
            Ok::<_, String>([name(found.0), name(found.1)])
        };
        assert_eq!(found(&["val", "train", "test"]).unwrap(), ["train", "val"]);
        assert_eq!(found(&["Training", "test"]).unwrap(), ["Training", "test"]);
        assert_eq!(found(&["train", "notes"]).unwrap(), ["train", "0.1"]);
        assert_eq!(found(&["cat", "dog"]).unwrap(), ["", "0.1"]);
        assert!(found(&["val", "cat"]).unwrap_err().contains("no folder `train` beside it"));
    }
}
