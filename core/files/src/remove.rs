//! How anything is removed.

use std::{fs, io, path::Path};

/// Removes what is at a path, whatever it is; of a link, the link itself.
///
/// # Errors
/// The system does not remove it.
pub fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_removed_and_what_it_leads_to_stays() {
        let root = tempfile::tempdir().unwrap();
        let (folder, link) = (root.path().join("folder"), root.path().join("link"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), "").unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        remove(&link).unwrap();
        assert!(link.symlink_metadata().is_err() && folder.join("file").exists());
    }
}
