//! The folder in which plugins are installed: one folder `name-version` for each, the public keys
//! that the user trusts in `keys`, and what else was decided in `trust.ron`. Nothing in it is used
//! that another user could have put there.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use semver::Version;
use vitral_files::{NewFolder, Scratch};

use crate::archive::Bundle;
use crate::decisions::{Decisions, Signer};
use crate::digest::Digest;
use crate::error::{BundleError, Mismatch};
use crate::files::{Access, Existing};
use crate::installed::Installed;
use crate::key_id::Fingerprint;
use crate::keys::TrustedKey;
use crate::origins::{Fetched, Origins};
use crate::reference::Reference;
use crate::{files, ownership, paths, swap, text};

const KEYS: &str = "keys";

/// A folder of installed plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

/// What is in a store.
#[derive(Debug, Default)]
pub struct Listing {
    /// The plugins that can be used, by name and version.
    pub plugins: Vec<Installed>,
    /// The folders that are no plugin, or a damaged one, and why.
    pub broken: Vec<(PathBuf, BundleError)>,
}

/// What was trusted until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrusted {
    /// A key, and what was allowed of bundles whose signatures name it.
    Key {
        /// Whose it is.
        key: Fingerprint,
        /// Names and versions of the bundles, and their digests.
        bundles: Vec<(String, Digest)>,
    },
    /// What a bundle might do: its name and version, and its digest.
    Bundle(String, Digest),
}

