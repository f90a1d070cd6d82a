//! `SHA256SUMS`: written last, and what every other file is read by.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use vitral_files::{Access, Kind, NewFolder};

pub(super) const FILE: &str = "SHA256SUMS";

/// Checksums of the files of one folder.
#[derive(Default)]
pub(super) struct Sums {
    lines: String,
}

impl Sums {
    pub(super) fn add(&mut self, name: &str, content: &[u8]) {
        let hash = hex(&Sha256::digest(content));
        self.lines.push_str(&format!("{hash}  {name}\n"));
    }

    /// Writes a file into a folder that is being made, flushes it to the disk and adds it.
    pub(super) fn add_file(
        &mut self,
        folder: &NewFolder,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = folder.create_file(name, Access::Usual)?;
        let hashed = Hashed { file, hasher: Sha256::new() };
        let mut buffered = BufWriter::with_capacity(1 << 20, hashed);
        write(&mut buffered)?;
        let hashed = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        hashed.file.sync_all()?;
        self.lines.push_str(&format!("{}  {name}\n", hex(&hashed.hasher.finalize())));
        Ok(())
    }

    pub(super) fn write(&self, folder: &NewFolder) -> io::Result<()> {
        folder.write_new(FILE, self.lines.as_bytes(), Access::Usual)
    }
}

/// A file of which the checksum is taken while it is written.
struct Hashed {
    file: File,
    hasher: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A folder's files, read by its list: what is not in it is not read, and all that is in it must be.
/// Each file is read once, so that the bytes which are checked are those which are used.
pub(super) struct Listed {
    folder: PathBuf,
    /// Of what has not been read.
    sums: BTreeMap<String, String>,
}

impl Listed {
    /// Reads the list of a folder.
    ///
    /// # Errors
    /// It is missing or is none, in words.
    pub(super) fn open(folder: &Path) -> Result<Self, String> {
        let list = vitral_files::read_text(&folder.join(FILE), Kind::STATE)
            .map_err(|error| format!("{FILE}: {error}"))?;
        if list.is_empty() || !list.ends_with('\n') {
            return Err(format!("{FILE} is cut short"));
        }
        let mut sums = BTreeMap::new();
        for line in list.lines() {
            let (hash, name) =
                line.split_once("  ").ok_or_else(|| format!("{FILE} has the line `{line}`"))?;
            if name.contains(['/', '\\']) {
                return Err(format!("{FILE} names a file outside: {name}"));
            }
            if sums.insert(name.to_owned(), hash.to_owned()).is_some() {
                return Err(format!("{FILE} names {name} twice"));
            }
        }
        Ok(Self { folder: folder.into(), sums })
    }

    /// Reads a file that must be there.
    ///
    /// # Errors
    /// It is missing, the list does not name it, or it is not what the list says, in words.
    pub(super) fn read(&mut self, name: &str, kind: Kind) -> Result<Vec<u8>, String> {
        let path = self.folder.join(name);
        let Some(expected) = self.sums.remove(name) else {
            return Err(match path.symlink_metadata() {
                Ok(_) => format!(
                    "{FILE} does not name {name}, so nothing says whether it is whole; it names every file of a \
                     checkpoint"
                ),
                Err(_) => format!("{name} is missing, and is not in {FILE} either"),
            });
        };
        let bytes = vitral_files::read(&path, kind).map_err(|error| format!("{name}: {error}"))?;
        match hex(&Sha256::digest(&bytes)) == expected {
            true => Ok(bytes),
            false => Err(format!("the checksum of {name} is not the one in {FILE}")),
        }
    }

    /// Reads a file that not every checkpoint has.
    ///
    /// # Errors
    /// Only one of file and line is there, or as [`Listed::read`].
    pub(super) fn read_if_there(
        &mut self,
        name: &str,
        kind: Kind,
    ) -> Result<Option<Vec<u8>>, String> {
        let is_there = self.folder.join(name).symlink_metadata().is_ok();
        match is_there || self.sums.contains_key(name) {
            true => self.read(name, kind).map(Some),
            false => Ok(None),
        }
    }

    /// As [`Listed::read`], of a text.
    pub(super) fn read_text(&mut self, name: &str, kind: Kind) -> Result<String, String> {
        text(name, self.read(name, kind)?)
    }

    /// As [`Listed::read_if_there`], of a text.
    pub(super) fn read_text_if_there(
        &mut self,
        name: &str,
        kind: Kind,
    ) -> Result<Option<String>, String> {
        self.read_if_there(name, kind)?.map(|bytes| text(name, bytes)).transpose()
    }

    /// Makes sure that all were read.
    ///
    /// # Errors
    /// The list names one that is no part of the checkpoint.
    pub(super) fn finish(self) -> Result<(), String> {
        match self.sums.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!(
                "{FILE} names {name}, which is not a file of this checkpoint by its {}",
                super::names::CONFIG
            )),
        }
    }
}

fn text(name: &str, bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| format!("{name} is not text: {error}"))
}

/// Bytes as two digits each.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const KIND: Kind = Kind::TENSORS;

    /// A folder with files `a` and `b`, each with its name in it, and a list of these names.
    fn folder(listed: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut sums = Sums::default();
        for name in ["a", "b"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        listed.iter().for_each(|name| sums.add(name, name.as_bytes()));
        fs::write(folder.path().join(FILE), sums.lines).unwrap();
        folder
    }

    #[test]
    fn what_is_listed_is_read_and_what_is_not_is_refused() {
        let whole = folder(&["a", "b"]);
        let mut listed = Listed::open(whole.path()).unwrap();
        assert_eq!(listed.read("a", KIND), Ok(b"a".to_vec()));
        assert_eq!(listed.read_if_there("b", KIND), Ok(Some(b"b".to_vec())));
        assert_eq!(listed.read_if_there("c", KIND), Ok(None));
        assert_eq!(listed.finish(), Ok(()));
        let without = folder(&["a"]);
        let mut listed = Listed::open(without.path()).unwrap();
        for refused in [listed.read("b", KIND), listed.read_if_there("b", KIND).map(Option::unwrap)]
        {
            assert!(refused.unwrap_err().contains("does not name b"));
        }
        assert!(listed.read("c", KIND).unwrap_err().contains("c is missing"));
        assert!(listed.finish().unwrap_err().contains("names a, which is not a file of"));
        let gone = folder(&["a", "c"]);
        let mut listed = Listed::open(gone.path()).unwrap();
        assert!(listed.read_if_there("c", KIND).unwrap_err().starts_with("c: "));
        fs::write(gone.path().join("a"), "A").unwrap();
        assert!(listed.read("a", KIND).unwrap_err().contains("checksum of a is not"));
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        let hash = "0".repeat(64);
        for (text, part) in [
            (String::new(), "cut short"),
            (format!("{hash}  a"), "cut short"),
            (format!("{hash} a\n"), "has the line"),
            (format!("{hash}  ../a\n"), "a file outside"),
            (format!("{hash}  a\n{hash}  a\n"), "names a twice"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), text).unwrap();
            let refused = Listed::open(folder.path()).err().unwrap();
            assert!(refused.contains(part), "{part}: {refused}");
        }
    }
}
