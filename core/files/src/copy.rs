//! Copying folders.

use std::fs::{self, DirBuilder};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::kind::Kind;
use crate::read::{open, too_large};
use crate::write::Access;

/// Something that was not copied.
#[derive(Debug)]
pub struct CopyError {
    /// What is wrong, of which file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: io::Error,
}

/// Copies what is in a folder, and in those in it, into one that is being made: regular files, each at most as
/// large as its kind may be, and flushed to the disk.
///
/// # Errors
/// The first file or folder that is none of these, cannot be read, or cannot be written where it goes, as where
/// something of its name is.
pub fn copy_folder(from: &Path, to: &Path, kind: Kind) -> Result<(), CopyError> {
    for entry in fs::read_dir(from).map_err(at(from))? {
        let entry = entry.map_err(at(from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        // Not of what a link leads to, which may be the folder itself.
        if entry.file_type().map_err(at(&from))?.is_dir() {
            DirBuilder::new().create(&to).map_err(at(&to))?;
            copy_folder(&from, &to, kind)?;
        } else {
            copy_file(&from, &to, kind)?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path, kind: Kind) -> Result<(), CopyError> {
    let (file, _) = open(from, kind).map_err(at(from))?;
    let mut copy = Access::Usual.create(to).map_err(at(to))?;
    // It may have grown.
    let copied = io::copy(&mut file.take(kind.most().saturating_add(1)), &mut copy);
    let copied = copied.map_err(at(to))?;
    if copied > kind.most() {
        return Err(at(from)(too_large(kind, copied)));
    }
    copy.sync_all().map_err(at(to))
}

fn at(path: &Path) -> impl Fn(io::Error) -> CopyError {
    move |source| CopyError { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_with_all_that_is_in_them() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("x"), "1").unwrap();
        fs::write(from.join("a/b/y"), "22").unwrap();
        let kind = Kind::new("a file", 2);
        copy_folder(&from, &to, kind).unwrap();
        assert_eq!(fs::read_to_string(to.join("x")).unwrap(), "1");
        assert_eq!(fs::read_to_string(to.join("a/b/y")).unwrap(), "22");
        let again = copy_folder(&from, &to, kind).unwrap_err();
        assert_eq!(again.source.kind(), io::ErrorKind::AlreadyExists);
        let small = tempfile::tempdir().unwrap();
        let error = copy_folder(&from.join("a"), small.path(), kind.at_most(1)).unwrap_err();
        assert_eq!(error.path, from.join("a/b/y"));
        assert_eq!(error.source.kind(), io::ErrorKind::FileTooLarge);
    }
}
