//! Files that appear whole or not at all.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::InterchangeError;

/// A file that is written beside its place, and moved there when it is whole. One that is not finished
/// is removed.
pub(crate) struct Output {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<BufWriter<File>>,
    written: u64,
}

impl Output {
    pub(crate) fn create(path: &Path) -> Result<Self, InterchangeError> {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".writing");
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(InterchangeError::io(&temporary))?;
        let file = Some(BufWriter::with_capacity(1 << 20, file));
        Ok(Self { path: path.into(), temporary, file, written: 0 })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), InterchangeError> {
        self.written += bytes.len() as u64;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(InterchangeError::io(&self.temporary))
    }

    /// Bytes written so far.
    pub(crate) const fn position(&self) -> u64 {
        self.written
    }

    /// Flushes the file to the disk, so that only moving it is left.
    pub(crate) fn flush(&mut self) -> Result<(), InterchangeError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.flush()
            .and_then(|()| file.get_ref().sync_all())
            .map_err(InterchangeError::io(&self.temporary))
    }

    /// Moves the file to its place.
    pub(crate) fn finish(mut self) -> Result<u64, InterchangeError> {
        self.flush()?;
        self.file = None;
        fs::rename(&self.temporary, &self.path).map_err(InterchangeError::io(&self.path))?;
        sync_folder(self.path.parent()).map_err(InterchangeError::io(&self.path))?;
        Ok(self.written)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // There is nobody to tell, and nothing else to do.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Flushes a folder's entries to the disk, where the system can.
pub(crate) fn sync_folder(folder: Option<&Path>) -> io::Result<()> {
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    if cfg!(unix) { File::open(folder.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}
