//! What a kind of data set declares of itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::stored::Source;
use crate::error::{DataError, OnError};

/// The settings of a kind of data set, as an experiment gives them.
pub(crate) trait Settings {
    /// Opens the data set: checks its files, and finds out about classes and labels. What is damaged of it
    /// is left out if images are.
    fn open(&self, purpose: Purpose, on_error: OnError) -> Result<Arc<dyn Source>, DataError>;

    /// Whether a number stands for a class by its position in the list of classes.
    fn is_numbered(&self) -> bool;

    /// Every path with the field that it stands in.
    fn paths(&mut self) -> Vec<(String, &mut PathBuf)>;

    /// Whether the paths may be patterns of files.
    fn is_patterned(&self) -> bool {
        false
    }

    /// The data set that a path, or a pattern of paths, stands for by itself.
    fn of_path(_: &Path) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }

    /// Which paths these are, in words.
    fn path_in_words() -> Option<&'static str>
    where
        Self: Sized,
    {
        None
    }
}

/// What a data set is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its classes are those of the model.
    Training,
    /// Its classes are matched with those of the model, and need not all have images.
    Validation,
}

/// The paths of a list, each with its place in the field.
pub(super) fn listed<'a>(field: &str, paths: &'a mut [PathBuf]) -> Vec<(String, &'a mut PathBuf)> {
    let named = |(index, path)| (format!("{field}[{index}]"), path);
    paths.iter_mut().enumerate().map(named).collect()
}

/// Whether a path ends with an extension.
pub(crate) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}
