//! `plugins.lock.ron`: the plugins that a run used, down to the bytes of their code.

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};
use vitral_config::Document;

use crate::digest::Digest;
use crate::error::BundleError;
use crate::files;
use crate::key_id::Fingerprint;

/// The plugins that a run used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    plugins: Vec<Locked>,
}

/// One plugin that a run used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its version.
    #[schemars(with = "String")]
    pub version: Version,
    /// The form in which it ran.
    pub origin: Origin,
    /// Digest of its code; a plugin that is a part of this program has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub sha256: Option<Digest>,
    /// Digest of its bundle's checksums, which stands for all of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub bundle: Option<Digest>,
    /// The trusted key that had signed it, if one had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub signer: Option<Fingerprint>,
    /// The name in a registry under which it had come, if it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl Locked {
    /// Whether two plugins are the same one: who had signed it and where it came from may change, and locks of
    /// before do not say what its bundle was.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_bundle = match (self.bundle, other.bundle) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        let parts = |locked: &Self| {
            (locked.name.clone(), locked.version.clone(), locked.origin.clone(), locked.sha256)
        };
        parts(self) == parts(other) && same_bundle
    }
}

/// The form in which a plugin ran.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Origin {
    /// As a WebAssembly component.
    Wasm,
    /// As a native library for a target triple.
    Native(String),
    /// As a part of this program.
    CompiledIn,
}

/// Plugins are not those of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockError {
    /// What differs; at least one thing.
    pub differences: Vec<Difference>,
}

/// How a plugin differs from the one in a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
// There are few of them, each for a line of a message.
#[allow(clippy::large_enum_variant)]
pub enum Difference {
    /// The lock has it, but it is not used now.
    Missing(Locked),
    /// The lock does not have it, but it is used now.
    New(Locked),
    /// It is another one.
    Changed {
        /// The one in the lock.
        locked: Locked,
        /// The one that is used now.
        now: Locked,
    },
}

impl Lock {
    /// A lock of plugins in any order; what is the same twice is there once.
    pub fn new(plugins: impl IntoIterator<Item = Locked>) -> Self {
        let mut plugins: Vec<Locked> = plugins.into_iter().collect();
        plugins.sort();
        plugins.dedup();
        Self { plugins }
    }

    /// The plugins, by name.
    pub fn plugins(&self) -> &[Locked] {
        &self.plugins
    }

    /// Whether no plugin was used.
    pub fn is_empty(&self) -> bool {
        self.plugins.is_empty()
    }

    /// A plugin by name.
    pub fn get(&self, name: &str) -> Option<&Locked> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }

    /// Reads a lock's file.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        Self::parse(&Document::read(path)?)
    }

    /// Reads a lock from its text.
    pub fn from_text(text: &str) -> Result<Self, BundleError> {
        Self::parse(&Document::new("plugins.lock.ron", text))
    }

    fn parse(document: &Document) -> Result<Self, BundleError> {
        let lock: Self = document.parse()?;
        Ok(Self::new(lock.plugins))
    }

    /// The lock's text.
    pub fn to_text(&self) -> String {
        // Writing RON fails at recursion without end and at types that refuse; a list of structs of
        // texts has neither.
        vitral_config::to_ron(self).expect("a lock has a text")
    }

    /// Writes the lock's file; it appears whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), BundleError> {
        let text = self.to_text();
        files::write(path, text.as_bytes(), files::Existing::Replace, files::Access::Usual)
    }

    /// Whether the plugins of `now` are those of this lock.
    pub fn check(&self, now: &Self) -> Result<(), LockError> {
        let mut differences = Vec::new();
        for locked in &self.plugins {
            match now.get(&locked.name) {
                Some(other) if other.is_same(locked) => {}
                Some(other) => differences
                    .push(Difference::Changed { locked: locked.clone(), now: other.clone() }),
                None => differences.push(Difference::Missing(locked.clone())),
            }
        }
        let new = now.plugins.iter().filter(|plugin| self.get(&plugin.name).is_none());
        differences.extend(new.cloned().map(Difference::New));
        match differences.is_empty() {
            true => Ok(()),
            false => Err(LockError { differences }),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wasm => f.write_str("WebAssembly"),
            Self::Native(triple) => write!(f, "native, {triple}"),
            Self::CompiledIn => f.write_str("compiled in"),
        }
    }
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.version, self.origin)?;
        if let Some(digest) = &self.sha256 {
            write!(f, ", SHA-256 {digest}")?;
        }
        if let Some(bundle) = &self.bundle {
            write!(f, ", of a bundle with digest {bundle}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(locked) => {
                write!(f, "plugin `{}` is no longer used, but was used as {locked}", locked.name)
            }
            Self::New(now) => {
                write!(f, "plugin `{}` is now used as {now}, but was not before", now.name)
            }
            Self::Changed { locked, now } => {
                write!(f, "plugin `{}` was {locked}, but is now {now}", locked.name)
            }
        }
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the plugins are not those that the run was made with")?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n  {difference}"))
    }
}

