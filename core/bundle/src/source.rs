//! `plugin.ron` in a plugin's source folder: what its author writes by hand. Everything else that a
//! manifest says comes from the plugin itself.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_config::{ConfigError, Document};

use crate::manifest::{Limits, Permissions};
use crate::paths;

/// What a plugin's author says of it beside its code.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SourceManifest {
    /// What it asks for, beside memory and time.
    pub permissions: Permissions,
    /// What it needs of memory and time.
    pub limits: Limits,
    /// SPDX expression of its licence.
    pub license: Option<String>,
    /// Who wrote it.
    pub authors: Vec<String>,
    /// Where to read more.
    pub homepage: Option<String>,
}

impl SourceManifest {
    /// Reads `plugin.ron` of a source folder; a folder without one asks for nothing.
    pub fn read(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join(paths::MANIFEST);
        match path.try_exists() {
            Ok(false) => Ok(Self::default()),
            Ok(true) | Err(_) => Document::read(&path)?.parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_may_be_left_out() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(SourceManifest::read(folder.path()).unwrap(), SourceManifest::default());
        std::fs::write(folder.path().join("plugin.ron"), "()").unwrap();
        assert_eq!(SourceManifest::read(folder.path()).unwrap(), SourceManifest::default());
    }

    #[test]
    fn what_the_plugin_says_itself_is_not_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let text = "(limits: (memory_mib: 128), permissions: (clock: true), license: \"MIT\")";
        std::fs::write(folder.path().join("plugin.ron"), text).unwrap();
        let source = SourceManifest::read(folder.path()).unwrap();
        assert_eq!(source.limits, Limits { memory_mib: 128, ..Limits::default() });
        assert_eq!(source.permissions, Permissions { clock: true, ..Permissions::default() });
        std::fs::write(folder.path().join("plugin.ron"), "(name: \"window\")").unwrap();
        let error = SourceManifest::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("plugin.ron:1:2") && error.contains("name"), "{error}");
    }
}
