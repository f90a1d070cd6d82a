//! Files that this program makes.

use std::path::Path;

use vitral_files::{Access, Existing};

use crate::failure::Failure;

/// Writes a file in place of the file that there is, but not of a link or a device; it is there whole or not at all.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Failure> {
    let written = vitral_files::write(path, content.as_ref(), Existing::ReplaceFile, Access::Usual);
    written.map_err(|error| Failure::Other(format!("{}: {error}", path.display())))
}
