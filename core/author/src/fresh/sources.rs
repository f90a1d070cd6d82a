//! The files that a plugin is built of, in its own folder.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use vitral_bundle::Digest;
use vitral_files::Kind;

use super::notes::Notes;
use crate::{AuthorError, files};

/// Which versions a crate is built with. Cargo makes it where there is none.
const LOCK: &str = "Cargo.lock";
/// What tools make beside the source, by name.
const MADE: [&str; 2] = ["__pycache__", "node_modules"];
/// What tools leave in a folder of what they make: Cargo and others, and Python.
const MARKS: [&str; 2] = ["CACHEDIR.TAG", "pyvenv.cfg"];
/// A hidden folder that has a say in what is built.
const CONFIGURATION: &str = ".cargo";
/// A folder with more has something else in it than a plugin.
const MOST_FILES: usize = 10_000;
const MOST_BYTES: u64 = 256 << 20;
const DEEPEST: usize = 32;

/// The files of a folder, by path, with what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sources {
    files: BTreeMap<String, Digest>,
}

impl Sources {
    /// Reads all files of a folder but hidden ones and what tools make.
    pub(super) fn read(folder: &Path) -> Result<Self, AuthorError> {
        let mut walk = Walk { root: folder, files: BTreeMap::new(), bytes: 0 };
        walk.folder(folder, 0)?;
        Ok(Self { files: walk.files })
    }

    /// What stands for all of them.
    pub(super) fn digest(&self) -> Digest {
        let mut text = String::new();
        for (path, digest) in &self.files {
            // Writing to a text does not fail. A name with line breaks is in quotes.
            let _ = writeln!(text, "{digest} {path:?}");
        }
        Digest::of(text.as_bytes())
    }

    /// What is in its lock file, if it has one.
    pub(super) fn lock(&self) -> Option<Digest> {
        self.files.get(LOCK).copied()
    }

    /// The lock file that has come or changed since.
    pub(super) fn lock_made_since(&self, before: &Self) -> Option<Digest> {
        self.lock().filter(|lock| before.lock() != Some(*lock))
    }

    /// The same with the lock file that was there before building it has made the present one.
    pub(super) fn with_lock_of(mut self, notes: &Notes) -> Self {
        if let Some(made) = notes.lock.as_ref().filter(|made| Some(made.after) == self.lock()) {
            match made.before {
                Some(before) => self.files.insert(LOCK.into(), before),
                None => self.files.remove(LOCK),
            };
        }
        self
    }
}

struct Walk<'r> {
    root: &'r Path,
    files: BTreeMap<String, Digest>,
    bytes: u64,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), AuthorError> {
        for path in files::entries(folder)? {
            if self.is_source(&path, depth) {
                self.entry(&path, depth)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, depth: usize) -> Result<(), AuthorError> {
        let Ok(found) = fs::metadata(path) else {
            // A link to nothing.
            let to = fs::read_link(path).map_err(AuthorError::io("read", path))?;
            return self.add(path, to.as_os_str().as_encoded_bytes());
        };
        if !found.is_dir() {
            let left = MOST_BYTES.saturating_sub(self.bytes);
            if found.len() > left {
                return Err(self.too_much());
            }
            return self.add(path, &files::read(path, Kind::new("a source file", left))?);
        }
        let is_made = MARKS.iter().any(|mark| path.join(mark).exists());
        match is_made {
            true => Ok(()),
            false if depth == DEEPEST => Err(self.too_much()),
            false => self.folder(path, depth + 1),
        }
    }

    fn is_source(&self, path: &Path, depth: usize) -> bool {
        let name = path.file_name().unwrap_or_default();
        let is_hidden = name.as_encoded_bytes().starts_with(b".") && name != CONFIGURATION;
        let is_made = MADE.iter().any(|made| name == *made) || depth == 0 && name == "dist";
        !is_hidden && !is_made
    }

    fn add(&mut self, path: &Path, content: &[u8]) -> Result<(), AuthorError> {
        let relative: PathBuf = path.strip_prefix(self.root).unwrap_or(path).components().collect();
        self.bytes += content.len() as u64;
        self.files.insert(vitral_config::path_text::to_text(&relative), Digest::of(content));
        if self.files.len() > MOST_FILES { Err(self.too_much()) } else { Ok(()) }
    }

    fn too_much(&self) -> AuthorError {
        AuthorError::Source {
            folder: self.root.to_owned(),
            problem: format!(
                "it has more than a plugin's source: {MOST_FILES} files, {} MiB, folders {DEEPEST} deep; move what \
                 does not belong to it elsewhere",
                MOST_BYTES >> 20
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_counts_but_what_is_hidden_and_what_tools_make() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &str| {
            files::write(&folder.path().join(path), content.as_bytes()).unwrap();
        };
        let digest = || Sources::read(folder.path()).unwrap().digest();
        write("src/lib.rs", "a");
        let first = digest();
        for made in ["dist/x.wasm", ".git/HEAD", "__pycache__/x.pyc", "node_modules/x/x.js"] {
            write(made, "made");
        }
        write("target/CACHEDIR.TAG", "");
        write("target/release/x", "made");
        write("env/pyvenv.cfg", "");
        assert_eq!(digest(), first);
        for counts in ["src/dist/x.rs", ".cargo/config.toml", "plugin.ron", "Cargo.lock"] {
            let before = digest();
            write(counts, "x");
            assert_ne!(digest(), before, "{counts}");
        }
        write("src/lib.rs", "b");
        assert_ne!(digest(), first);
        // The same content under another name is another source.
        let before = digest();
        fs::rename(folder.path().join("src/lib.rs"), folder.path().join("src/main.rs")).unwrap();
        assert_ne!(digest(), before);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_is_a_file_and_one_that_goes_in_circles_an_error() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        symlink("nothing", folder.path().join("a")).unwrap();
        assert!(Sources::read(folder.path()).is_ok());
        symlink(".", folder.path().join("b")).unwrap();
        let error = Sources::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("more than a plugin's source"), "{error}");
    }
}
