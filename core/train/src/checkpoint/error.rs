//! What can be wrong with a checkpoint.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::names::FORMAT;

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// There is none.
    #[error("{}: there is no checkpoint here: give a run's folder, its `best` or `last`, or a folder `step-...`", .0.display())]
    NotFound(PathBuf),
    /// Its content is not what was written.
    #[error("the checkpoint {} is damaged: {problem}", path.display())]
    Damaged {
        /// Its folder.
        path: PathBuf,
        /// Which file, and what is wrong with it.
        problem: String,
    },
    /// It cannot be used, whyever.
    #[error("{error}{}", offer(before.as_deref()))]
    Unusable {
        /// Why.
        error: Box<CheckpointError>,
        /// The newest whole checkpoint before it.
        before: Option<PathBuf>,
    },
    /// It was written by a newer program.
    #[error("{} has checkpoint format {found}, and this vitral reads up to {FORMAT}: use a newer vitral", path.display())]
    TooNew {
        /// Its folder.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It holds something else than the experiment describes.
    #[error("{} does not fit its own experiment: {problem}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
    /// A file of it.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn offer(before: Option<&Path>) -> String {
    match before {
        Some(path) => format!("; the one before it is whole: {}", path.display()),
        None => "; there is no whole one before it".into(),
    }
}
