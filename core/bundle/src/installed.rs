//! One unpacked bundle in a folder. Whatever is read of it is checked again.

use std::path::{Path, PathBuf};

use semver::Version;
use vitral_abi::{Description, Kind};

use crate::contents::Contents;
use crate::digest::Digest;
use crate::error::BundleError;
use crate::key_id::Fingerprint;
use crate::keys::TrustedKey;
use crate::manifest::{self, Manifest};
use crate::sign;
use crate::signature::Signature;
use crate::target::Target;
use crate::{PART, checksums, files, ownership, paths};

/// An installed plugin.
#[derive(Clone, Debug)]
pub struct Installed {
    folder: PathBuf,
    contents: Contents,
}

impl Installed {
    /// Reads the manifest in a folder and checks it. Other files are checked when they are read.
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        let manifest = files::read_own(&folder.join(paths::MANIFEST), manifest::FILE)?;
        let sums = files::read_own(&folder.join(paths::CHECKSUMS), checksums::FILE)?;
        let signature = folder.join(paths::SIGNATURE);
        let signature = match signature.symlink_metadata() {
            Ok(_) => Some(files::read_own(&signature, sign::FILE)?),
            Err(_) => None,
        };
        let name = folder.display().to_string();
        let contents = Contents::read(&name, &manifest, &sums, signature.as_deref())?;
        let id = contents.manifest.id();
        if folder.file_name() != Some(id.as_ref()) {
            let problem =
                format!("the plugin in this folder is `{id}`, so the folder must have that name");
            return Err(BundleError::damaged(&name, problem));
        }
        Ok(Self { folder: folder.to_owned(), contents })
    }

    /// What the plugin is, asks for, and consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.contents.manifest
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.contents.manifest.name
    }

    /// Its version.
    pub fn version(&self) -> &Version {
        self.contents.version()
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kind and description, for the host to compare with what the code says.
    pub fn declared(&self) -> (Kind, Description) {
        self.contents.declared()
    }

    /// The code for a target, checked.
    pub fn artifact(&self, target: &Target) -> Result<Vec<u8>, BundleError> {
        let artifact = self.manifest().artifact(target)?;
        let content = files::read_own(&self.folder.join(&artifact.path), PART)?;
        self.contents.check_artifact(artifact, &content)?;
        Ok(content)
    }

    /// The file with the code for a target, checked just now, for the system to load. Nobody else
    /// can change it before that.
    pub fn artifact_path(&self, target: &Target) -> Result<PathBuf, BundleError> {
        let path = self.folder.join(&self.manifest().artifact(target)?.path);
        ownership::check_within(&self.folder, &path)?;
        self.artifact(target)?;
        Ok(path)
    }

    /// The paths of its files, but for checksums and signature.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.contents.checksums.paths()
    }

    /// A file by its path, such as `README.md` or `examples/swin.ron`, checked.
    pub fn file(&self, path: &str) -> Result<Vec<u8>, BundleError> {
        let Contents { name, checksums, .. } = &self.contents;
        // Only paths that the checksums have are joined to the folder.
        checksums.get(name, path)?;
        let content = files::read_own(&self.folder.join(path), PART)?;
        checksums.check(name, path, &content)?;
        Ok(content)
    }

    /// Checks all of its files.
    pub fn verify(&self) -> Result<(), BundleError> {
        self.paths().try_for_each(|path| self.file(path).map(drop))
    }

    /// Who signed it. A signature that claims to be of a trusted key but is not is an error.
    pub fn signature(&self, trusted: &[TrustedKey]) -> Result<Signature, BundleError> {
        self.contents.signature(trusted)
    }

    /// The trusted key that signed it; without one, an error that says why.
    pub fn require_trusted(&self, trusted: &[TrustedKey]) -> Result<Fingerprint, BundleError> {
        self.contents.require_trusted(trusted)
    }

    /// The digest of `SHA256SUMS`, which stands for all files but the signature.
    pub fn digest(&self) -> Digest {
        self.contents.digest()
    }

    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }
}
