//! Compiled components on disk, by the content of the component and the engine that compiled it.
//!
//! wasmtime trusts what it has compiled, so that only files are loaded that this program has
//! written: in a folder that is the user's alone, with a checksum. A file that is damaged or of
//! another engine is compiled and written anew.

use std::{
    fmt, fs,
    hash::{Hash, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};
use vitral_files::{Access, Existing, Kind, NewFile, create_private_folder, is_private_folder};
use wasmtime::{Engine, component::Component};

const MAGIC: &[u8; 16] = b"vitral-compiled1";
const CHECKSUM: usize = 32;
/// How files of the cache end.
const EXTENSION: &str = "compiled";
/// The most bytes that are kept; beyond, what was not used for longest goes.
const MOST: u64 = 512 << 20;
/// A use within this time of the one before is not noted.
const NOTED: Duration = Duration::from_secs(60 * 60);

/// A folder of compiled components.
pub(super) struct Cache {
    folder: PathBuf,
    /// Which engine compiles: wasmtime's version, the processor, the settings.
    engine: [u8; 32],
}

/// Hashes with SHA-256, as std's own hasher may change between versions of Rust.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte))
    }
}

impl Cache {
    pub(super) fn new(folder: &Path, engine: &Engine) -> Self {
        let mut hasher = Sha(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { folder: folder.join("wasm"), engine: hasher.0.finalize().into() }
    }

    /// What was compiled from these bytes, if it is there and whole.
    pub(super) fn load(&self, engine: &Engine, component: &[u8]) -> Option<Component> {
        if !is_private_folder(&self.folder) {
            return None;
        }
        let file = vitral_files::read(&self.path(component), Kind::COMPILED).ok()?;
        let rest = file.strip_prefix(MAGIC)?;
        let (checksum, compiled) = rest.split_at_checked(CHECKSUM)?;
        if checksum != Sha256::digest(compiled).as_slice() {
            return None;
        }
        self.note_use(component);
        // SAFETY: the file is one that `store` wrote, whole, in a folder that only this user can
        // write to; wasmtime itself checks that this engine can run it.
        unsafe { Component::deserialize(engine, compiled) }.ok()
    }

    /// Keeps what was compiled. That it cannot be kept costs time only.
    pub(super) fn store(&self, component: &[u8], compiled: &[u8]) {
        if let Err(error) = self.try_store(component, compiled) {
            tracing::warn!("{} cannot be used as a cache: {error}", self.folder.display());
        }
    }

    fn try_store(&self, component: &[u8], compiled: &[u8]) -> io::Result<()> {
        create_private_folder(&self.folder)?;
        if !is_private_folder(&self.folder) {
            return Err(io::Error::other("others may write to it, or it is another user's"));
        }
        let path = self.path(component);
        let mut file = NewFile::create(&path, Existing::Replace, Access::Private)?;
        file.write_all(MAGIC)?;
        file.write_all(&Sha256::digest(compiled))?;
        file.write_all(compiled)?;
        file.finish()?;
        self.prune(MOST, &path)
    }

    /// Notes that a file was used, by its time. That it cannot be noted makes it go earlier.
    fn note_use(&self, component: &[u8]) {
        let path = self.path(component);
        let Ok(file) = fs::OpenOptions::new().write(true).open(path) else { return };
        let time = file.metadata().and_then(|file| file.modified());
        let is_old = time.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > NOTED));
        if is_old {
            let _ = file.set_modified(SystemTime::now());
        }
    }

    /// Removes what was not used for longest until no more than so many bytes are left, but not the newest.
    fn prune(&self, most: u64, newest: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let path = entry.path();
            // Another process may have removed it.
            let Ok(file) = entry.metadata() else { continue };
            if file.is_file() && path.extension() == Some(EXTENSION.as_ref()) {
                files.push((path != newest, file.modified()?, file.len(), path));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(.., bytes, _)| bytes).sum();
        // The newest is the first.
        for (is_old, _, bytes, path) in files {
            if total <= most {
                break;
            }
            if is_old && fs::remove_file(path).is_ok() {
                total -= bytes;
            }
        }
        Ok(())
    }

    fn path(&self, component: &[u8]) -> PathBuf {
        let mut key = Sha256::new();
        key.update(self.engine);
        key.update(Sha256::digest(component));
        self.folder.join(format!("{}.{EXTENSION}", Hex(&key.finalize())))
    }
}

/// Bytes as hexadecimal digits.
struct Hex<'b>(&'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_and_the_newest_stays() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path(), &Engine::default());
        for component in 0..4_u8 {
            cache.store(&[component], &[0; 1000]);
            let file = fs::OpenOptions::new().write(true).open(cache.path(&[component])).unwrap();
            let age = Duration::from_secs(3600 * (10 - u64::from(component)));
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        let other = cache.folder.join("other");
        fs::write(&other, [0; 5000]).unwrap();
        // The first one is used, and so the last to go.
        cache.note_use(&[0]);
        let newest = cache.path(&[3]);
        cache.prune(2500, &newest).unwrap();
        let there = [0, 1, 2, 3].map(|component: u8| cache.path(&[component]).exists());
        assert_eq!(there, [true, false, false, true]);
        cache.prune(0, &newest).unwrap();
        assert!(newest.exists() && other.exists() && !cache.path(&[0]).exists());
    }
}