impl std::error::Error for LockError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(name: &str, version: &str, origin: Origin, code: Option<&[u8]>) -> Locked {
        let version = version.parse().unwrap();
        let sha256 = code.map(Digest::of);
        let (bundle, signer, from) = (sha256, None, None);
        Locked { name: name.into(), version, origin, sha256, bundle, signer, from }
    }

    fn lock() -> Lock {
        let linux = Origin::Native("x86_64-unknown-linux-gnu".into());
        Lock::new([
            locked("window", "1.2.0", Origin::Wasm, Some(b"w")),
            locked("linear", "0.1.0", Origin::CompiledIn, None),
            locked("memory", "1.0.0", linux, Some(b"m")),
            locked("window", "1.2.0", Origin::Wasm, Some(b"w")),
        ])
    }

    #[test]
    fn a_lock_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins.lock.ron");
        lock().write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), lock());
        assert_eq!(Lock::from_text(&lock().to_text()).unwrap(), lock());
        let names: Vec<_> = lock().plugins().iter().map(|plugin| plugin.name.clone()).collect();
        assert_eq!(names, ["linear", "memory", "window"]);
        assert_eq!(lock().check(&lock()), Ok(()));
    }

    #[test]
    fn a_changed_plugin_is_named_with_both_digests() {
        let mut now = lock().plugins().to_vec();
        now[2].sha256 = Some(Digest::of(b"other"));
        let error = lock().check(&Lock::new(now)).unwrap_err().to_string();
        for part in ["`window`", &Digest::of(b"w").to_string(), &Digest::of(b"other").to_string()] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn every_difference_is_told() {
        let mut now = lock().plugins().to_vec();
        now[0].name = "pooled".into();
        now[1].version = "1.0.1".parse().unwrap();
        let error = lock().check(&Lock::new(now)).unwrap_err();
        assert_eq!(error.differences.len(), 3);
        let text = error.to_string();
        for part in ["`linear` is no longer used", "`pooled` is now used", "1.0.0", "1.0.1"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn where_a_plugin_came_from_may_change_but_not_what_it_is() {
        let with = |change: fn(&mut Locked)| {
            let mut now = lock().plugins().to_vec();
            change(&mut now[2]);
            lock().check(&Lock::new(now)).is_ok()
        };
        assert!(with(|locked| locked.from = Some("r.org/lab/window:1.2.0".into())));
        assert!(with(|locked| locked.signer = Digest::of(b"key").to_string().parse().ok()));
        // As a lock of before has it.
        assert!(with(|locked| locked.bundle = None));
        assert!(!with(|locked| locked.bundle = Some(Digest::of(b"other"))));
    }

    #[test]
    fn a_misspelt_lock_is_underlined() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins.lock.ron");
        std::fs::write(&path, "(plugin: [])").unwrap();
        let error = Lock::read(&path).unwrap_err().to_string();
        assert!(error.contains(":1:2") && error.contains("plugin"), "{error}");
    }
}
