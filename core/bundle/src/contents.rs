//! What a bundle and an installed plugin have in common: the manifest, and what vouches for it.

use semver::Version;
use vitral_abi::{Description, Kind};
use vitral_config::Document;

use crate::checksums::Checksums;
use crate::digest::Digest;
use crate::error::BundleError;
use crate::key_id::{Fingerprint, KeyId};
use crate::keys::TrustedKey;
use crate::manifest::{Artifact, Manifest};
use crate::paths::{self, Role};
use crate::sign::SignatureFile;
use crate::signature::{Signature, SignatureError};

/// A manifest whose checksum is right, the checksums, and their signature.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    /// The bundle or folder, as the user knows it.
    pub name: String,
    pub manifest: Manifest,
    pub checksums: Checksums,
    pub signature: Option<SignatureFile>,
}

impl Contents {
    /// Reads the three files that stand first, and checks them against each other.
    pub(crate) fn read(
        name: &str,
        manifest: &[u8],
        checksums: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<Self, BundleError> {
        let checksums = Checksums::parse(name, checksums)?;
        checksums.check(name, paths::MANIFEST, manifest)?;
        let manifest = str::from_utf8(manifest)
            .map_err(|_| BundleError::entry(name, paths::MANIFEST, "is not UTF-8"))?;
        let document = Document::new(format!("{name}: {}", paths::MANIFEST), manifest);
        let manifest = Manifest::parse(&document)?;
        let signature = signature
            .map(|text| SignatureFile::parse(text).map_err(|error| wrong_signature(name, error)))
            .transpose()?;
        let contents = Self { name: name.to_owned(), manifest, checksums, signature };
        contents.check_artifacts()?;
        Ok(contents)
    }

    /// Manifest and checksums name the same artifacts with the same digests.
    fn check_artifacts(&self) -> Result<(), BundleError> {
        for Artifact { path, sha256, .. } in &self.manifest.artifacts {
            let expected = self.checksums.get(&self.name, path).map_err(|_| {
                let problem = "is in the manifest, but not in the bundle";
                BundleError::entry(&self.name, path, problem)
            })?;
            if expected != *sha256 {
                let problem =
                    format!("has SHA-256 {sha256} in the manifest, but {expected} in SHA256SUMS");
                return Err(BundleError::entry(&self.name, path, problem));
            }
        }
        for path in self.checksums.paths() {
            let role = paths::role(path)
                .map_err(|problem| BundleError::entry(&self.name, path, problem))?;
            let is_named = |artifact: &Artifact| artifact.path == path;
            if role == Role::Artifact && !self.manifest.artifacts.iter().any(is_named) {
                let problem = "is an artifact that the manifest does not name";
                return Err(BundleError::entry(&self.name, path, problem));
            }
        }
        Ok(())
    }

    /// Checks an artifact's bytes against the manifest.
    pub(crate) fn check_artifact(
        &self,
        artifact: &Artifact,
        content: &[u8],
    ) -> Result<(), BundleError> {
        let found = Digest::of(content);
        if found != artifact.sha256 {
            let by = "the manifest";
            return Err(BundleError::changed(
                &self.name,
                &artifact.path,
                by,
                artifact.sha256,
                found,
            ));
        }
        match content.len() as u64 == artifact.bytes {
            true => Ok(()),
            false => Err(BundleError::entry(
                &self.name,
                &artifact.path,
                format!("has {} bytes, but the manifest says {}", content.len(), artifact.bytes),
            )),
        }
    }

    pub(crate) fn declared(&self) -> (Kind, Description) {
        (self.manifest.kind(), self.manifest.description())
    }

    pub(crate) fn version(&self) -> &Version {
        &self.manifest.version
    }

    /// The digest of the checksums, which stands for all of the files.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.checksums.to_text().as_bytes())
    }

    pub(crate) fn signature(&self, trusted: &[TrustedKey]) -> Result<Signature, BundleError> {
        let Some(signature) = &self.signature else { return Ok(Signature::Unsigned) };
        signature
            .verify(self.checksums.to_text().as_bytes(), trusted)
            .map_err(|error| wrong_signature(&self.name, error))
    }

    /// The key that the signature names, if there is one; it need not be that key's.
    pub(crate) fn signing_key(&self) -> Option<KeyId> {
        self.signature.as_ref().map(SignatureFile::key)
    }

    pub(crate) fn require_trusted(
        &self,
        trusted: &[TrustedKey],
    ) -> Result<Fingerprint, BundleError> {
        let error = match self.signature(trusted)? {
            Signature::Trusted(key) => return Ok(key),
            Signature::Unknown(key) => SignatureError::UnknownKey {
                key,
                trusted: trusted.iter().map(TrustedKey::fingerprint).collect(),
            },
            Signature::Unsigned => SignatureError::Missing,
        };
        Err(wrong_signature(&self.name, error))
    }
}

fn wrong_signature(bundle: &str, error: SignatureError) -> BundleError {
    BundleError::Signature { bundle: bundle.to_owned(), error }
}
