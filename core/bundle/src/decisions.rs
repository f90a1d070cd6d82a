//! `trust.ron` of a store: what the user has decided about bundles and their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_config::Document;

use crate::digest::Digest;
use crate::error::BundleError;
use crate::files::{self, Access, Existing};
use crate::key_id::{Fingerprint, KeyId};
use crate::ownership;
use crate::permit::Permit;

const FILE: &str = "trust.ron";
const LOCK: &str = ".trust.lock";
const KIND: files::Kind = files::Kind::new("a file of decisions", 16 << 20);

/// What the user has decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Decisions {
    /// Whose a plugin's name is: the key with which the bundle was signed that was the first of that
    /// name to be installed.
    #[schemars(with = "BTreeMap<String, String>")]
    pub names: BTreeMap<String, Fingerprint>,
    /// What bundles may do.
    pub allowed: Vec<Allowed>,
}

/// What one bundle may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// The digest of its checksums, which stands for all of its files.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// Its name and version, for people.
    pub plugin: String,
    /// The key that its signature named when this was decided, trusted or not.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub key: Option<KeyId>,
    /// What it may do.
    #[schemars(with = "Vec<String>")]
    pub permits: BTreeSet<Permit>,
}

impl Decisions {
    /// What a bundle may do.
    pub(crate) fn permits(&self, digest: Digest) -> impl Iterator<Item = &Permit> {
        let of = self.allowed.iter().filter(move |allowed| allowed.digest == digest);
        of.flat_map(|allowed| &allowed.permits)
    }

    pub(crate) fn allow(
        &mut self,
        digest: Digest,
        plugin: &str,
        key: Option<KeyId>,
        permits: &[Permit],
    ) {
        let index = self.allowed.iter().position(|allowed| allowed.digest == digest);
        let index = index.unwrap_or_else(|| {
            let permits = BTreeSet::new();
            self.allowed.push(Allowed { digest, plugin: plugin.to_owned(), key: None, permits });
            self.allowed.len() - 1
        });
        // A bundle that is not signed here may have been elsewhere.
        self.allowed[index].key = key.or(self.allowed[index].key);
        self.allowed[index].permits.extend(permits.iter().cloned());
    }

    /// Reads what was decided in a store's folder.
    pub(crate) fn read(root: &Path) -> Result<Self, BundleError> {
        let path = root.join(FILE);
        if path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        {
            return Ok(Self::default());
        }
        ownership::check(&path)?;
        let bytes = files::read_own(&path, KIND)?;
        let document = Document::new(path.display().to_string(), String::from_utf8_lossy(&bytes));
        Ok(document.parse()?)
    }

    /// Changes what was decided in a store's folder, which is there; several processes may do so.
    pub(crate) fn change<R>(
        root: &Path,
        change: impl FnOnce(&mut Self) -> R,
    ) -> Result<R, BundleError> {
        let lock = root.join(LOCK);
        let at = |error| BundleError::io("lock", &lock, error);
        let file = vitral_files::update(&lock, files::Kind::LOCK).map_err(at)?;
        file.lock().map_err(at)?;
        let mut decisions = Self::read(root)?;
        let result = change(&mut decisions);
        let text = vitral_config::to_ron(&decisions)?;
        files::write(&root.join(FILE), text.as_bytes(), Existing::Replace, Access::Private)?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_survive_their_file_and_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(Decisions::read(root).unwrap(), Decisions::default());
        let digest = Digest::of(b"x");
        for permit in [Permit::Network, Permit::Read("/a \"b\"".into()), Permit::Network] {
            Decisions::change(root, |known| known.allow(digest, "blur 1.0.0", None, &[permit]))
                .unwrap();
        }
        let key: Fingerprint = Digest::of(b"key").to_string().parse().unwrap();
        Decisions::change(root, |known| known.names.insert("blur".into(), key)).unwrap();
        let decisions = Decisions::read(root).unwrap();
        assert_eq!(decisions.names["blur"], key);
        assert_eq!(decisions.allowed.len(), 1);
        assert_eq!(decisions.permits(digest).count(), 2);
        assert_eq!(decisions.permits(Digest::of(b"y")).count(), 0);
    }

    #[test]
    fn a_file_that_is_not_understood_allows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "(allowed: [(permits: [\"all\"])])").unwrap();
        let error = Decisions::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("trust.ron"), "{error}");
    }
}
