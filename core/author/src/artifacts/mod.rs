//! What a plugin consists of, wherever it is: in its author's folder, in a bundle, installed, or as
//! a component alone.

mod find;
mod open;

pub(crate) use find::Dist;
pub use open::Access;

use std::path::{Path, PathBuf};

use vitral_bundle::{Limits, Permissions};
use vitral_files::Scratch;
use vitral_host::Declared;

/// The code of a plugin, and what is said about it.
#[derive(Debug)]
pub struct Artifacts {
    /// What it is called until it is opened: its name, or its file.
    pub(crate) name: String,
    /// What the bundle's manifest declares, if it comes from one.
    pub(crate) declared: Option<Declared>,
    pub(crate) component: Option<Vec<u8>>,
    pub(crate) library: Option<PathBuf>,
    /// What it asks for.
    pub(crate) permissions: Permissions,
    pub(crate) limits: Limits,
    /// Where the library is unpacked.
    _unpacked: Option<Scratch>,
}

impl Artifacts {
    /// Finds a plugin's code: `path` is the folder of a built plugin, an installed plugin's, a
    /// bundle or a component (`.wasm`). Nothing of it is run.
    ///
    /// # Errors
    /// There is nothing, or it is damaged.
    pub fn find(path: &Path) -> Result<Self, crate::AuthorError> {
        find::find(path)
    }

    /// What the plugin is called until it is opened: its name, or its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether there is a WebAssembly component.
    pub fn has_wasm(&self) -> bool {
        self.component.is_some()
    }

    /// Whether there is a native library for this machine.
    pub fn has_native(&self) -> bool {
        self.library.is_some()
    }
}
