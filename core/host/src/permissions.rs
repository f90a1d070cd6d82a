//! What a WebAssembly plugin may be granted beside memory and time.

use std::path::{Component, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a user grants to a WebAssembly plugin. Without an entry it has no files, no network, and a
/// clock that stands still.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Permissions {
    /// Folders that it sees.
    pub files: Vec<FileGrant>,
    /// Whether it may talk to other machines.
    pub network: bool,
    /// Whether it may read the time.
    pub clock: bool,
}

/// A folder that a plugin sees under the same path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileGrant {
    /// The folder.
    pub path: PathBuf,
    /// Whether it may write there, too.
    #[serde(default)]
    pub write: bool,
}

impl Permissions {
    /// Whether whoever has them calls the system for more than memory, threads and time.
    #[cfg(feature = "wasm")]
    pub(crate) fn need_system(&self) -> bool {
        self.network || !self.files.is_empty()
    }

    /// What is asked for here and not granted, in words; nothing if all is.
    pub fn missing(&self, granted: &Self) -> Vec<String> {
        let mut missing = Vec::new();
        for asked in &self.files {
            let covers = |grant: &FileGrant| {
                asked.path.starts_with(&grant.path) && (grant.write || !asked.write)
            };
            if asked.path.components().any(|part| part == Component::ParentDir)
                || !granted.files.iter().any(covers)
            {
                let how = if asked.write { "read and write" } else { "read" };
                missing.push(format!("{how} files in {}", asked.path.display()));
            }
        }
        if self.network && !granted.network {
            missing.push("use the network".into());
        }
        if self.clock && !granted.clock {
            missing.push("read the time".into());
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(path: &str, write: bool) -> Permissions {
        Permissions { files: vec![FileGrant { path: path.into(), write }], ..Default::default() }
    }

    #[test]
    fn what_is_not_granted_is_named() {
        let asked = Permissions { network: true, clock: true, ..files("/data", true) };
        assert_eq!(
            asked.missing(&Permissions::default()),
            ["read and write files in /data", "use the network", "read the time"]
        );
        assert!(asked.missing(&asked).is_empty());
        assert!(Permissions::default().missing(&Permissions::default()).is_empty());
    }

    #[test]
    fn a_folder_is_granted_with_what_is_in_it() {
        let read = files("/data/cats", false);
        assert!(read.missing(&files("/data", false)).is_empty());
        assert!(read.missing(&files("/data", true)).is_empty());
        assert_eq!(read.missing(&files("/dat", true)).len(), 1);
        assert_eq!(files("/data/cats", true).missing(&files("/data", false)).len(), 1);
        assert_eq!(files("/data/../etc", false).missing(&files("/data", false)).len(), 1);
    }
}
