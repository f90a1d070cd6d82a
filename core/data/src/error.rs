//! What can go wrong with data. Every message names the file or the setting, and what would be right.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to do when an image cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnError {
    /// Stop with an error that names the image, the shard or the row group.
    #[default]
    Stop,
    /// Leave it out and report it.
    Skip,
}

/// Why data could not be opened or a batch could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The system refused to open or read a file or folder.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system refused to write a file.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file or folder can be read, but is not what its source expects.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// A part of a data set, such as a shard, is damaged or cut short, and the run is to stop at such.
    #[error("{}: {problem}; with `data.on_error: Skip`, the part that cannot be read is left \
             out", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An image's class cannot be used.
    #[error("{image}: {problem}")]
    Label {
        /// The image, as its source names it.
        image: String,
        /// What is wrong with its class, and what was expected.
        problem: String,
    },
    /// A setting has a value that cannot work.
    #[error("{setting}: {problem}")]
    Setting {
        /// The setting's name as it is written in an experiment.
        setting: String,
        /// What is wrong with its value, and what would be right.
        problem: String,
    },
    /// Two sets of classes that are to be the same are not. The message has both.
    #[error("{0}")]
    Classes(String),
    /// One sample could not be read.
    #[error(transparent)]
    Sample(#[from] ReadError),
    /// One sample could not be read, and batches are to stop at such samples.
    #[error("{0}; with `data.on_error: Skip`, such images are left out and counted")]
    Stopped(ReadError),
    /// Unreadable samples are skipped, but a whole batch consisted of them.
    #[error("batch {batch}: none of its {count} images can be read; the first: {first}")]
    EmptyBatch {
        /// Number of the batch, from the start of the run.
        batch: u64,
        /// How many images it should have had.
        count: usize,
        /// Why its first image cannot be read.
        first: ReadError,
    },
    /// The images of one batch do not fit into memory.
    #[error(
        "a batch of {count} images needs {bytes} bytes, which cannot be allocated; use a smaller batch"
    )]
    BatchMemory {
        /// Images in the batch.
        count: usize,
        /// Bytes they need.
        bytes: usize,
    },
    /// A worker thread panicked outside of any one sample. This is an error in this program.
    #[error("a data worker failed unexpectedly: {0}")]
    Worker(String),
}

impl DataError {
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }

    pub(crate) fn write(path: &Path, error: io::Error) -> Self {
        Self::Write { path: path.to_owned(), error }
    }

    pub(crate) fn malformed(path: &Path, problem: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn setting(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setting { setting: setting.into(), problem: problem.into() }
    }
}

/// Why one sample of a source could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {name}: {reason}")]
pub struct ReadError {
    /// The sample, as its source names it: a path, or a path and a number.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why some bytes are not an image that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub(crate) String);

/// Why a transform could not be applied to an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransformError(pub(crate) String);

impl From<TransformError> for DecodeError {
    /// A stage that was worked out while decoding cannot be applied.
    fn from(error: TransformError) -> Self {
        Self(error.0)
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason")
}
