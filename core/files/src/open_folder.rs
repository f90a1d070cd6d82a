//! A folder that is held open: what is done in it by its handle stays in it, whatever somebody puts in its
//! place meanwhile.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::write::Access;

/// A folder that is held open. Systems other than Unix have no handles of folders: there it is its path.
#[derive(Debug)]
pub struct OpenFolder {
    path: PathBuf,
    handle: system::Handle,
}

impl OpenFolder {
    /// Opens a folder, or what a link leads to.
    ///
    /// # Errors
    /// It is none, or the system does not open it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into(), handle: system::open(path)? })
    }

    /// The path by which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is still what its path means, and no link leads to it.
    ///
    /// # Errors
    /// There is nothing, or the system does not say what.
    pub fn is_in_its_place(&self) -> io::Result<bool> {
        Ok(system::id_at(&self.path)? == Some(self.id()?))
    }

    /// Whether this is the folder that another handle holds open. It can be told from any other, as a system
    /// gives the number of a folder to no other while that is open.
    pub(crate) fn is(&self, other: &Self) -> io::Result<bool> {
        Ok(self.id()? == other.id()?)
    }

    fn id(&self) -> io::Result<system::Id> {
        system::id(&self.path, &self.handle)
    }

    /// Whether what has this name in it is a folder that is held open, and no other, nor a link to it.
    ///
    /// # Errors
    /// The system does not say it.
    pub fn holds(&self, name: impl AsRef<OsStr>, folder: &Self) -> io::Result<bool> {
        Ok(system::id_of(&self.path, &self.handle, name.as_ref())? == Some(folder.id()?))
    }

    /// Opens a folder in it, which is no link.
    ///
    /// # Errors
    /// There is none of that name, or the system does not open it.
    pub fn open_folder(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let handle = system::open_in(&self.path, &self.handle, name.as_ref())?;
        Ok(Self { path: self.path.join(name.as_ref()), handle })
    }

    /// The same folder, open twice.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(Self { path: self.path.clone(), handle: system::again(&self.handle)? })
    }

    /// Makes a file in it that is not there.
    pub(crate) fn create_file(&self, name: &OsStr, access: Access) -> io::Result<File> {
        system::create_file(&self.path, &self.handle, name, access)
    }

    /// Removes a file, a link or a folder with all that is in it.
    ///
    /// # Errors
    /// It is not there, or the system does not remove it.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        system::remove(&self.path, &self.handle, name.as_ref())
    }

    /// Gives something in it another name, by which nothing goes that is there.
    ///
    /// # Errors
    /// There is something of the new name, or nothing of the old one, or the system does not move it.
    pub fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        system::rename(&self.path, &self.handle, from.as_ref(), to.as_ref())
    }

    /// Whether it and a file in it belong to the same user, as what one user makes does.
    pub(crate) fn is_of_the_owner_of(&self, file: &File) -> io::Result<bool> {
        system::have_one_owner(&self.handle, file)
    }

    /// Has others take it for one that is being made. It fails where somebody has just removed it, who took it
    /// for one that was left.
    pub(crate) fn hold(&self) -> bool {
        system::hold(&self.handle)
    }

    /// Flushes its entries to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        system::sync(&self.handle)
    }
}

#[cfg(unix)]
mod system {
    use std::ffi::OsStr;
    use std::fs::File;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, renameat, statat, unlinkat};
    use rustix::io::Errno;

    use crate::leftover;
    use crate::place::taken;
    use crate::write::Access;

    pub(super) type Handle = File;
    pub(super) type Id = (u64, u64);

    const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

    pub(super) fn open(path: &Path) -> io::Result<File> {
        Ok(rustix::fs::open(path, FOLDER, Mode::empty())?.into())
    }

    pub(super) fn open_in(_: &Path, folder: &File, name: &OsStr) -> io::Result<File> {
        Ok(openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?.into())
    }

    pub(super) fn again(folder: &File) -> io::Result<File> {
        folder.try_clone()
    }

    pub(super) fn id(_: &Path, folder: &File) -> io::Result<Id> {
        let found = folder.metadata()?;
        Ok((found.dev(), found.ino()))
    }

    pub(super) fn id_at(path: &Path) -> io::Result<Option<Id>> {
        let found = path.symlink_metadata()?;
        Ok(found.is_dir().then(|| (found.dev(), found.ino())))
    }

    pub(super) fn id_of(_: &Path, folder: &File, name: &OsStr) -> io::Result<Option<Id>> {
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            found => {
                let found = found?;
                let is_folder = FileType::from_raw_mode(found.st_mode).is_dir();
                // The widths of these differ between systems.
                Ok(is_folder.then_some((found.st_dev, found.st_ino)))
            }
        }
    }

    pub(super) fn create_file(
        _: &Path,
        folder: &File,
        name: &OsStr,
        access: Access,
    ) -> io::Result<File> {
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        Ok(openat(folder, name, flags, Mode::from_raw_mode(access.mode() as _))?.into())
    }

    pub(super) fn rename(_: &Path, folder: &File, from: &OsStr, to: &OsStr) -> io::Result<()> {
        // Without a call that looks and moves at once, which not every file system has: a folder takes the
        // place of an empty one at most.
        match statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(renameat(folder, from, folder, to)?),
            found => found.map_err(io::Error::from).and_then(|_| Err(taken())),
        }
    }

    pub(super) fn remove(_: &Path, folder: &File, name: &OsStr) -> io::Result<()> {
        match unlinkat(folder, name, AtFlags::empty()) {
            // What a system says of a folder.
            Err(Errno::ISDIR | Errno::PERM) => {}
            removed => return Ok(removed?),
        }
        let inner = open_in(Path::new(""), folder, name)?;
        for entry in Dir::read_from(&inner)? {
            let entry = entry?;
            match entry.file_name().to_bytes() {
                b"." | b".." => {}
                name => remove(Path::new(""), &inner, OsStr::from_bytes(name))?,
            }
        }
        Ok(unlinkat(folder, name, AtFlags::REMOVEDIR)?)
    }

    pub(super) fn have_one_owner(folder: &File, file: &File) -> io::Result<bool> {
        Ok(folder.metadata()?.uid() == file.metadata()?.uid())
    }

    pub(super) fn hold(folder: &File) -> bool {
        leftover::hold(folder)
    }

    pub(super) fn sync(folder: &File) -> io::Result<()> {
        folder.sync_all()
    }
}

