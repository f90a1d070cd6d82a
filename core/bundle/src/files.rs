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

/// Writes a file beside its place, flushes it to the disk, and moves it there.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), BundleError> {
    let at = |error| BundleError::io("write", path, error);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The system's default permissions, rather than those of a secret temporary file.
    let create = |path: &Path| OpenOptions::new().write(true).create_new(true).open(path);
    let mut file =
        tempfile::Builder::new().prefix(".writing-").make_in(folder, create).map_err(at)?;
    file.write_all(content).map_err(at)?;
    file.as_file().sync_all().map_err(at)?;
    file.persist(path).map_err(|error| at(error.error))?;
    sync_folder(folder)
}

/// Writes a file that must not be there yet, and flushes it to the disk.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<(), BundleError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| BundleError::io("write", path, error))
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
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_that_are_too_long_or_not_regular_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_new(&path, b"four").unwrap();
        assert!(read(&path, 3).unwrap_err().to_string().contains("more than 3 bytes"));
        assert!(read(folder.path(), 3).unwrap_err().to_string().contains("regular"));
        assert!(write_new(&path, b"again").is_err());
    }
}
