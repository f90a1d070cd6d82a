//! `origins.ron` of a store: which bundles came from registries, and under which name. A version that is
//! another one when it is fetched again is noticed by it, and a run's lock says where its plugins came from.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_config::Document;

use crate::digest::Digest;
use crate::error::BundleError;
use crate::files::{self, Access, Existing};
use crate::ownership;
use crate::reference::Reference;

const FILE: &str = "origins.ron";
const LOCK: &str = ".origins.lock";
const KIND: files::Kind = files::Kind::new("a file of origins", 16 << 20);

/// Which bundles came from registries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Origins {
    /// By the names under which they were fetched, with their versions or digests.
    fetched: BTreeMap<String, Fetched>,
}

/// What came under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    /// The digest under which the registry has it.
    #[schemars(with = "String")]
    pub registry: Digest,
    /// The digest of the bundle's checksums.
    #[schemars(with = "String")]
    pub bundle: Digest,
}

impl Origins {
    /// What came under a name the first time.
    pub fn get(&self, reference: &Reference) -> Option<Fetched> {
        self.fetched.get(&reference.to_string()).copied()
    }

    /// The names under which a bundle came.
    pub fn of(&self, bundle: Digest) -> impl Iterator<Item = &str> {
        let same = self.fetched.iter().filter(move |(_, fetched)| fetched.bundle == bundle);
        same.map(|(name, _)| name.as_str())
    }

    /// Reads what is known in a store's folder.
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

    /// Notes what came under a name, in a store's folder, which is there; several processes may do so.
    pub(crate) fn note(
        root: &Path,
        reference: &Reference,
        fetched: Fetched,
    ) -> Result<(), BundleError> {
        let lock = root.join(LOCK);
        let at = |error| BundleError::io("lock", &lock, error);
        let file = vitral_files::update(&lock, files::Kind::LOCK).map_err(at)?;
        file.lock().map_err(at)?;
        let mut origins = Self::read(root)?;
        if origins.fetched.insert(reference.to_string(), fetched) == Some(fetched) {
            return Ok(());
        }
        let text = vitral_config::to_ron(&origins)?;
        files::write(&root.join(FILE), text.as_bytes(), Existing::Replace, Access::Private)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[test]
    fn a_store_knows_under_which_names_its_bundles_came() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("plugins"));
        assert_eq!(store.origins().unwrap(), Origins::default());
        let reference = |text: &str| text.parse::<Reference>().unwrap();
        let of = |text: &str| Fetched {
            registry: Digest::of(text.as_bytes()),
            bundle: Digest::of(b"bundle"),
        };
        let (one, two) = (reference("r.org/blur:1.0.0"), reference("s.org/blur:1.0.0"));
        store.note_origin(&one, of("one")).unwrap();
        store.note_origin(&two, of("two")).unwrap();
        let origins = store.origins().unwrap();
        assert_eq!(origins.get(&one), Some(of("one")));
        assert_eq!(origins.get(&reference("r.org/blur:1.0.1")), None);
        let names: Vec<&str> = origins.of(Digest::of(b"bundle")).collect();
        assert_eq!(names, ["r.org/blur:1.0.0", "s.org/blur:1.0.0"]);
        assert_eq!(origins.of(Digest::of(b"other")).count(), 0);
    }
}
