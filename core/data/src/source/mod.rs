//! Where images come from. One file per kind of data set, with what can be set of it.

mod cifar;
mod classes;
mod config;
mod groups;
mod idx;
mod image_files;
mod image_folder;
mod matching;
mod parquet;
mod patterns;
mod positions;
mod settings;
mod split;
mod stored;
mod unread;
mod web_dataset;

pub use cifar::{Cifar, Cifar10Config, Cifar100Config};
pub(crate) use config::VALIDATION;
pub use config::{SourceConfig, parts_of_folder};
pub use groups::Groups;
pub use idx::{Idx, IdxConfig};
pub use image_files::ImageFiles;
pub use image_folder::{ImageFolder, ImageFolderConfig};
pub use matching::{ClassList, abridged, match_classes};
pub(crate) use matching::{TRAINING, Whose};
pub use parquet::{Parquet, ParquetConfig};
pub(crate) use settings::{Purpose, Settings, has_extension};
pub(crate) use split::Side;
pub use split::{Part, SplitConfig};
pub(crate) use stored::read_loaded;
pub use stored::{Source, Stored};
pub use web_dataset::{WebDataset, WebDatasetConfig};

/// Data sets in the formats of others, which `tests/fixtures/sources/make.py` has written.
#[cfg(test)]
pub(crate) fn fixtures(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/sources").join(name)
}
