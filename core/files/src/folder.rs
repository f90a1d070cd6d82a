//! Folders: those that appear whole, those for a moment, and what is done with any.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::existing::Existing;
use crate::leftover::{builder, cause, clear, handle, hold};
use crate::place::{check_free, folder_of, taken};

/// A folder under a random name that nobody takes for one that was left.
#[derive(Debug)]
struct Held {
    folder: TempDir,
    /// Holds the lock; not every system opens folders.
    _lock: Option<File>,
}

impl Held {
    fn create(within: &Path, is_private: bool) -> io::Result<Self> {
        clear(within);
        let mut builder = builder();
        #[cfg(unix)]
        if is_private {
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        }
        #[cfg(not(unix))]
        let _ = is_private;
        loop {
            let folder = builder.tempdir_in(within).map_err(cause)?;
            match handle(folder.path()) {
                Ok(lock) if hold(&lock) => return Ok(Self { folder, _lock: Some(lock) }),
                // It is gone already.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => return Ok(Self { folder, _lock: None }),
            }
        }
    }
}

/// A folder that is filled beside its place under a random name, and moved there when it is whole. One that
/// is not finished is removed with all that is in it.
#[derive(Debug)]
pub struct NewFolder {
    held: Held,
    place: PathBuf,
}

impl NewFolder {
    /// Begins a folder that is to be at `place`, where nothing may be.
    ///
    /// # Errors
    /// There is something of that name, or the system does not make a folder beside it.
    pub fn create(place: &Path) -> io::Result<Self> {
        Self::begin(place, false)
    }

    /// The same, for this user alone.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_private(place: &Path) -> io::Result<Self> {
        Self::begin(place, true)
    }

    fn begin(place: &Path, is_private: bool) -> io::Result<Self> {
        check_free(place, Existing::Refuse, true)?;
        Ok(Self { held: Held::create(folder_of(place), is_private)?, place: place.into() })
    }

    /// Where it is filled.
    pub fn path(&self) -> &Path {
        self.held.folder.path()
    }

    /// Moves the folder to its place. What is in it was flushed to the disk by those who wrote it.
    ///
    /// # Errors
    /// The system does not move it. Then nothing is left of it.
    pub fn finish(mut self) -> io::Result<()> {
        sync_folders(self.path())?;
        check_free(&self.place, Existing::Refuse, true)?;
        fs::rename(self.path(), &self.place).map_err(|error| match self.place.exists() {
            true => taken(),
            false => error,
        })?;
        // There is nothing of that name any more.
        self.held.folder.disable_cleanup(true);
        sync_folder_of(&self.place)
    }
}

/// A folder for a moment, for this user alone, which goes with all that is in it.
#[derive(Debug)]
pub struct Scratch(Held);

impl Scratch {
    /// Makes a folder in `within`, which is made if it is not there, or where the system has temporary files.
    ///
    /// # Errors
    /// The system does not make it.
    pub fn create(within: Option<&Path>) -> io::Result<Self> {
        match within {
            Some(within) => {
                fs::create_dir_all(within)?;
                Held::create(within, true).map(Self)
            }
            None => Held::create(&std::env::temp_dir(), true).map(Self),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.folder.path()
    }

    /// Removes it, and tells if that fails.
    ///
    /// # Errors
    /// The system does not remove it.
    pub fn remove(self) -> io::Result<()> {
        self.0.folder.close().map_err(cause)
    }
}

/// Makes a folder, and those above it, for this user alone.
///
/// # Errors
/// The system does not make it.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

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
fn sync_folders(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("a");
        let unfinished = NewFolder::create(&place).unwrap();
        fs::write(unfinished.path().join("file"), "1").unwrap();
        drop(unfinished);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        let whole = NewFolder::create(&place).unwrap();
        fs::create_dir(whole.path().join("inner")).unwrap();
        fs::write(whole.path().join("inner/file"), "2").unwrap();
        assert!(!place.exists());
        whole.finish().unwrap();
        assert_eq!(fs::read(place.join("inner/file")).unwrap(), b"2");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        let refused = NewFolder::create(&place).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_folder_for_a_moment_is_the_users_alone() {
        use std::os::unix::fs::MetadataExt;

        let root = tempfile::tempdir().unwrap();
        let within = root.path().join("new");
        let scratch = Scratch::create(Some(&within)).unwrap();
        assert_eq!(scratch.path().metadata().unwrap().mode() & 0o077, 0);
        fs::write(scratch.path().join("file"), "").unwrap();
        drop(scratch);
        assert_eq!(fs::read_dir(within).unwrap().count(), 0);
    }

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
