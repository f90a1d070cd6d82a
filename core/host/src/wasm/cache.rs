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
};

use sha2::{Digest, Sha256};
use vitral_files::{Access, Existing, Kind, NewFile, create_private_folder};
use wasmtime::{Engine, component::Component};

const MAGIC: &[u8; 16] = b"vitral-compiled1";
const CHECKSUM: usize = 32;

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
        if !self.is_own() {
            return None;
        }
        let file = vitral_files::read(&self.path(component), Kind::COMPILED).ok()?;
        let rest = file.strip_prefix(MAGIC)?;
        let (checksum, compiled) = rest.split_at_checked(CHECKSUM)?;
        if checksum != Sha256::digest(compiled).as_slice() {
            return None;
        }
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
        if !self.is_own() {
            return Err(io::Error::other("others may write to it, or it is another user's"));
        }
        let path = self.path(component);
        let mut file = NewFile::create(&path, Existing::Replace, Access::Private)?;
        file.write_all(MAGIC)?;
        file.write_all(&Sha256::digest(compiled))?;
        file.write_all(compiled)?;
        file.finish()
    }

    fn path(&self, component: &[u8]) -> PathBuf {
        let mut key = Sha256::new();
        key.update(self.engine);
        key.update(Sha256::digest(component));
        self.folder.join(format!("{}.compiled", Hex(&key.finalize())))
    }

    /// Whether the folder is this user's, and nobody else can write to it.
    #[cfg(unix)]
    fn is_own(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        // Not what a link points to: a link in a folder of others' can be changed by them.
        let Ok(folder) = fs::symlink_metadata(&self.folder) else { return false };
        folder.is_dir() && folder.mode() & 0o022 == 0 && self.user() == Some(folder.uid())
    }

    #[cfg(not(unix))]
    fn is_own(&self) -> bool {
        self.folder.is_dir()
    }

    /// This user, as the owner of a file that was just made.
    #[cfg(unix)]
    fn user(&self) -> Option<u32> {
        use std::os::unix::fs::MetadataExt;
        let probe = NewFile::create(&self.folder.join("probe"), Existing::Replace, Access::Private);
        probe.ok()?.metadata().ok().map(|file| file.uid())
    }
}

/// Bytes as hexadecimal digits.
struct Hex<'b>(&'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
