//! Compiled components on disk, by the content of the component and the engine that compiled it.
//!
//! wasmtime trusts what it has compiled, so that only files are loaded that this program has
//! written: in a folder that is the user's alone, with a checksum. A file that is damaged or of
//! another engine is compiled and written anew.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use wasmtime::{Engine, component::Component};

const MAGIC: &[u8; 16] = b"vitral-compiled1";
const CHECKSUM: usize = 32;

/// A folder of compiled components.
pub(super) struct Cache {
    folder: PathBuf,
    engine: u64,
}

impl Cache {
    pub(super) fn new(folder: &Path, engine: &Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { folder: folder.join("wasm"), engine: hasher.finish() }
    }

    /// What was compiled from these bytes, if it is there and whole.
    pub(super) fn load(&self, engine: &Engine, component: &[u8]) -> Option<Component> {
        let file = fs::read(self.path(component)).ok()?;
        let rest = file.strip_prefix(MAGIC)?;
        let (checksum, compiled) = rest.split_at_checked(CHECKSUM)?;
        if checksum != Sha256::digest(compiled).as_slice() || !self.is_own() {
            return None;
        }
        // SAFETY: the file is one that `store` wrote, whole, in a folder that only this user can
        // write to; wasmtime itself checks that this engine can run it.
        unsafe { Component::deserialize(engine, compiled) }.ok()
    }

    /// Keeps what was compiled. That it cannot be kept costs time only.
    pub(super) fn store(&self, component: &[u8], compiled: &[u8]) {
        if let Err(error) = self.try_store(component, compiled) {
            tracing::warn!("{} cannot be used: {error}", self.folder.display());
        }
    }

    fn try_store(&self, component: &[u8], compiled: &[u8]) -> io::Result<()> {
        create_private(&self.folder)?;
        let path = self.path(component);
        let temporary = path.with_extension(format!("{}.writing", std::process::id()));
        let mut content = MAGIC.to_vec();
        content.extend_from_slice(&Sha256::digest(compiled));
        content.extend_from_slice(compiled);
        fs::write(&temporary, content)?;
        fs::rename(&temporary, path)
    }

    fn path(&self, component: &[u8]) -> PathBuf {
        let content: String =
            Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{content}-{:016x}.compiled", self.engine))
    }

    /// Whether nobody else can write to the folder.
    #[cfg(unix)]
    fn is_own(&self) -> bool {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(&self.folder).is_ok_and(|folder| folder.permissions().mode() & 0o022 == 0)
    }

    #[cfg(not(unix))]
    fn is_own(&self) -> bool {
        true
    }
}

fn create_private(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
