//! The indexes that a user looks into, as they were when they were fetched last.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vitral_bundle::{Digest, Fingerprint, Store};
use vitral_files::{Access, Existing, Kind, create_private_folder, read_own};

use crate::error::RegistryError;
use crate::index::{self, Index};

/// Where they are in the plugins' folder.
const FOLDER: &str = ".indexes";

/// A file with one of them, which escapes what it holds.
const FILE: Kind = Kind::new("an index of plugins", 4 * index::MOST);

/// The indexes that a user looks into.
pub struct Indexes {
    store: Store,
    folder: PathBuf,
}

/// An index that was fetched.
#[derive(Clone, Debug)]
pub struct Known {
    /// Where it comes from: a file, or an address.
    pub place: String,
    /// What it lists.
    pub index: Index,
    /// Who has signed it.
    pub key: Fingerprint,
}

/// What is kept of an index.
#[derive(Serialize, Deserialize)]
struct Kept {
    place: String,
    file: String,
    /// Who has signed it.
    key: Fingerprint,
    /// The highest number that was there, by the keys that have signed what was.
    serials: BTreeMap<Fingerprint, u64>,
}

impl Indexes {
    /// Those of the user whose plugins are in a store.
    pub fn of(store: Store) -> Self {
        let folder = store.root().join(FOLDER);
        Self { store, folder }
    }

    /// Looks into an index from now on, whichever trusted key has signed it.
    ///
    /// # Errors
    /// Nobody who is trusted has signed it, it is older than what that key had signed there before, or it
    /// cannot be written.
    pub fn add(&self, place: &str, file: &[u8]) -> Result<Known, RegistryError> {
        self.put(place, file, true)
    }

    /// Keeps an index, into which the user looks, as it was fetched from its place just now.
    ///
    /// # Errors
    /// As [`add`](Self::add), and if another key has signed it than before.
    pub fn keep(&self, place: &str, file: &[u8]) -> Result<Known, RegistryError> {
        self.put(place, file, false)
    }

    fn put(&self, place: &str, file: &[u8], may_change_key: bool) -> Result<Known, RegistryError> {
        let wrong = |problem: String| RegistryError::Index { index: place.to_owned(), problem };
        let (index, key) = Index::open(place, file, &self.store.trusted_keys()?)?;
        let path = self.path(place);
        let before = match kept(&path) {
            Ok(before) => Some(before),
            Err(RegistryError::Io { error, .. })
                if error.kind() == std::io::ErrorKind::NotFound =>
            {
                None
            }
            Err(error) => return Err(error),
        };
        if let Some(before) = before.as_ref().filter(|before| before.key != key)
            && !may_change_key
        {
            return Err(wrong(format!(
                "the index is signed with key {key}, and was with key {} before; if its publisher \
                 says that this is right, `vitral plugin index add {place}` accepts the new key",
                before.key
            )));
        }
        let mut serials = before.map(|before| before.serials).unwrap_or_default();
        let highest = serials.entry(key).or_default();
        if *highest > index.serial {
            return Err(wrong(format!(
                "this is number {} of the index, but number {highest} was there before: this is an \
                 old one, and versions may have been added or yanked since",
                index.serial
            )));
        }
        *highest = index.serial;
        let text = String::from_utf8(file.to_vec());
        let text = text.map_err(|_| wrong("this is not text".into()))?;
        let kept = Kept { place: place.to_owned(), file: text, key, serials };
        let kept = serde_json::to_vec(&kept).map_err(|error| wrong(error.to_string()))?;
        let at = |error| RegistryError::io("write", &path, error);
        create_private_folder(&self.folder).map_err(at)?;
        vitral_files::write(&path, &kept, Existing::Replace, Access::Private).map_err(at)?;
        Ok(Known { place: place.to_owned(), index, key })
    }

