//! `vitral plugin build`: a plugin's crate as a WebAssembly component and as a native library, in
//! the crate's `dist` folder.

mod cargo;
mod component;
mod toolchain;

use std::path::{Path, PathBuf};

use vitral_files::Kind;

use crate::{AuthorError, Progress, files};
use cargo::{Crate, Profile};

/// What is built, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildOptions {
    /// Whether the WebAssembly component is built.
    pub wasm: bool,
    /// Whether the native library is built.
    pub native: bool,
    /// Whether the component may use vector instructions. Without them it is slower; that is for
    /// measuring.
    pub simd: bool,
    /// Whether cargo must do without the network.
    pub offline: bool,
    /// Where cargo keeps what it compiles; by default where it would by itself. WebAssembly has a
    /// folder of its own in it.
    pub target_dir: Option<PathBuf>,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self { wasm: true, native: true, simd: true, offline: false, target_dir: None }
    }
}

/// What was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// The WebAssembly component.
    pub wasm: Option<PathBuf>,
    /// The native library.
    pub native: Option<PathBuf>,
}

/// Builds the crate in a folder. Cargo's lines go to the callback.
///
/// # Errors
/// There is no crate that becomes a plugin, no toolchain, or cargo fails; the error has its output.
pub fn build(
    folder: &Path,
    options: &BuildOptions,
    progress: Progress,
) -> Result<Built, AuthorError> {
    let mut crate_ = Crate::read(folder, options.offline)?;
    if let Some(target_dir) = &options.target_dir {
        crate_.target_dir.clone_from(target_dir);
    }
    let dist = folder.join("dist");
    let mut built = Built::default();
    if options.wasm {
        built.wasm = Some(build_wasm(&crate_, &dist, options, progress)?);
    }
    if options.native {
        built.native = Some(build_native(&crate_, &dist, options, progress)?);
    }
    Ok(built)
}

fn build_wasm(
    crate_: &Crate,
    dist: &Path,
    options: &BuildOptions,
    progress: Progress,
) -> Result<PathBuf, AuthorError> {
    let mut environment = toolchain::environment(progress)?;
    let flags = if options.simd { "-C target-feature=+simd128" } else { "" };
    environment.push(("RUSTFLAGS".into(), flags.into()));
    // The standard library may be among what is compiled, which no other build should redo.
    let target_dir = crate_.target_dir.join("wasm");
    let profile = Profile { what: "the WebAssembly build", environment, target_dir };
    let module = crate_.build(&profile, options.offline, progress)?;
    let component = component::of(&module, &files::read(&module, Kind::COMPONENT)?)?;
    let path = dist.join(format!("{}.wasm", crate_.name));
    files::write(&path, &component)?;
    progress(&format!("wrote {} ({} KiB)", path.display(), component.len().div_ceil(1024)));
    Ok(path)
}

fn build_native(
    crate_: &Crate,
    dist: &Path,
    options: &BuildOptions,
    progress: Progress,
) -> Result<PathBuf, AuthorError> {
    let target_dir = crate_.target_dir.clone();
    let profile = Profile { what: "the native build", environment: Vec::new(), target_dir };
    let library = crate_.build(&profile, options.offline, progress)?;
    let content = files::read(&library, Kind::LIBRARY)?;
    let name = library.file_name().unwrap_or_default();
    let path = dist.join(toolchain::host()?).join(name);
    files::write(&path, &content)?;
    progress(&format!("wrote {} ({} KiB)", path.display(), content.len().div_ceil(1024)));
    Ok(path)
}
