//! Putting a folder in the place of another, which is lost only once the new one is there.

use std::fs;
use std::io;
use std::path::Path;

use vitral_files::{NewFolder, Scratch};

/// Fills a folder and puts it in the place of what is there, which comes back if that fails.
pub(crate) fn replace(
    place: &Path,
    within: &Path,
    fill: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let aside = Scratch::create(Some(within))?;
    let (new, old) = (aside.path().join("new"), aside.path().join("old"));
    let unpacked = NewFolder::create_private(&new)?;
    fill(unpacked.path())?;
    unpacked.finish()?;
    swap(place, &new, &old)?;
    // What was there goes with the folder that it is in now.
    vitral_files::sync_folder(within)
}

fn swap(place: &Path, new: &Path, old: &Path) -> io::Result<()> {
    fs::rename(place, old)?;
    fs::rename(new, place).or_else(|error| {
        fs::rename(old, place)?;
        Err(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_where_the_new_one_does_not_come() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("a");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("file"), "old").unwrap();
        let there = || (fs::read_dir(root.path()).unwrap().count(), fs::read(place.join("file")));
        let full = |_: &Path| Err(io::ErrorKind::StorageFull.into());
        assert!(replace(&place, root.path(), full).is_err());
        assert_eq!((there().0, there().1.unwrap()), (1, b"old".to_vec()));
        assert!(swap(&place, &root.path().join("gone"), &root.path().join("old")).is_err());
        assert_eq!((there().0, there().1.unwrap()), (1, b"old".to_vec()));
        let fill = |folder: &Path| fs::write(folder.join("file"), "new");
        replace(&place, root.path(), fill).unwrap();
        assert_eq!((there().0, there().1.unwrap()), (1, b"new".to_vec()));
    }
}
