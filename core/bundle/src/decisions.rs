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
    /// The key that its signature named when this was decided, trusted or not. Where a file does not say it,
    /// it is from before that was noted, and what was decided holds no more: it would outlive the trust in
    /// the key.
    #[serde(default, skip_serializing_if = "Signer::is_not_noted")]
    #[schemars(with = "Option<String>")]
    pub key: Signer,
    /// What it may do.
    #[schemars(with = "Vec<String>")]
    pub permits: BTreeSet<Permit>,
}

/// Who had signed a bundle when something was decided about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<KeyId>", into = "Option<KeyId>")]
pub enum Signer {
    /// Nothing says it.
    #[default]
    NotNoted,
    /// Nobody had.
    Nobody,
    /// Whoever has the key of this number.
    Key(KeyId),
}

impl Signer {
    fn is_not_noted(&self) -> bool {
        *self == Self::NotNoted
    }
}

impl From<Option<KeyId>> for Signer {
    fn from(key: Option<KeyId>) -> Self {
        key.map_or(Self::Nobody, Self::Key)
    }
}

impl From<Signer> for Option<KeyId> {
    fn from(signer: Signer) -> Self {
        match signer {
            Signer::Key(key) => Some(key),
            Signer::Nobody | Signer::NotNoted => None,
        }
    }
}

impl Allowed {
    /// Whether it is from before it was noted who had signed the bundle, and so holds no more.
    pub fn has_lapsed(&self) -> bool {
        self.key.is_not_noted()
    }
}

impl Decisions {
    /// What a bundle may do.
    pub(crate) fn permits(&self, digest: Digest) -> impl Iterator<Item = &Permit> {
        let of = self.of(digest).filter(|allowed| !allowed.has_lapsed());
        of.flat_map(|allowed| &allowed.permits)
    }

    /// Whether something was decided about a bundle that holds no more.
    pub(crate) fn has_lapsed(&self, digest: Digest) -> bool {
        self.of(digest).any(Allowed::has_lapsed)
    }

    fn of(&self, digest: Digest) -> impl Iterator<Item = &Allowed> {
        self.allowed.iter().filter(move |allowed| allowed.digest == digest)
    }

    pub(crate) fn allow(
        &mut self,
        digest: Digest,
        plugin: &str,
        key: Option<KeyId>,
        permits: &[Permit],
    ) {
        // What holds no more does not come back with what is decided now.
        self.allowed.retain(|allowed| allowed.digest != digest || !allowed.has_lapsed());
        let index = self.allowed.iter().position(|allowed| allowed.digest == digest);
        let index = index.unwrap_or_else(|| {
            let (plugin, permits) = (plugin.to_owned(), BTreeSet::new());
            self.allowed.push(Allowed { digest, plugin, key: Signer::Nobody, permits });
            self.allowed.len() - 1
        });
        let allowed = &mut self.allowed[index];
        // A bundle that is not signed here may have been elsewhere.
        allowed.key = key.map_or(allowed.key, Signer::Key);
        allowed.permits.extend(permits.iter().cloned());
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
        let network = Permit::Network("lab:80".into());
        for permit in [network.clone(), Permit::Read("/a \"b\"".into()), network] {
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
    fn a_decision_without_its_signer_holds_no_more_and_is_kept_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let (root, digest) = (folder.path(), Digest::of(b"x"));
        let older = format!(
            r#"(allowed: [(digest: "{digest}", plugin: "blur 1.0.0", permits: ["native"])])"#
        );
        std::fs::write(root.join(FILE), older).unwrap();
        let other = Digest::of(b"y");
        Decisions::change(root, |known| known.allow(other, "y 1.0.0", None, &[Permit::Run]))
            .unwrap();
        let decisions = Decisions::read(root).unwrap();
        assert!(decisions.has_lapsed(digest) && decisions.permits(digest).count() == 0);
        // That nobody has signed it is noted.
        assert!(!decisions.has_lapsed(other) && decisions.permits(other).count() == 1);
        let again = [Permit::Clock];
        Decisions::change(root, |known| known.allow(digest, "blur 1.0.0", None, &again)).unwrap();
        let decisions = Decisions::read(root).unwrap();
        assert!(decisions.permits(digest).eq(&again), "and no more than was decided now");
        assert_eq!(decisions.allowed.len(), 2);
    }

    #[test]
    fn a_file_that_is_not_understood_allows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "(allowed: [(permits: [\"all\"])])").unwrap();
        let error = Decisions::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("trust.ron"), "{error}");
    }
}
