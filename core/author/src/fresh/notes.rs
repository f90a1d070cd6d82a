//! What was built of a plugin's folder, as this program has noted it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vitral_bundle::{Digest, Target, check_own};
use vitral_config::path_text;
use vitral_files::{Access, Existing, Kind, create_private_folder, read_own};

use super::Elsewhere;
use crate::AuthorError;

const KIND: Kind = Kind::new("notes about a plugin's folder", 16 << 20);

/// What is noted about one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notes {
    #[serde(with = "path_text")]
    folder: PathBuf,
    /// The lock file that building it has made.
    pub(super) lock: Option<Made>,
    built: Vec<Entry>,
}

/// A file in its folder that building has made of another, or of nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) before: Option<Digest>,
    pub(super) after: Digest,
}

/// One form of a plugin, and of what it was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) target: Target,
    /// The digest of the folder's files.
    pub(super) sources: Digest,
    pub(super) elsewhere: Elsewhere,
    /// Where it is in the folder.
    #[serde(with = "path_text")]
    pub(super) path: PathBuf,
    pub(super) sha256: Digest,
}

impl Notes {
    /// What is noted about a folder: nothing, unless it is whole and nobody else could have written it.
    pub(super) fn read(path: &Path, folder: &Path) -> Self {
        let is_own =
            path.parent().is_some_and(|notes| check_own(notes).is_ok()) && check_own(path).is_ok();
        let text = is_own.then(|| read_own(path, KIND).ok()).flatten();
        let notes = text.and_then(|text| serde_json::from_slice(&text).ok());
        let notes = notes.filter(|notes: &Self| notes.folder == folder);
        notes.unwrap_or_else(|| Self { folder: folder.to_owned(), ..Self::default() })
    }

    pub(super) fn of(&self, target: &Target) -> Option<&Entry> {
        self.built.iter().find(|entry| entry.target == *target)
    }

    pub(super) fn set(&mut self, entry: Entry) {
        self.built.retain(|other| other.target != entry.target);
        self.built.push(entry);
    }

    /// Notes the lock file that building has made of another, if it has.
    pub(super) fn note_lock(&mut self, made: Option<Digest>, before: Option<Digest>) {
        if let Some(after) = made {
            self.lock = Some(Made { before, after });
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), AuthorError> {
        let notes = path.parent().unwrap_or(path);
        create_private_folder(notes).map_err(AuthorError::io("make", notes))?;
        // What others may write, nobody trusts when it is read.
        check_own(notes).map_err(|_| {
            let problem = "others may write to it, or it is another user's";
            AuthorError::io("use", notes)(std::io::Error::other(problem))
        })?;
        let text = serde_json::to_vec_pretty(self);
        let text = text.map_err(|error| AuthorError::io("write", path)(error.into()))?;
        let written = vitral_files::write(path, &text, Existing::Replace, Access::Private);
        written.map_err(AuthorError::io("write", path))
    }
}
