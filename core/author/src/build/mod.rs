//! `vitral plugin build`: a plugin as a WebAssembly component and, in Rust and C, as a native library, in the
//! `dist` folder of its source.

mod c;
mod cargo;
mod component;
mod javascript;
mod python;
mod sdk;
#[cfg(test)]
mod sdk_ops;
mod tool;
mod toolchain;

use std::{
    env::consts::{DLL_PREFIX, DLL_SUFFIX},
    path::{Path, PathBuf},
};

use vitral_bundle::Target;
use vitral_files::Kind;

use crate::{AuthorError, Language, Progress, files, language::Source};
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
    /// The files that it was built of, as far as cargo names them: in the plugin's folder and beyond it.
    pub sources: Vec<PathBuf>,
}

/// Builds the plugin in a folder. What the programs say that do it goes to the callback.
///
/// # Errors
/// There is nothing that becomes a plugin, no toolchain, or a program fails; the error has its output.
pub fn build(
    folder: &Path,
    options: &BuildOptions,
    progress: Progress,
) -> Result<Built, AuthorError> {
    let (language, kind) = match Source::find(folder)? {
        Source::Rust => return build_crate(folder, options, progress),
        Source::File { language, kind } => (language, kind),
    };
    if !options.wasm && !language.has_native() {
        return Err(AuthorError::Source {
            folder: folder.to_owned(),
            problem: format!("plugins in {language} have no native form"),
        });
    }
    let name = name_of(folder)?;
    let dist = folder.join("dist");
    let mut built = Built::default();
    if options.wasm {
        let component = match language {
            Language::Python => python::component(folder, kind, progress)?,
            Language::JavaScript => javascript::component(folder, kind, progress)?,
            _ => c::component(folder, kind, options.simd, progress)?,
        };
        built.wasm = Some(write(&dist.join(format!("{name}.wasm")), &component, progress)?);
    }
    if options.native && language.has_native() {
        let library = c::library(folder, kind, progress)?;
        let file = format!("{DLL_PREFIX}{}{DLL_SUFFIX}", name.replace('-', "_"));
        let Target::Native(triple) = Target::host() else { return Ok(built) };
        built.native = Some(write(&dist.join(triple).join(file), &library, progress)?);
    }
    Ok(built)
}

/// What a plugin's files in `dist` are called: as its folder.
fn name_of(folder: &Path) -> Result<String, AuthorError> {
    let path = folder.canonicalize().map_err(AuthorError::io("find", folder))?;
    Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// Writes what was built, and says so.
fn write(path: &Path, content: &[u8], progress: Progress) -> Result<PathBuf, AuthorError> {
    files::write(path, content)?;
    progress(&format!("wrote {} ({} KiB)", path.display(), content.len().div_ceil(1024)));
    Ok(path.to_owned())
}

/// Builds the crate in a folder.
fn build_crate(
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
        let (path, sources) = build_wasm(&crate_, &dist, options, progress)?;
        built.wasm = Some(path);
        built.sources.extend(sources);
    }
    if options.native {
        let (path, sources) = build_native(&crate_, &dist, options, progress)?;
        built.native = Some(path);
        built.sources.extend(sources);
    }
    Ok(built)
}

/// Builds the component; says where it is, and of which files it is made.
fn build_wasm(
    crate_: &Crate,
    dist: &Path,
    options: &BuildOptions,
    progress: Progress,
) -> Result<(PathBuf, Vec<PathBuf>), AuthorError> {
    let mut environment = toolchain::environment(progress)?;
    let flags = if options.simd { "-C target-feature=+simd128" } else { "" };
    environment.push(("RUSTFLAGS".into(), flags.into()));
    // The standard library may be among what is compiled, which no other build should redo.
    let target_dir = crate_.target_dir.join("wasm");
    let profile = Profile { what: "the WebAssembly build", environment, target_dir };
    let module = crate_.build(&profile, options.offline, progress)?;
    let component = component::of(&module, &files::read(&module, Kind::COMPONENT)?)?;
    let path = write(&dist.join(format!("{}.wasm", crate_.name)), &component, progress)?;
    Ok((path, cargo::sources_of(&module)))
}

/// The same for the native library.
fn build_native(
    crate_: &Crate,
    dist: &Path,
    options: &BuildOptions,
    progress: Progress,
) -> Result<(PathBuf, Vec<PathBuf>), AuthorError> {
    let target_dir = crate_.target_dir.clone();
    let profile = Profile { what: "the native build", environment: Vec::new(), target_dir };
    let library = crate_.build(&profile, options.offline, progress)?;
    let content = files::read(&library, Kind::LIBRARY)?;
    let name = library.file_name().unwrap_or_default();
    let path = write(&dist.join(toolchain::host()?).join(name), &content, progress)?;
    Ok((path, cargo::sources_of(&library)))
}
