//! The indexes that a user looks into, as they were when they were fetched last.

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
}

impl Indexes {
    /// Those of the user whose plugins are in a store.
    pub fn of(store: Store) -> Self {
        let folder = store.root().join(FOLDER);
        Self { store, folder }
    }

    /// Keeps an index as it was fetched from a place just now.
    ///
    /// # Errors
    /// Nobody who is trusted has signed it, it is older than what is kept of it, or it cannot be written.
    pub fn keep(&self, place: &str, file: &[u8]) -> Result<Known, RegistryError> {
        let wrong = |problem: String| RegistryError::Index { index: place.to_owned(), problem };
        let (index, key) = Index::open(place, file, &self.store.trusted_keys()?)?;
        let path = self.path(place);
        if let Ok(before) = self.read(&path)
            && before.key == key
            && before.index.serial > index.serial
        {
            return Err(wrong(format!(
                "this is number {} of the index, and number {} was there before: somebody shows an old one, \
                 of which versions may be missing or taken back since",
                index.serial, before.index.serial
            )));
        }
        let text = String::from_utf8(file.to_vec());
        let text = text.map_err(|_| wrong("this is no text".into()))?;
        let kept = Kept { place: place.to_owned(), file: text };
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
        let bytes = read_own(path, FILE).map_err(|error| RegistryError::io("read", path, error))?;
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| RegistryError::Index {
            index: path.display().to_string(),
            problem: error.to_string(),
        })?;
        let keys = self.store.trusted_keys()?;
        let (index, key) = Index::open(&kept.place, kept.file.as_bytes(), &keys)?;
        Ok(Known { place: kept.place, index, key })
    }

    fn path(&self, place: &str) -> PathBuf {
        self.folder.join(format!("{}.json", Digest::of(place.as_bytes())))
    }
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
}
