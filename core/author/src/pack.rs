//! `vitral plugin pack`: a built plugin as a bundle.

use std::path::{Path, PathBuf};

use vitral_bundle::{PackInput, SigningKey, SourceManifest, pack_to_folder};
use vitral_files::Kind;

use crate::{Access, Artifacts, AuthorError, Progress, artifacts::Dist, files};

/// Packs what is built in a plugin's folder, with its README, licences and examples, and says where
/// the bundle is. What the plugin is, it says itself: in its WebAssembly form, or, if it has none
/// and the caller allows native code, in its native form.
///
/// # Errors
/// Nothing is built, the plugin cannot be opened, or a bundle cannot be made of it.
pub fn pack(
    folder: &Path,
    key: Option<&SigningKey>,
    output: &Path,
    access: &Access,
    progress: Progress,
) -> Result<PathBuf, AuthorError> {
    let source = SourceManifest::read(folder)?;
    let dist = Dist::read(folder)?;
    let artifacts = Artifacts::find(folder)?;
    progress("open the plugin");
    let plugin = artifacts.open_any(&access.engine()?, access)?;
    let mut input = PackInput::new(plugin.kind(), plugin.description().clone(), source);
    if let Some(path) = &dist.component {
        progress(&format!("pack {}", path.display()));
        input = input.wasm(files::read(path, Kind::COMPONENT)?);
    }
    for (triple, path) in &dist.libraries {
        progress(&format!("pack {}", path.display()));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        input = input.native(triple, &name, files::read(path, Kind::LIBRARY)?);
    }
    let path = pack_to_folder(&input.documents_of(folder)?, key, output)?;
    progress(&format!("wrote {}", path.display()));
    Ok(path)
}
