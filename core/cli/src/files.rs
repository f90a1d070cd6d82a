//! Files that this program makes.

use std::path::Path;

use crate::failure::Failure;

/// Writes a file that is there whole or not at all.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = (|| {
        let file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        std::fs::write(file.path(), text)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    })();
    written.map(drop).map_err(|error| Failure::Other(format!("{}: {error}", path.display())))
}
