//! Reads bundles. Everything is checked before anything of it can be seen.

use std::path::Path;

use vitral_abi::{Description, Kind};

use crate::contents::Contents;
use crate::digest::Digest;
use crate::entries::{Entry, encode};
use crate::error::BundleError;
use crate::key_id::{Fingerprint, KeyId};
use crate::keys::{SigningKey, TrustedKey};
use crate::manifest::{self, Manifest};
use crate::paths::{self, Role};
use crate::seal::{self, Unsealed};
use crate::sign;
use crate::signature::Signature;
use crate::target::Target;
use crate::ustar::{Flaw, Reader};
use crate::{MAX_FILES, MAX_UNPACKED_BYTES, checksums, files, text};

/// The extension of bundles, without the dot.
pub const EXTENSION: &str = "vitral";

/// A bundle's file. Compression may add a little.
const FILE: files::Kind = files::Kind::new("a bundle", MAX_UNPACKED_BYTES + (16 << 20));

/// What any bundle's files may have together.
const UNPACKED_AT_LEAST: u64 = 64 << 20;
/// And what comes to that for each byte of the bundle.
const UNPACKED_FOR_EACH: u64 = 64;

/// A bundle in memory, all of whose checksums are right.
#[derive(Clone, Debug)]
pub struct Bundle {
    contents: Contents,
    entries: Vec<Entry>,
}

impl Bundle {
    /// Reads a bundle's file and checks everything but who signed it.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let bytes = files::read(path, FILE)?;
        Self::from_bytes(&path.display().to_string(), &bytes)
    }

    /// Reads a bundle that is in memory; `name` is what messages call it.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, BundleError> {
        let frame = seal::check(bytes).map_err(|problem| BundleError::damaged(name, problem))?;
        let unsealed = Unsealed::new(frame)
            .map_err(|error| BundleError::damaged(name, format!("cannot be read: {error}")))?;
        let entries =
            read_entries(unsealed, most_unpacked(bytes.len())).map_err(|flaw| {
                match flaw.entry {
                    Some(entry) => BundleError::entry(name, entry, flaw.problem),
                    None => BundleError::damaged(name, flaw.problem),
                }
            })?;
        Self::from_entries(name, entries)
    }

    fn from_entries(name: &str, entries: Vec<Entry>) -> Result<Self, BundleError> {
        let find = |path| find(&entries, path);
        let required = |path| {
            find(path)
                .ok_or_else(|| BundleError::entry(name, path, "is missing; every bundle has it"))
        };
        let (manifest, sums) = (required(paths::MANIFEST)?, required(paths::CHECKSUMS)?);
        let contents = Contents::read(name, manifest, sums, find(paths::SIGNATURE))?;
        let covered = entries.iter().filter(|(path, _)| is_covered(path));
        let paths = covered.clone().map(|(path, _)| path.as_str());
        contents.checksums.check_paths(name, paths)?;
        for (path, content) in covered {
            contents.checksums.check(name, path, content)?;
        }
        let bundle = Self { contents, entries };
        for artifact in &bundle.manifest().artifacts {
            bundle.contents.check_artifact(artifact, bundle.required(&artifact.path)?)?;
        }
        Ok(bundle)
    }

    /// What the plugin is, asks for, and consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.contents.manifest
    }

    /// Kind and description, for the host to compare with what the code says.
    pub fn declared(&self) -> (Kind, Description) {
        self.contents.declared()
    }

    /// The code for a target.
    pub fn artifact(&self, target: &Target) -> Result<&[u8], BundleError> {
        self.required(&self.manifest().artifact(target)?.path)
    }

    /// A file by its path, such as `README.md` or `examples/swin.ron`.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        find(&self.entries, path)
    }

    /// Path and bytes of each file, in the bundle's order.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries.iter().map(|(path, content)| (path.as_str(), content.as_slice()))
    }

    /// Who signed the bundle. A signature that claims to be of a trusted key but is not is an error.
    pub fn signature(&self, trusted: &[TrustedKey]) -> Result<Signature, BundleError> {
        self.contents.signature(trusted)
    }

    /// The key that its signature names, if there is one; it need not be that key's.
    pub fn signing_key(&self) -> Option<KeyId> {
        self.contents.signing_key()
    }

    /// The trusted key that signed the bundle; without one, an error that says why.
    pub fn require_trusted(&self, trusted: &[TrustedKey]) -> Result<Fingerprint, BundleError> {
        self.contents.require_trusted(trusted)
    }

    /// The digest of `SHA256SUMS`, which stands for all files but the signature.
    pub fn digest(&self) -> Digest {
        self.contents.digest()
    }

    /// `name-version.vitral`.
    pub fn file_name(&self) -> String {
        format!("{}.{EXTENSION}", self.manifest().id())
    }

    /// The bytes of the same bundle signed with a key, in place of any signature that it had.
    pub fn signed(&self, key: &SigningKey) -> Result<Vec<u8>, BundleError> {
        let sums = self.required(paths::CHECKSUMS)?;
        let signature = sign::sign(key, sums, &self.manifest().id())?;
        let mut entries = self.entries.clone();
        entries.retain(|(path, _)| path != paths::SIGNATURE);
        entries.insert(2, (paths::SIGNATURE.to_owned(), signature.into_bytes()));
        encode(&entries)
            .map_err(|error| BundleError::damaged(&self.contents.name, error.to_string()))
    }

    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }

    fn required(&self, path: &str) -> Result<&[u8], BundleError> {
        let found = self.file(path);
        found.ok_or_else(|| BundleError::entry(&self.contents.name, path, "is missing"))
    }
}

