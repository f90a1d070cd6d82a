//! How the entries of folders reach the disk.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use crate::place::folder_of;

/// Flushes the entries of the folder that something is in to the disk.
///
/// # Errors
/// The system does not.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    sync_folder(folder_of(path))
}

/// Flushes a folder's entries to the disk, where the system can.
///
/// # Errors
/// The system does not.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Flushes a folder and all folders in it.
pub(crate) fn sync_folders(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(path)
}
