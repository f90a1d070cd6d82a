//! A native library of a bundle's file, where the system can load it.

use std::{
    io,
    path::{Path, PathBuf},
};

use vitral_files::{Access, Scratch, write_new};

/// A library in a folder of its own, which nobody else can write to and which goes with it.
pub(super) struct Unpacked {
    path: PathBuf,
    _folder: Scratch,
}

impl Unpacked {
    /// Writes a library into a folder that is made for it in `within`, or where the system has
    /// temporary files.
    pub(super) fn new(library: &[u8], within: Option<&Path>) -> io::Result<Self> {
        let folder = Scratch::create(within)?;
        let name = Path::new("library").with_extension(std::env::consts::DLL_EXTENSION);
        let path = folder.path().join(name);
        write_new(&path, library, Access::Private)?;
        Ok(Self { path, _folder: folder })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_library_is_where_nobody_else_has_a_say() {
        let within = tempfile::tempdir().unwrap();
        // What others have left there, as in `/tmp`.
        fs::set_permissions(within.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        let (one, two) = (Unpacked::new(b"1", Some(within.path())), Unpacked::new(b"2", None));
        let (one, two) = (one.unwrap(), two.unwrap());
        for unpacked in [&one, &two] {
            let folder = unpacked.path().parent().unwrap();
            assert_eq!(fs::symlink_metadata(folder).unwrap().mode() & 0o077, 0);
        }
        assert_eq!(fs::read(one.path()).unwrap(), b"1");
        drop(one);
        assert_eq!(fs::read_dir(within.path()).unwrap().count(), 0, "nothing stays");
    }
}
