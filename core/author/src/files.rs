//! Files and folders.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use vitral_files::{Access, Existing, Kind};

use crate::AuthorError;

/// A file's bytes.
pub(crate) fn read(path: &Path, kind: Kind) -> Result<Vec<u8>, AuthorError> {
    vitral_files::read(path, kind).map_err(AuthorError::io("read", path))
}

/// Writes a file, and the folder that it is in. The file appears whole or not at all.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), AuthorError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(AuthorError::io("make", folder))?;
    let written = vitral_files::write(path, content, Existing::Replace, Access::Usual);
    written.map_err(AuthorError::io("write", path))
}

/// What is in a folder, by name; nothing if it is not there.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, AuthorError> {
    let list = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        list => list.map_err(AuthorError::io("read", folder))?,
    };
    let paths = list.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = paths.map_err(AuthorError::io("read", folder))?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_files_replace_and_are_listed_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        for (name, content) in [("2", "x"), ("1", "y"), ("2", "z")] {
            write(&inner.join(name), content.as_bytes()).unwrap();
        }
        assert_eq!(entries(&inner).unwrap(), [inner.join("1"), inner.join("2")]);
        assert_eq!(read(&inner.join("2"), Kind::COMPONENT).unwrap(), b"z");
        assert_eq!(entries(&folder.path().join("none")).unwrap(), [] as [PathBuf; 0]);
    }
}
