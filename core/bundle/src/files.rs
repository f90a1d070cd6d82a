//! Reading files with a limit, and writing them so that they appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::error::BundleError;

/// Reads a regular file of at most `most` bytes. Links are not followed.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, BundleError> {
    let at = |error| BundleError::io("read", path, error);
    let kind = fs::symlink_metadata(path).map_err(at)?.file_type();
    if !kind.is_file() {
        return Err(at(io::Error::other("it is not a regular file")));
    }
    read_limited(path, most)
}

/// Reads a file of at most `most` bytes that the user named.
pub(crate) fn read_limited(path: &Path, most: u64) -> Result<Vec<u8>, BundleError> {
    let at = |error| BundleError::io("read", path, error);
    let mut content = Vec::new();
    let file = File::open(path).map_err(at)?;
    file.take(most.saturating_add(1)).read_to_end(&mut content).map_err(at)?;
    match content.len() as u64 <= most {
        true => Ok(content),
        false => Err(at(io::Error::other(format!("it has more than {most} bytes")))),
    }
}

/// Who may do what with a file that is written.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// What the user's settings give.
    Usual,
    /// Others may read it at most.
    Shared,
    /// Nobody else may do anything.
    Private,
}

impl Mode {
    fn options(self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            match self {
                Self::Usual => &mut options,
                Self::Shared => options.mode(0o644),
                Self::Private => options.mode(0o600),
            };
        }
        options
    }
}

/// Writes a file beside its place, flushes it to the disk, and moves it there.
pub(crate) fn write_atomically(path: &Path, content: &[u8], mode: Mode) -> Result<(), BundleError> {
    let at = |error| BundleError::io("write", path, error);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let create = |path: &Path| mode.options().open(path);
    let mut file =
        tempfile::Builder::new().prefix(".writing-").make_in(folder, create).map_err(at)?;
    file.write_all(content).map_err(at)?;
    file.as_file().sync_all().map_err(at)?;
    file.persist(path).map_err(|error| at(error.error))?;
    sync_folder(folder)
}

/// Writes a file that must not be there yet, and flushes it to the disk. It is there whole or not
/// at all, but for a kill.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: Mode) -> Result<(), BundleError> {
    let at = |error| BundleError::io("write", path, error);
    let mut file = mode.options().open(path).map_err(at)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.map_err(at).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

/// Makes a folder, and those above it, for this user alone.
pub(crate) fn create_private_folder(path: &Path) -> Result<(), BundleError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| BundleError::io("write", path, error))
}

/// Flushes a folder's entries to the disk, where the system can.
pub(crate) fn sync_folder(path: &Path) -> Result<(), BundleError> {
    let sync = || if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) };
    sync().map_err(|error| BundleError::io("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_atomically(&path, b"one", Mode::Usual).unwrap();
        write_atomically(&path, b"two", Mode::Usual).unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_that_are_too_long_or_not_regular_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_new(&path, b"four", Mode::Shared).unwrap();
        assert!(read(&path, 3).unwrap_err().to_string().contains("more than 3 bytes"));
        assert!(read(folder.path(), 3).unwrap_err().to_string().contains("regular"));
        assert!(write_new(&path, b"again", Mode::Shared).is_err());
    }
}
