//! Folders: those that appear whole, those for a moment, and what is done with any.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::existing::Existing;
use crate::leftover::{builder, cause, clear};
use crate::open_folder::OpenFolder;
use crate::place::{check_free, folder_of};
use crate::sync::sync_folders;
use crate::write::Access;

/// A folder under a random name that nobody takes for one that was left.
#[derive(Debug)]
struct Held {
    folder: TempDir,
    /// The same, locked where the system locks folders.
    open: OpenFolder,
}

impl Held {
    fn create(within: &OpenFolder, is_private: bool) -> io::Result<Self> {
        clear(within.path());
        let mut builder = builder();
        #[cfg(unix)]
        if is_private {
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        }
        #[cfg(not(unix))]
        let _ = is_private;
        loop {
            let folder = builder.tempdir_in(within.path()).map_err(cause)?;
            match within.open_folder(name_in(folder.path())?) {
                Ok(open) if open.hold() => return Ok(Self { folder, open }),
                // It is gone already.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    check_in_place(within)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The name of something in its folder.
fn name_in(path: &Path) -> io::Result<&OsStr> {
    path.file_name().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Refuses to go on where another folder has come to the place of one.
fn check_in_place(folder: &OpenFolder) -> io::Result<()> {
    // The way to it may be through a link, but not to another.
    match OpenFolder::open(folder.path())?.is(folder)? {
        true => Ok(()),
        false => Err(io::Error::other(
            "another folder has taken the place of the one in which it was to be",
        )),
    }
}

/// A folder that is filled beside its place under a random name, and moved there when it is whole. One that
/// is not finished is removed with all that is in it.
#[derive(Debug)]
pub struct NewFolder {
    held: Held,
    within: OpenFolder,
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

    /// Begins a folder that is to have this name in another, which stays the one in which it comes to be,
    /// whatever takes the other's place.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_in(within: &OpenFolder, name: &str) -> io::Result<Self> {
        Self::begin_in(within.again()?, within.path().join(name), false)
    }

    fn begin(place: &Path, is_private: bool) -> io::Result<Self> {
        Self::begin_in(OpenFolder::open(folder_of(place))?, place.into(), is_private)
    }

    fn begin_in(within: OpenFolder, place: PathBuf, is_private: bool) -> io::Result<Self> {
        check_free(&place, Existing::Refuse, true)?;
        Ok(Self { held: Held::create(&within, is_private)?, within, place })
    }

    /// Where it is filled.
    pub fn path(&self) -> &Path {
        self.held.folder.path()
    }

    /// Makes a file in it, of which there is none yet; who writes it flushes it to the disk.
    ///
    /// # Errors
    /// There is something of that name, somebody has put another folder in the place of this one, or the
    /// system does not make it.
    pub fn create_file(&self, name: &str, access: Access) -> io::Result<File> {
        let file = self.held.open.create_file(name.as_ref(), access)?;
        match self.held.open.is_of_the_owner_of(&file)? {
            true => Ok(file),
            false => Err(another_came()),
        }
    }

    /// Writes a file into it, and flushes it to the disk.
    ///
    /// # Errors
    /// As [`create_file`](Self::create_file), and if the system does not write it.
    pub fn write_new(&self, name: &str, content: &[u8], access: Access) -> io::Result<()> {
        let mut file = self.create_file(name, access)?;
        file.write_all(content)?;
        file.sync_all()
    }

    /// Moves the folder to its place, and opens it there. What is in it was flushed to the disk by those who
    /// wrote it.
    ///
    /// # Errors
    /// The system does not move it, or somebody has put another in its place. Then nothing is left of it.
    pub fn finish(mut self) -> io::Result<OpenFolder> {
        sync_folders(self.path())?;
        check_free(&self.place, Existing::Refuse, true)?;
        let name = name_in(&self.place)?;
        self.within.rename(name_in(self.path())?, name)?;
        // There is nothing of that name any more.
        self.held.folder.disable_cleanup(true);
        match self.within.open_folder(name) {
            Ok(there) if there.is(&self.held.open)? => self.within.sync().map(|()| there),
            _ => Err(another_came()),
        }
    }
}

/// Somebody has put another folder in the place of one that was being made.
fn another_came() -> io::Error {
    io::Error::other(
        "someone else put a folder in the place of the one that was being written; check who may \
         write there",
    )
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
                Held::create(&OpenFolder::open(within)?, true).map(Self)
            }
            None => Held::create(&OpenFolder::open(&std::env::temp_dir())?, true).map(Self),
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

/// Whether a folder is this user's, and nobody else can write to it. That is unknown where files have no owners, and
/// taken for granted there.
pub fn is_private_folder(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;

        use crate::write::NewFile;
        // Not what a link points to: a link in a folder of others' can be changed by them.
        let Ok(folder) = fs::symlink_metadata(path) else { return false };
        // This user, as the owner of a file that was just made.
        let probe = || NewFile::create(&path.join("probe"), Existing::Replace, Access::Private);
        let user = || probe().ok()?.metadata().ok().map(|file| file.uid());
        folder.is_dir() && folder.mode() & 0o022 == 0 && user() == Some(folder.uid())
    }
    #[cfg(not(unix))]
    path.is_dir()
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
    fn a_folder_that_somebody_puts_in_its_place_is_not_taken_for_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("within")).unwrap();
        fs::create_dir(at("other")).unwrap();
        let within = OpenFolder::open(&at("within")).unwrap();
        // While it is written.
        let new = NewFolder::create_in(&within, "a").unwrap();
        new.write_new("one", b"1", Access::Usual).unwrap();
        fs::rename(new.path(), at("aside")).unwrap();
        std::os::unix::fs::symlink(at("other"), new.path()).unwrap();
        new.write_new("two", b"2", Access::Usual).unwrap();
        assert!(at("aside/two").exists() && !at("other/two").exists());
        let refused = new.finish().unwrap_err().to_string();
        assert!(refused.contains("someone else put"), "{refused}");
        // And the one that it is in.
        let new = NewFolder::create_in(&within, "b").unwrap();
        fs::rename(at("within"), at("moved")).unwrap();
        std::os::unix::fs::symlink(at("other"), at("within")).unwrap();
        assert!(new.finish().is_err(), "it cannot be flushed by its name");
        let refused = NewFolder::create_in(&within, "c").unwrap_err().to_string();
        assert!(refused.contains("another folder has taken"), "{refused}");
        assert_eq!(fs::read_dir(at("other")).unwrap().count(), 0);
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
}