    /// Looks no more into what comes from a place; says whether it did before.
    ///
    /// # Errors
    /// The system does not remove it.
    pub fn forget(&self, place: &str) -> Result<bool, RegistryError> {
        let path = self.path(place);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            removed => {
                removed.map(|()| true).map_err(|error| RegistryError::io("remove", &path, error))
            }
        }
    }

    /// All of them, each as it was fetched last, or why it cannot be used.
    ///
    /// # Errors
    /// Their folder cannot be read.
    pub fn list(&self) -> Result<Vec<Result<Known, RegistryError>>, RegistryError> {
        let at = |error| RegistryError::io("read", &self.folder, error);
        let list = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            list => list.map_err(at)?,
        };
        let paths: std::io::Result<Vec<PathBuf>> = list.map(|entry| Ok(entry?.path())).collect();
        let mut paths = paths.map_err(at)?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        Ok(paths.iter().map(|path| self.read(path)).collect())
    }

    fn read(&self, path: &Path) -> Result<Known, RegistryError> {
        let kept = kept(path)?;
        let keys = self.store.trusted_keys()?;
        let (index, key) = Index::open(&kept.place, kept.file.as_bytes(), &keys)?;
        Ok(Known { place: kept.place, index, key })
    }

    fn path(&self, place: &str) -> PathBuf {
        self.folder.join(format!("{}.json", Digest::of(place.as_bytes())))
    }
}

/// What a file keeps of an index, whoever is trusted.
fn kept(path: &Path) -> Result<Kept, RegistryError> {
    let bytes = read_own(path, FILE).map_err(|error| RegistryError::io("read", path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| RegistryError::Index {
        index: path.display().to_string(),
        problem: format!("what is kept of an index here is damaged: {error}; remove the file"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::tests::{key, listed};

    #[test]
    fn an_index_is_kept_and_never_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("plugins"));
        let indexes = Indexes::of(store.clone());
        assert!(indexes.list().unwrap().is_empty());
        let (secret, public) = key();
        let index = |serial| Index { serial, plugins: vec![listed("blur", "Blurs", &["1.0.0"])] };
        let file = |serial| index(serial).signed(&secret).unwrap();
        assert!(indexes.keep("https://r.org/i", &file(2)).is_err(), "nobody trusts the key");
        store.trust(&public).unwrap();
        indexes.keep("https://r.org/i", &file(2)).unwrap();
        let error = indexes.keep("https://r.org/i", &file(1)).unwrap_err().to_string();
        assert!(error.contains("number 1") && error.contains("number 2"), "{error}");
        indexes.keep("https://r.org/i", &file(3)).unwrap();
        indexes.keep("other", &file(1)).unwrap();
        let known: Vec<Known> =
            indexes.list().unwrap().into_iter().collect::<Result<_, _>>().unwrap();
        let mut serials: Vec<u64> = known.iter().map(|known| known.index.serial).collect();
        serials.sort_unstable();
        assert_eq!(serials, [1, 3]);
        // Trust is looked at each time.
        store.distrust(&public.fingerprint().to_string()).unwrap();
        assert!(indexes.list().unwrap().iter().all(Result::is_err));
        assert!(indexes.forget("other").unwrap() && !indexes.forget("other").unwrap());
        assert_eq!(indexes.list().unwrap().len(), 1);
    }

    #[test]
    fn another_trusted_key_does_not_bring_an_old_index_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("plugins"));
        let indexes = Indexes::of(store.clone());
        let (one, other) = (key(), key());
        store.trust(&one.1).unwrap();
        store.trust(&other.1).unwrap();
        let file = |serial, key: &vitral_bundle::SigningKey| {
            let plugins = vec![listed("blur", "Blurs", &["1.0.0"])];
            Index { serial, plugins }.signed(key).unwrap()
        };
        let place = "https://r.org/i";
        indexes.add(place, &file(5, &one.0)).unwrap();
        let error = indexes.keep(place, &file(9, &other.0)).unwrap_err().to_string();
        assert!(error.contains(&one.1.fingerprint().to_string()), "{error}");
        assert!(error.contains("index add https://r.org/i"), "{error}");
        // Also where the key of before is not trusted any more.
        store.distrust(&one.1.fingerprint().to_string()).unwrap();
        assert!(indexes.keep(place, &file(9, &other.0)).is_err());
        store.trust(&one.1).unwrap();
        // The user changes the key, and what the first one had signed stays known.
        indexes.add(place, &file(9, &other.0)).unwrap();
        let error = indexes.add(place, &file(4, &one.0)).unwrap_err().to_string();
        assert!(error.contains("number 4") && error.contains("number 5"), "{error}");
        indexes.add(place, &file(6, &one.0)).unwrap();
        let error = indexes.add(place, &file(8, &other.0)).unwrap_err().to_string();
        assert!(error.contains("number 8") && error.contains("number 9"), "{error}");
    }
}
