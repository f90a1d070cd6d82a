//! Reading and writing files, each of which is named in an error.

use std::path::Path;

pub(crate) use vitral_files::{Access, Existing, Kind};

use crate::error::BundleError;

/// Reads a file that must not be a link.
pub(crate) fn read_own(path: &Path, kind: Kind) -> Result<Vec<u8>, BundleError> {
    vitral_files::read_own(path, kind).map_err(|error| BundleError::io("read", path, error))
}

/// Reads a file that the user named.
pub(crate) fn read(path: &Path, kind: Kind) -> Result<Vec<u8>, BundleError> {
    vitral_files::read(path, kind).map_err(|error| BundleError::io("read", path, error))
}

/// Writes a file that appears whole or not at all.
pub(crate) fn write(
    path: &Path,
    content: &[u8],
    existing: Existing,
    access: Access,
) -> Result<(), BundleError> {
    let written = vitral_files::write(path, content, existing, access);
    written.map_err(|error| BundleError::io("write", path, error))
}

/// Makes a folder, and those above it, for this user alone.
pub(crate) fn create_private_folder(path: &Path) -> Result<(), BundleError> {
    let made = vitral_files::create_private_folder(path);
    made.map_err(|error| BundleError::io("write", path, error))
}

/// Flushes a folder's entries to the disk, where the system can.
pub(crate) fn sync_folder(path: &Path) -> Result<(), BundleError> {
    vitral_files::sync_folder(path).map_err(|error| BundleError::io("write", path, error))
}