impl Store {
    /// The store in a folder, which need not be there yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The user's store: `$VITRAL_PLUGINS`, or `vitral/plugins` in `$XDG_DATA_HOME` or
    /// `~/.local/share`.
    pub fn of_user() -> Result<Self, BundleError> {
        Self::of(|variable| std::env::var_os(variable))
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, BundleError> {
        if let Some(root) = variable("VITRAL_PLUGINS").filter(|root| !root.is_empty()) {
            return Ok(Self::at(root));
        }
        let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || absolute("HOME").map(|home| home.join(".local/share"));
        let data = absolute("XDG_DATA_HOME").or_else(home).ok_or(BundleError::NoStore)?;
        Ok(Self::at(data.join("vitral/plugins")))
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Installs a bundle. Whether its signature will do is for the caller to say before.
    ///
    /// The plugin appears whole or not at all. Installing the same contents again changes nothing,
    /// except that a signature takes the place of what there was; damage to what is there is an error.
    pub fn install(&self, bundle: &Bundle) -> Result<Installed, BundleError> {
        self.make()?;
        let folder = self.root.join(bundle.manifest().id());
        if folder.exists() {
            return self.update(&folder, bundle);
        }
        let at = |error| BundleError::io("write", &folder, error);
        let unpacked = NewFolder::create_private(&folder).map_err(at)?;
        unpack(bundle, unpacked.path()).map_err(at)?;
        match unpacked.finish() {
            // Somebody else was faster.
            Err(_) if folder.exists() => self.update(&folder, bundle),
            finished => finished.map_err(at).and_then(|_| Installed::open(&folder)),
        }
    }

    /// Installs a bundle in the place of what is there of the same version with other contents, damaged or not,
    /// which stays if that fails.
    pub fn replace(&self, bundle: &Bundle) -> Result<Installed, BundleError> {
        self.make()?;
        let folder = self.root.join(bundle.manifest().id());
        if !folder.exists() {
            return self.install(bundle);
        }
        // Where the contents are the same and whole, a signature is all that can be new.
        if let Ok(installed) = self.update(&folder, bundle) {
            return Ok(installed);
        }
        let replaced = swap::replace(&folder, &self.root, |new| unpack(bundle, new));
        replaced.map_err(|error| BundleError::io("write", &folder, error))?;
        Installed::open(&folder)
    }

    /// Makes the folder unless it is there, and makes sure that it is the user's own.
    fn make(&self) -> Result<(), BundleError> {
        files::create_private_folder(&self.root)?;
        ownership::check(&self.root)
    }

    fn update(&self, folder: &Path, bundle: &Bundle) -> Result<Installed, BundleError> {
        let installed = Installed::open(folder)?;
        if installed.digest() != bundle.digest() {
            return Err(BundleError::Conflict {
                name: installed.name().to_owned(),
                version: installed.version().clone(),
                digests: Box::new(Mismatch {
                    expected: installed.digest(),
                    found: bundle.digest(),
                }),
            });
        }
        installed.verify()?;
        match bundle.file(paths::SIGNATURE) {
            Some(signature) => {
                let path = folder.join(paths::SIGNATURE);
                files::write(&path, signature, Existing::Replace, Access::Shared)?;
                Installed::open(folder)
            }
            None => Ok(installed),
        }
    }

    /// What is installed. A broken plugin does not hide the others.
    pub fn list(&self) -> Result<Listing, BundleError> {
        ownership::check(&self.root)?;
        let mut listing = Listing::default();
        for folder in self.folders(&self.root)? {
            let name = folder.file_name().unwrap_or_default();
            if name == KEYS || name.as_encoded_bytes().starts_with(b".") || !folder.is_dir() {
                continue;
            }
            match ownership::check(&folder).and_then(|()| Installed::open(&folder)) {
                Ok(plugin) => listing.plugins.push(plugin),
                Err(error) => listing.broken.push((folder, error)),
            }
        }
        listing.plugins.sort_by(|a, b| (a.name(), a.version()).cmp(&(b.name(), b.version())));
        Ok(listing)
    }

    /// An installed plugin by name and version.
    pub fn open(&self, name: &str, version: &Version) -> Result<Installed, BundleError> {
        let folder = self.existing(name, version)?;
        ownership::check(&folder)?;
        Installed::open(&folder)
    }

    /// Removes a plugin, damaged or not.
    pub fn remove(&self, name: &str, version: &Version) -> Result<(), BundleError> {
        let folder = self.existing(name, version)?;
        let at = |error| BundleError::io("remove", &folder, error);
        // It is renamed first, so that a kill in between leaves no half of it.
        let removing = Scratch::create(Some(&self.root)).map_err(at)?;
        fs::rename(&folder, removing.path().join("plugin")).map_err(at)?;
        removing.remove().map_err(at)?;
        files::sync_folder(&self.root)
    }

    /// The keys that the user trusts.
    pub fn trusted_keys(&self) -> Result<Vec<TrustedKey>, BundleError> {
        Ok(self.keys()?.into_iter().map(|(_, key)| key).collect())
    }

    fn keys(&self) -> Result<Vec<(PathBuf, TrustedKey)>, BundleError> {
        ownership::check(&self.root)?;
        let folder = self.root.join(KEYS);
        ownership::check(&folder)?;
        let keys = self.folders(&folder)?.into_iter();
        let keys = keys.filter(|path| path.extension().is_some_and(|extension| extension == "pub"));
        keys.map(|path| {
            ownership::check(&path)?;
            let key = TrustedKey::read(&path)?;
            Ok((path, key))
        })
        .collect()
    }

    /// Trusts a key from now on; says where it is kept.
    pub fn trust(&self, key: &TrustedKey) -> Result<PathBuf, BundleError> {
        self.make()?;
        let folder = self.root.join(KEYS);
        files::create_private_folder(&folder)?;
        ownership::check(&folder)?;
        let path = folder.join(format!("{}.pub", key.fingerprint()));
        let text = key.to_text();
        files::write(&path, text.as_bytes(), Existing::Replace, Access::Private)?;
        Ok(path)
    }

    /// Takes trust back: of a key, whose names are free then, and with it of the bundles that it has signed;
    /// or of a bundle, which may do no more than any other. Which one, the beginning of its fingerprint or
    /// digest says.
    pub fn distrust(&self, start: &str) -> Result<Distrusted, BundleError> {
        if start.len() < 8 {
            return Err(BundleError::TooShort(start.to_owned()));
        }
        let is_meant = |text: &dyn std::fmt::Display| text.to_string().starts_with(start);
        let keys = self.keys()?;
        let allowed = self.decisions()?.allowed;
        let keys = keys.iter().map(|(_, key)| {
            let signed = allowed.iter().filter(|allowed| allowed.key == Signer::Key(key.id()));
            let bundles = signed.map(|allowed| (allowed.plugin.clone(), allowed.digest)).collect();
            Distrusted::Key { key: key.fingerprint(), bundles }
        });
        let bundles = allowed
            .iter()
            .map(|allowed| Distrusted::Bundle(allowed.plugin.clone(), allowed.digest));
        let mut meant: Vec<Distrusted> = keys
            .chain(bundles)
            .filter(|trusted| match trusted {
                Distrusted::Key { key, .. } => is_meant(key),
                Distrusted::Bundle(_, digest) => is_meant(digest),
            })
            .collect();
        // One key may be there in two files.
        meant.dedup();
        let shown = || text::shown(start.as_bytes());
        let only = meant.pop().ok_or_else(|| BundleError::NotTrusted(shown()))?;
        if !meant.is_empty() {
            return Err(BundleError::TooShort(shown()));
        }
        self.forget(&only)?;
        Ok(only)
    }

    fn forget(&self, trusted: &Distrusted) -> Result<(), BundleError> {
        if let Distrusted::Key { key: only, .. } = trusted {
            for (path, key) in self.keys()? {
                if key.fingerprint() == *only {
                    fs::remove_file(&path)
                        .map_err(|error| BundleError::io("remove", &path, error))?;
                }
            }
        }
        self.decide(|decisions| match trusted {
            Distrusted::Key { key, bundles } => {
                decisions.names.retain(|_, owner| owner != key);
                let is_signed = |digest| bundles.iter().any(|(_, signed)| *signed == digest);
                decisions.allowed.retain(|allowed| !is_signed(allowed.digest));
            }
            Distrusted::Bundle(_, digest) => {
                decisions.allowed.retain(|allowed| allowed.digest != *digest);
            }
        })
    }

    /// What the user has decided beside keys.
    pub fn decisions(&self) -> Result<Decisions, BundleError> {
        ownership::check(&self.root)?;
        Decisions::read(&self.root)
    }

    /// Which bundles came from registries.
    pub fn origins(&self) -> Result<Origins, BundleError> {
        ownership::check(&self.root)?;
        Origins::read(&self.root)
    }

    /// Notes that a bundle came under a name of a registry.
    pub fn note_origin(&self, reference: &Reference, fetched: Fetched) -> Result<(), BundleError> {
        self.make()?;
        Origins::note(&self.root, reference, fetched)
    }

    /// Changes what the user has decided.
    pub(crate) fn decide<R>(
        &self,
        change: impl FnOnce(&mut Decisions) -> R,
    ) -> Result<R, BundleError> {
        self.make()?;
        Decisions::change(&self.root, change)
    }

    fn existing(&self, name: &str, version: &Version) -> Result<PathBuf, BundleError> {
        ownership::check(&self.root)?;
        let folder = self.root.join(format!("{name}-{version}"));
        match text::is_plugin_name(name) && folder.is_dir() {
            true => Ok(folder),
            false => Err(BundleError::NotInstalled {
                name: text::shown(name.as_bytes()),
                version: version.clone(),
                store: self.root.clone(),
            }),
        }
    }

    /// What is in a folder, sorted; nothing if it is not there.
    fn folders(&self, folder: &Path) -> Result<Vec<PathBuf>, BundleError> {
        let at = |error| BundleError::io("read", folder, error);
        let list = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            list => list.map_err(at)?,
        };
        let paths: io::Result<Vec<PathBuf>> = list.map(|entry| Ok(entry?.path())).collect();
        let mut paths = paths.map_err(at)?;
        paths.sort();
        Ok(paths)
    }
}

fn unpack(bundle: &Bundle, folder: &Path) -> io::Result<()> {
    for (path, content) in bundle.files() {
        let file = folder.join(path);
        let parent = file.parent().unwrap_or(folder);
        vitral_files::create_private_folder(parent)?;
        vitral_files::write_new(&file, content, Access::Shared)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_store_is_where_the_environment_says() {
        let of = |set: &[(&str, &str)]| {
            let find = |name: &str| {
                let found = set.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| OsString::from(value))
            };
            Store::of(find).map(|store| store.root.display().to_string()).ok()
        };
        let plugins = ("VITRAL_PLUGINS", "here");
        let (data, home) = (("XDG_DATA_HOME", "/data"), ("HOME", "/home/a"));
        for (set, expected) in [
            (vec![plugins, data, home], Some("here")),
            (vec![("VITRAL_PLUGINS", ""), data, home], Some("/data/vitral/plugins")),
            (vec![("XDG_DATA_HOME", "x"), home], Some("/home/a/.local/share/vitral/plugins")),
            (vec![home], Some("/home/a/.local/share/vitral/plugins")),
            (vec![], None),
        ] {
            assert_eq!(of(&set).as_deref(), expected, "{set:?}");
        }
    }
}
