//! Writing files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::{PathPersistError, TempPath};

use crate::descriptor::{open_regular, without_links};
use crate::existing::Existing;
use crate::kind::Kind;
use crate::leftover::{builder, cause, clear, hold};
use crate::place::{check_free, folder_of, taken};
use crate::read::within;
use crate::sync::sync_folder_of;

/// Who may do what with a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// What the user's settings give.
    Usual,
    /// Others may read it at most.
    Shared,
    /// Nobody else may do anything.
    Private,
}

impl Access {
    /// Who may do what with a new file, as far as the user's settings allow it.
    #[cfg(unix)]
    pub(crate) fn mode(self) -> u32 {
        match self {
            Self::Usual => 0o666,
            Self::Shared => 0o644,
            Self::Private => 0o600,
        }
    }

    /// Makes a file that is not there: one that is, or a link, is an error.
    pub(crate) fn create(self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, self.mode());
        without_links(&mut options).open(path)
    }
}

/// A file that is written beside its place under a random name, and moved there when it is whole. One
/// that is not finished is removed.
#[derive(Debug)]
pub struct NewFile {
    file: BufWriter<File>,
    temporary: TempPath,
    path: PathBuf,
    existing: Existing,
}

impl NewFile {
    /// Begins a file that is to be at `path`.
    ///
    /// # Errors
    /// The file cannot or may not go there, or the system does not make one beside it.
    pub fn create(path: &Path, existing: Existing, access: Access) -> io::Result<Self> {
        check_free(path, existing, false)?;
        let folder = folder_of(path);
        clear(folder);
        let (file, temporary) = loop {
            let create = |path: &Path| access.create(path);
            let (file, temporary) = builder().make_in(folder, create).map_err(cause)?.into_parts();
            if hold(&file) {
                break (BufWriter::with_capacity(1 << 20, file), temporary);
            }
        };
        Ok(Self { file, temporary, path: path.into(), existing })
    }

    /// What the system says of the file.
    ///
    /// # Errors
    /// The system does not say it.
    pub fn metadata(&self) -> io::Result<fs::Metadata> {
        self.file.get_ref().metadata()
    }

    /// Has the disk keep what was written, so that only moving it is left.
    ///
    /// # Errors
    /// The system does not write it.
    pub fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.get_ref().sync_all()
    }

    /// Moves the file, flushed to the disk, to its place.
    ///
    /// # Errors
    /// The system does not write or move it. Then nothing is left of it.
    pub fn finish(mut self) -> io::Result<()> {
        self.sync()?;
        check_free(&self.path, self.existing, false)?;
        let moved = match self.existing {
            Existing::Replace | Existing::ReplaceFile => self.temporary.persist(&self.path),
            Existing::Refuse => self.temporary.persist_noclobber(&self.path),
        };
        moved.map_err(|PathPersistError { error, .. }| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(),
            _ => error,
        })?;
        sync_folder_of(&self.path)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for NewFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

/// Writes a file that appears whole or not at all.
///
/// # Errors
/// The file cannot or may not go there, or the system does not write it.
pub fn write(path: &Path, content: &[u8], existing: Existing, access: Access) -> io::Result<()> {
    let mut file = NewFile::create(path, existing, access)?;
    file.write_all(content)?;
    file.finish()
}

/// Writes a file into a folder that is being made, and flushes it to the disk: it is written in its place,
/// where nothing may be.
///
/// # Errors
/// There is something of that name, or the system does not write it. Then nothing is left of it.
pub fn write_new(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let mut file = access.create(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.inspect_err(|_| {
        // It was made just now.
        let _ = fs::remove_file(path);
    })
}

/// Opens a file to add to it, and makes it if it is not there.
///
/// # Errors
/// It is a link or no regular file, has another name, or the system does not open it.
pub fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    without_links(options.append(true).create(true));
    with_one_name(open_regular(path, &options)?.0)
}

/// Opens a file to read and to change it in its place, and makes it if it is not there.
///
/// # Errors
/// It is a link, no regular file or larger than its kind may be, has another name, or the system does not open
/// it.
pub fn update(path: &Path, kind: Kind) -> io::Result<File> {
    let mut options = OpenOptions::new();
    without_links(options.read(true).write(true).create(true).truncate(false));
    with_one_name(within(kind, open_regular(path, &options)?)?.0)
}

/// A file that no other name leads to, as one that somebody has given it (a hard link) would.
fn with_one_name(file: File) -> io::Result<File> {
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) > 1 {
        let problem =
            "it has another name, too (a hard link), and what is there would change with it";
        return Err(io::Error::other(problem));
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