/// Whether `SHA256SUMS` has a line for a file.
pub(crate) fn is_covered(path: &str) -> bool {
    path != paths::CHECKSUMS && path != paths::SIGNATURE
}

fn find<'e>(entries: &'e [Entry], path: &str) -> Option<&'e [u8]> {
    let found = entries.iter().find(|(other, _)| other == path);
    found.map(|(_, content)| content.as_slice())
}

/// How many bytes the files of a bundle may have, which has so many itself. Code becomes two to five times
/// as much; zeros would become thousands of times as much.
fn most_unpacked(packed: usize) -> u64 {
    (UNPACKED_AT_LEAST + UNPACKED_FOR_EACH * packed as u64).min(MAX_UNPACKED_BYTES)
}

fn read_entries(unsealed: Unsealed<'_>, most: u64) -> Result<Vec<Entry>, Flaw> {
    let mut reader = Reader::new(unsealed, most);
    let mut entries: Vec<Entry> = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let path = entry.path.clone();
        let flaw = |problem: String| Flaw { entry: Some(text::shown(path.as_bytes())), problem };
        if entries.len() == MAX_FILES {
            return Err(flaw(format!("is one too many; a bundle has at most {MAX_FILES} files")));
        }
        let role = paths::role(&path).map_err(flaw)?;
        check_order(&entries, &path, role).map_err(flaw)?;
        let content = reader.content(&entry, limit(role))?;
        entries.push((path, content));
    }
    Ok(entries)
}

/// Each entry comes after those before it, in the one order that there is.
fn check_order(before: &[Entry], path: &str, role: Role) -> Result<(), String> {
    match (before.len(), role) {
        (0, Role::Manifest) | (1, Role::Checksums) => return Ok(()),
        (0, _) => return Err(format!("comes first, where a bundle has `{}`", paths::MANIFEST)),
        (1, _) => return Err(format!("comes second, where a bundle has `{}`", paths::CHECKSUMS)),
        _ => {}
    }
    if find(before, path).is_some() {
        return Err("occurs twice".to_owned());
    }
    let last = before.last().map(|(path, _)| path.as_str()).unwrap_or_default();
    let is_after = match role {
        Role::Signature => before.len() == 2,
        _ => before.len() == 2 || last == paths::SIGNATURE || last < path,
    };
    match is_after {
        true => Ok(()),
        false => Err(format!("comes after `{last}`, but belongs before it")),
    }
}

fn limit(role: Role) -> u64 {
    match role {
        Role::Manifest => manifest::FILE.most(),
        Role::Checksums => checksums::FILE.most(),
        Role::Signature => sign::FILE.most(),
        Role::Artifact | Role::Document => MAX_UNPACKED_BYTES,
    }
}
