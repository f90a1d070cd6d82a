//! Files and folders that are being made, and those that a killed process left so.
//!
//! Each has a random name of one form and is locked for as long as it is made, so that what is not locked is
//! nobody's any more. It is removed when something is written into the same folder the next time.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::descriptor::without_links;

const PREFIX: &str = ".writing-";
const RANDOM: usize = 12;

/// Names a temporary file or folder.
pub(crate) fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).rand_bytes(RANDOM);
    builder
}

/// What the system said of a temporary file, without the name that it had for a moment.
pub(crate) fn cause(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Other => error,
        kind => kind.into(),
    }
}

/// Locks a file or folder that was just made. It fails where somebody has just removed it, who took it for
/// one that was left.
pub(crate) fn hold(file: &File) -> bool {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => false,
        // Where nothing can be locked, nothing is taken for left either.
        Ok(()) | Err(TryLockError::Error(_)) => !is_removed(file),
    }
}

#[cfg(unix)]
fn is_removed(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;

    file.metadata().is_ok_and(|found| found.nlink() == 0)
}

#[cfg(not(unix))]
fn is_removed(_: &File) -> bool {
    false
}

/// Opens a folder or file that is being made, to lock it; a folder can be opened on some systems only.
pub(crate) fn handle(path: &Path) -> io::Result<File> {
    without_links(OpenOptions::new().read(true)).open(path)
}

/// Removes what killed processes left in a folder, once in the life of this process.
pub(crate) fn clear(folder: &Path) {
    static CLEARED: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    // What is left is in nobody's way: that it cannot be looked for or removed is no error.
    let Ok(path) = folder.canonicalize() else { return };
    let Ok(mut cleared) = CLEARED.lock() else { return };
    if cleared.get_or_insert_default().insert(path) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let is_left = |name: &OsStr| is_temporary(name);
        for entry in entries.filter(|entry| is_left(&entry.file_name())) {
            let _ = remove_if_left(&entry.path());
        }
    }
}

fn remove_if_left(path: &Path) -> io::Result<()> {
    let file = handle(path)?;
    // Of a process that goes on.
    if file.try_lock().is_err() {
        return Ok(());
    }
    match file.metadata()?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// Whether a name is of the form that temporary files and folders have.
fn is_temporary(name: &OsStr) -> bool {
    let random = name.as_encoded_bytes().strip_prefix(PREFIX.as_bytes());
    random.is_some_and(|random| {
        random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric)
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_or_named_otherwise_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let held = at(".writing-abcdefABCDEF");
        fs::create_dir(&held).unwrap();
        let file = handle(&held).unwrap();
        assert!(hold(&file));
        fs::create_dir_all(at(".writing-aaaaaaaaaaaa/inner")).unwrap();
        fs::write(at(".writing-bbbbbbbbbbbb"), "").unwrap();
        fs::write(at(".writing-mine"), "").unwrap();
        fs::write(at(".writing-12345678901."), "").unwrap();
        fs::write(at("elsewhere"), "").unwrap();
        std::os::unix::fs::symlink("elsewhere", at(".writing-cccccccccccc")).unwrap();
        clear(folder.path());
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        left.sort_by_key(fs::DirEntry::file_name);
        let left: Vec<_> = left.iter().map(fs::DirEntry::file_name).collect();
        assert_eq!(
            left,
            [
                ".writing-12345678901.",
                ".writing-abcdefABCDEF",
                ".writing-cccccccccccc",
                ".writing-mine",
                "elsewhere"
            ]
        );
    }

    #[test]
    fn what_was_removed_is_not_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::create_dir(&path).unwrap();
        let file = handle(&path).unwrap();
        fs::remove_dir(&path).unwrap();
        assert!(!hold(&file));
    }
}
