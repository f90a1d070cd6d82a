//! Files that appear whole or not at all, each of which is named in an error.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use vitral_files::{Access, Existing, NewFile};

use crate::InterchangeError;

/// A new file that is written beside its place, and moved there when it is whole. One that is not finished
/// is removed.
pub(crate) struct Output {
    path: PathBuf,
    file: NewFile,
    written: u64,
}

impl Output {
    pub(crate) fn create(path: &Path) -> Result<Self, InterchangeError> {
        let file = NewFile::create(path, Existing::Refuse, Access::Usual);
        let file = file.map_err(InterchangeError::io(path))?;
        Ok(Self { path: path.into(), file, written: 0 })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), InterchangeError> {
        self.written += bytes.len() as u64;
        self.file.write_all(bytes).map_err(InterchangeError::io(&self.path))
    }

    /// Bytes written so far.
    pub(crate) const fn position(&self) -> u64 {
        self.written
    }

    /// Where it is written by others.
    pub(crate) fn file(&mut self) -> &mut NewFile {
        &mut self.file
    }

    /// Flushes the file to the disk, so that only moving it is left.
    pub(crate) fn flush(&mut self) -> Result<(), InterchangeError> {
        self.file.sync().map_err(InterchangeError::io(&self.path))
    }

    /// Moves the file to its place.
    pub(crate) fn finish(self) -> Result<u64, InterchangeError> {
        self.file.finish().map_err(InterchangeError::io(&self.path))?;
        Ok(self.written)
    }
}