#[cfg(not(unix))]
mod system {
    use std::ffi::OsStr;
    use std::fs::{self, File};
    use std::io;
    use std::path::Path;

    use crate::place::taken;
    use crate::write::Access;

    pub(super) type Handle = ();
    pub(super) type Id = ();

    pub(super) fn open(path: &Path) -> io::Result<()> {
        match path.metadata()?.is_dir() {
            true => Ok(()),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn open_in(folder: &Path, (): &(), name: &OsStr) -> io::Result<()> {
        open(&folder.join(name))
    }

    pub(super) fn again((): &()) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn id(_: &Path, (): &()) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn id_at(path: &Path) -> io::Result<Option<()>> {
        Ok(path.symlink_metadata()?.is_dir().then_some(()))
    }

    pub(super) fn id_of(folder: &Path, (): &(), name: &OsStr) -> io::Result<Option<()>> {
        match id_at(&folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found,
        }
    }

    pub(super) fn create_file(
        folder: &Path,
        (): &(),
        name: &OsStr,
        access: Access,
    ) -> io::Result<File> {
        access.create(&folder.join(name))
    }

    pub(super) fn rename(folder: &Path, (): &(), from: &OsStr, to: &OsStr) -> io::Result<()> {
        match folder.join(to).symlink_metadata().is_ok() {
            true => Err(taken()),
            false => fs::rename(folder.join(from), folder.join(to)),
        }
    }

    pub(super) fn remove(folder: &Path, (): &(), name: &OsStr) -> io::Result<()> {
        crate::remove::remove(&folder.join(name))
    }

    pub(super) fn have_one_owner((): &(), _: &File) -> io::Result<bool> {
        Ok(true)
    }

    pub(super) fn hold((): &()) -> bool {
        true
    }

    pub(super) fn sync((): &()) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_done_stays_in_the_folder_that_was_opened() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("own/old/inner")).unwrap();
        fs::write(at("own/old/inner/file"), "").unwrap();
        fs::create_dir_all(at("other/old")).unwrap();
        fs::write(at("other/old/file"), "").unwrap();
        std::os::unix::fs::symlink(at("other/old"), at("own/old/link")).unwrap();
        let own = OpenFolder::open(&at("own")).unwrap();
        assert!(own.is_in_its_place().unwrap());
        fs::rename(at("own"), at("moved")).unwrap();
        std::os::unix::fs::symlink(at("other"), at("own")).unwrap();
        assert!(!own.is_in_its_place().unwrap());
        drop(own.create_file("new".as_ref(), Access::Usual).unwrap());
        assert!(own.create_file("new".as_ref(), Access::Usual).is_err(), "it is there");
        own.rename("new", "newer").unwrap();
        own.remove("old").unwrap();
        assert!(own.open_folder("old").is_err());
        let names: Vec<_> = fs::read_dir(at("moved")).unwrap().flatten().collect();
        assert_eq!((names.len(), names[0].file_name()), (1, "newer".into()));
        assert!(at("other/old/file").exists() && !at("other/new").exists());
    }

    #[test]
    fn nothing_goes_by_a_new_name() {
        let root = tempfile::tempdir().unwrap();
        let folder = OpenFolder::open(root.path()).unwrap();
        for name in ["a", "b"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let taken = folder.rename("a", "b").unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        let a = folder.open_folder("a").unwrap();
        assert!(folder.holds("a", &a).unwrap() && !folder.holds("b", &a).unwrap());
        std::os::unix::fs::symlink("a", root.path().join("link")).unwrap();
        assert!(!folder.holds("link", &a).unwrap(), "it is not a folder");
        assert!(folder.open_folder("link").is_err());
    }

    #[test]
    fn a_folder_that_takes_the_place_of_one_is_another_whatever_number_it_gets() {
        let root = tempfile::tempdir().unwrap();
        let within = OpenFolder::open(root.path()).unwrap();
        let place = root.path().join("a");
        fs::create_dir(&place).unwrap();
        let first = within.open_folder("a").unwrap();
        for _ in 0..100 {
            fs::remove_dir(&place).unwrap();
            assert!(!within.holds("a", &first).unwrap(), "there is none");
            fs::create_dir(&place).unwrap();
            assert!(!within.holds("a", &first).unwrap());
        }
    }
}
