//! Where a plugin's code is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use vitral_bundle::{
    Bundle, BundleError, EXTENSION, Installed, Limits, Manifest, Permissions, SourceManifest,
    Target,
};
use vitral_files::{Kind, Scratch};
use vitral_host::Declared;

use super::Artifacts;
use crate::{AuthorError, files};

/// A file that only unpacked bundles have.
const CHECKSUMS: &str = "SHA256SUMS";

pub(super) fn find(path: &Path) -> Result<Artifacts, AuthorError> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    if path.is_dir() {
        return if path.join(CHECKSUMS).exists() { installed(path) } else { source(path) };
    }
    match extension {
        Some("wasm") => component(path),
        Some(EXTENSION) => bundle(path),
        _ => Err(AuthorError::NothingBuilt {
            path: path.to_owned(),
            problem: if path.exists() {
                format!(
                    "this is not a folder, no bundle (`.{EXTENSION}`) and no component (`.wasm`)"
                )
            } else {
                "there is nothing here".into()
            },
        }),
    }
}

/// The folder that a plugin is written and built in.
fn source(folder: &Path) -> Result<Artifacts, AuthorError> {
    let source = SourceManifest::read(folder)?;
    let dist = Dist::read(folder)?;
    let Target::Native(triple) = Target::host() else { return Err(nothing(folder)) };
    let library = dist.libraries.into_iter().find(|(own, _)| *own == triple);
    if dist.component.is_none() && library.is_none() {
        return Err(nothing(folder));
    }
    Ok(Artifacts {
        name: folder.display().to_string(),
        declared: None,
        component: dist.component.map(|path| files::read(&path, Kind::COMPONENT)).transpose()?,
        library: library.map(|(_, path)| path),
        permissions: source.permissions,
        limits: source.limits,
        _unpacked: None,
    })
}

fn nothing(folder: &Path) -> AuthorError {
    let problem = "nothing is built yet: run `vitral plugin build` there";
    AuthorError::NothingBuilt { path: folder.to_owned(), problem: problem.into() }
}

fn component(path: &Path) -> Result<Artifacts, AuthorError> {
    Ok(Artifacts {
        name: path.display().to_string(),
        declared: None,
        component: Some(files::read(path, Kind::COMPONENT)?),
        library: None,
        permissions: Permissions::default(),
        limits: Limits::default(),
        _unpacked: None,
    })
}

fn bundle(path: &Path) -> Result<Artifacts, AuthorError> {
    let bundle = Bundle::open(path)?;
    let component = present(bundle.artifact(&Target::Wasm))?.map(<[u8]>::to_vec);
    let unpacked = match present(bundle.artifact(&Target::host()))? {
        Some(library) => Some(unpack(bundle.manifest(), library)?),
        None => None,
    };
    let (library, unpacked) = unpacked.unzip();
    Ok(packed(bundle.manifest(), bundle.declared(), component, library, unpacked))
}

fn installed(folder: &Path) -> Result<Artifacts, AuthorError> {
    let installed = Installed::open(folder)?;
    let component = present(installed.artifact(&Target::Wasm))?;
    let library = present(installed.artifact_path(&Target::host()))?;
    Ok(packed(installed.manifest(), installed.declared(), component, library, None))
}

fn packed(
    manifest: &Manifest,
    (kind, description): (vitral_abi::Kind, vitral_abi::Description),
    component: Option<Vec<u8>>,
    library: Option<PathBuf>,
    unpacked: Option<Scratch>,
) -> Artifacts {
    Artifacts {
        name: manifest.name.clone(),
        declared: Some(Declared { kind, description }),
        component,
        library,
        permissions: manifest.permissions,
        limits: manifest.limits,
        _unpacked: unpacked,
    }
}

/// Writes a library to where the system can load it.
fn unpack(manifest: &Manifest, library: &[u8]) -> Result<(PathBuf, Scratch), AuthorError> {
    let unpacked =
        Scratch::create(None).map_err(AuthorError::io("make a folder in", std::env::temp_dir()))?;
    let name = &manifest.artifact(&Target::host())?.path;
    let path = unpacked.path().join(Path::new(name).file_name().unwrap_or_default());
    files::write(&path, library)?;
    Ok((path, unpacked))
}

/// An artifact that may be missing.
fn present<T>(artifact: Result<T, BundleError>) -> Result<Option<T>, BundleError> {
    match artifact {
        Err(BundleError::NoArtifact { .. }) => Ok(None),
        artifact => artifact.map(Some),
    }
}

/// What is in the `dist` folder of a plugin's source.
#[derive(Debug, Default)]
pub(crate) struct Dist {
    pub(crate) component: Option<PathBuf>,
    /// Target triples and libraries.
    pub(crate) libraries: Vec<(String, PathBuf)>,
}

impl Dist {
    /// Looks into the `dist` folder of a plugin's source.
    pub(crate) fn read(folder: &Path) -> Result<Self, AuthorError> {
        let mut dist = Self::default();
        for path in files::entries(&folder.join("dist"))? {
            let is_component = path.extension().is_some_and(|extension| extension == "wasm");
            if path.is_dir() {
                let triple = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let libraries = files::entries(&path)?.into_iter().filter(|path| is_file(path));
                dist.libraries.extend(only(libraries)?.map(|library| (triple, library)));
            } else if is_component {
                dist.component = only(dist.component.into_iter().chain([path]))?;
            }
        }
        Ok(dist)
    }
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file())
}

/// The one path, if there is any.
fn only(paths: impl IntoIterator<Item = PathBuf>) -> Result<Option<PathBuf>, AuthorError> {
    let mut paths = paths.into_iter();
    let (first, second) = (paths.next(), paths.next());
    match second {
        None => Ok(first),
        Some(second) => Err(AuthorError::NothingBuilt {
            problem: format!(
                "a plugin has one, but {} is there too; remove what is old",
                first.unwrap_or_default().display()
            ),
            path: second,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triple() -> String {
        let Target::Native(triple) = Target::host() else { panic!("a native target") };
        triple
    }

    fn error(path: &Path) -> String {
        Artifacts::find(path).unwrap_err().to_string()
    }

    #[test]
    fn dist_has_one_component_and_one_library_a_target() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join("dist").join(name);
        assert!(error(folder.path()).contains("vitral plugin build"));
        files::write(&path("other-triple/libx.so"), b"other").unwrap();
        assert!(error(folder.path()).contains("vitral plugin build"));
        files::write(&path(&format!("{}/libx.so", triple())), b"own").unwrap();
        let found = Artifacts::find(folder.path()).unwrap();
        assert!(found.has_native() && !found.has_wasm());
        files::write(&path("x.wasm"), b"component").unwrap();
        let found = Artifacts::find(folder.path()).unwrap();
        assert_eq!(found.component.as_deref(), Some(&b"component"[..]));
        assert_eq!(Dist::read(folder.path()).unwrap().libraries.len(), 2);
        files::write(&path("y.wasm"), b"").unwrap();
        assert!(error(folder.path()).contains("remove what is old"));
    }

    #[test]
    fn what_is_no_plugin_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        assert!(error(&path).contains("there is nothing here"));
        files::write(&path, b"").unwrap();
        assert!(error(&path).contains("not a folder, no bundle"));
        let path = folder.path().join("x.vitral");
        files::write(&path, b"nothing").unwrap();
        assert!(matches!(Artifacts::find(&path), Err(AuthorError::Bundle(_))));
    }
}
