//! Why a file cannot be read or written.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a model cannot go in or out.
#[derive(Debug, thiserror::Error)]
pub enum InterchangeError {
    /// The system could not read or write a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is damaged, or not of the format that it claims.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong and, if something is, what would be right.
        problem: String,
    },
    /// The model has something that the format has no place for.
    #[error("{format} has no place for {what}")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// The part of the model, with the field of `model` that turns it on.
        what: String,
    },
}

impl InterchangeError {
    /// An I/O error on a file.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}
