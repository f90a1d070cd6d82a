//! Why a model cannot go in or out.

use std::{
    fmt, io,
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
    /// A file is whole, but holds no model that there is a place for.
    #[error("{}: {problem}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong and, if something is, what would be right.
        problem: String,
    },
    /// The tensors are not those of the model.
    #[error("{}: the tensors are not those of {model}\n{mismatches}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The model that they were compared with.
        model: String,
        /// Every difference.
        mismatches: Mismatches,
    },
    /// The model has something that the format has no place for.
    #[error("{format} has no place for {what}")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// The part of the model, with the field of `model` that turns it on.
        what: String,
    },
    /// A file that was written could not be compared with the model.
    #[error("{}: {problem}", path.display())]
    Unverified {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
}

impl InterchangeError {
    /// An I/O error on a file.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// The same error where a folder will be that is being made in another place.
    pub(crate) fn in_place_of(self, made: &Path, place: &Path) -> Self {
        match self {
            Self::Io { path, source } => {
                let path = path.strip_prefix(made).map(|part| place.join(part)).unwrap_or(path);
                Self::Io { path, source }
            }
            error => error,
        }
    }
}

/// Every difference between the tensors that are there and those that a model has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatches {
    /// Tensors that the model has and the file lacks, with the shape that they would have.
    pub missing: Vec<(String, Vec<usize>)>,
    /// Tensors that the model has no place for, with their shape.
    pub unexpected: Vec<(String, Vec<usize>)>,
    /// Tensors of another shape: what the file has, and what the model has.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatches {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.shapes.is_empty()
    }
}

impl fmt::Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing =
            self.missing.iter().map(|(name, shape)| format!("missing     {name} {shape:?}"));
        let unexpected =
            self.unexpected.iter().map(|(name, shape)| format!("unexpected  {name} {shape:?}"));
        let shapes = self.shapes.iter().map(|(name, found, wanted)| {
            format!("shape       {name} is {found:?}, but would be {wanted:?}")
        });
        let lines: Vec<String> = missing.chain(unexpected).chain(shapes).collect();
        f.write_str("  ")?;
        f.write_str(&lines.join("\n  "))
    }
}
