//! Makes bundles. The same input always gives the same bytes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use semver::Version;
use vitral_abi::{Description, Kind};
use vitral_program::ops::VERSION;

use crate::archive::{Bundle, EXTENSION};
use crate::checksums::Checksums;
use crate::contract::Contract;
use crate::digest::Digest;
use crate::entries::{Entry, encode};
use crate::error::BundleError;
use crate::keys::SigningKey;
use crate::manifest::{Artifact, Manifest};
use crate::source::SourceManifest;
use crate::target::Target;
use crate::{PART, files, manifest, paths};

/// What a bundle is made of.
#[derive(Clone, Debug)]
pub struct PackInput {
    kind: Kind,
    description: Description,
    source: SourceManifest,
    artifacts: Vec<(Target, Entry)>,
    documents: Vec<Entry>,
}

impl PackInput {
    /// Kind and description are what the plugin itself says, `source` is what its author adds.
    pub fn new(kind: Kind, description: Description, source: SourceManifest) -> Self {
        Self { kind, description, source, artifacts: Vec::new(), documents: Vec::new() }
    }

    /// Adds the WebAssembly component.
    pub fn wasm(mut self, component: Vec<u8>) -> Self {
        let path = paths::artifact(&Target::Wasm, &self.description.name, "");
        self.artifacts.push((Target::Wasm, (path, component)));
        self
    }

    /// Adds a native library for a target triple; `file_name` is the library's.
    pub fn native(mut self, triple: &str, file_name: &str, library: Vec<u8>) -> Self {
        let target = Target::Native(triple.to_owned());
        let path = paths::artifact(&target, &self.description.name, file_name);
        self.artifacts.push((target, (path, library)));
        self
    }

    /// Adds a file for people, such as `README.md` or `examples/swin.ron`.
    pub fn document(mut self, path: &str, content: Vec<u8>) -> Self {
        self.documents.push((path.to_owned(), content));
        self
    }

    /// Adds `README.md`, `CHANGELOG.md`, `LICENSE*` and `examples/*.ron` of a source folder, those that are there.
    pub fn documents_of(mut self, folder: &Path) -> Result<Self, BundleError> {
        for (path, name) in files_in(folder)? {
            if name == "README.md" || name == "CHANGELOG.md" || name.starts_with("LICENSE") {
                self.documents.push((name, files::read_own(&path, PART)?));
            }
        }
        for (path, name) in files_in(&folder.join("examples"))? {
            if name.ends_with(".ron") {
                let content = files::read_own(&path, PART)?;
                self.documents.push((format!("examples/{name}"), content));
            }
        }
        Ok(self)
    }

    fn manifest(&self) -> Result<Manifest, BundleError> {
        let Description { name, version, summary, parameters, examples } = &self.description;
        let version = Version::parse(version).map_err(|error| {
            self.wrong(format!("its version `{version}` is not a semantic version: {error}"))
        })?;
        let artifact = |(target, (path, content)): &(Target, Entry)| Artifact {
            kind: target.clone(),
            path: path.clone(),
            sha256: Digest::of(content),
            bytes: content.len() as u64,
        };
        let mut artifacts: Vec<Artifact> = self.artifacts.iter().map(artifact).collect();
        artifacts.sort_by(|a, b| a.kind.cmp(&b.kind));
        Ok(Manifest {
            name: name.clone(),
            version,
            contract: Contract::CURRENT,
            ops: manifest::traces(self.kind).then_some(VERSION),
            kind: self.kind.into(),
            summary: summary.clone(),
            parameters: parameters.iter().map(Into::into).collect(),
            examples: examples.iter().map(Into::into).collect(),
            permissions: self.source.permissions,
            limits: self.source.limits,
            artifacts,
            license: self.source.license.clone(),
            authors: self.source.authors.clone(),
            homepage: self.source.homepage.clone(),
        })
    }

    fn wrong(&self, problem: impl Into<String>) -> BundleError {
        BundleError::Pack { plugin: self.description.name.clone(), problem: problem.into() }
    }
}

/// Makes a bundle's bytes. What would not open is not packed.
pub fn pack(input: &PackInput, key: Option<&SigningKey>) -> Result<Vec<u8>, BundleError> {
    let manifest = input.manifest()?;
    let name = format!("{}.{EXTENSION}", manifest.id());
    let text = vitral_config::to_ron(&manifest)?;
    let mut files: Vec<Entry> = input.artifacts.iter().map(|(_, file)| file.clone()).collect();
    files.extend_from_slice(&input.documents);
    files.sort();
    let mut entries = vec![(paths::MANIFEST.to_owned(), text.into_bytes())];
    entries.append(&mut files);
    let sums = Checksums::of(entries.iter().map(|(path, content)| (path.as_str(), &content[..])));
    entries.insert(1, (paths::CHECKSUMS.to_owned(), sums.to_text().into_bytes()));
    let packed = encode(&entries).map_err(|error| input.wrong(error.to_string()))?;
    let bundle = Bundle::from_bytes(&name, &packed)?;
    if bundle.declared() != (input.kind, input.description.clone()) {
        return Err(input.wrong(
            "its description has a value that a manifest cannot hold, such as a number that is none",
        ));
    }
    match key {
        Some(key) => bundle.signed(key),
        None => Ok(packed),
    }
}

/// Makes a bundle and writes it as `name-version.vitral` into a folder; says where it is.
pub fn pack_to_folder(
    input: &PackInput,
    key: Option<&SigningKey>,
    folder: &Path,
) -> Result<PathBuf, BundleError> {
    let packed = pack(input, key)?;
    let path = folder.join(format!("{}.{EXTENSION}", input.manifest()?.id()));
    fs::create_dir_all(folder).map_err(|error| BundleError::io("write", folder, error))?;
    files::write(&path, &packed, files::Existing::Replace, files::Access::Usual)?;
    Ok(path)
}

/// The regular files of a folder that is there, by name.
fn files_in(folder: &Path) -> Result<Vec<(PathBuf, String)>, BundleError> {
    let at = |error| BundleError::io("read", folder, error);
    let list = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        list => list.map_err(at)?,
    };
    let mut files = Vec::new();
    for entry in list {
        let entry = entry.map_err(at)?;
        if entry.file_type().map_err(at)?.is_file() {
            let name = entry.file_name().into_string().map_err(|_| {
                let problem = io::Error::other("names in a bundle are Unicode, and this is not");
                BundleError::io("pack", &entry.path(), problem)
            })?;
            files.push((entry.path(), name));
        }
    }
    files.sort();
    Ok(files)
}
