//! The files that a plugin is built of beyond its own folder: those of crates beside it, and of its workspace.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use vitral_bundle::Digest;
use vitral_config::path_text;
use vitral_files::Kind;

use crate::{AuthorError, files};

/// What has a say in how a crate is built, in its folder and those above.
const OF_CARGO: [&str; 5] =
    ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "rust-toolchain.toml", "rust-toolchain"];
/// A source file.
const SOURCE: Kind = Kind::new("a source file", 64 << 20);

/// Files beyond a plugin's folder, with what was in them when it was built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Elsewhere {
    files: BTreeMap<String, Digest>,
}

impl Elsewhere {
    /// Reads what is not in the folder of the files that a crate was built of, and what Cargo reads above them.
    pub(super) fn read(folder: &Path, sources: &[PathBuf]) -> Result<Self, AuthorError> {
        let folder = folder.canonicalize().map_err(AuthorError::io("find", folder))?;
        if !folder.join("Cargo.toml").is_file() {
            return Ok(Self::default());
        }
        let outside = sources.iter().filter(|path| !path.starts_with(&folder));
        let outside: BTreeSet<PathBuf> = outside.cloned().collect();
        let manifest_of = |path: &PathBuf| {
            path.ancestors().skip(1).map(|it| it.join("Cargo.toml")).find(|it| it.is_file())
        };
        let manifests = outside.iter().filter_map(manifest_of);
        let above = folder.ancestors().skip(1);
        let above = above.flat_map(|folder| OF_CARGO.map(|name| folder.join(name)));
        let above = above.filter(|path| path.is_file());
        let all: BTreeSet<PathBuf> =
            manifests.chain(above).chain(outside.iter().cloned()).collect();
        let all = all.iter().map(|path| {
            let content = files::read(path, SOURCE)?;
            Ok((path_text::to_text(path), Digest::of(&content)))
        });
        Ok(Self { files: all.collect::<Result<_, AuthorError>>()? })
    }

    /// Whether all of it is as it was.
    pub(super) fn is_as_it_was(&self) -> bool {
        self.files.iter().all(|(path, digest)| {
            let path = path_text::from_text(path).ok();
            let content = path.and_then(|path| files::read(&path, SOURCE).ok());
            content.is_some_and(|content| Digest::of(&content) == *digest)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_beside_a_plugin_and_its_workspace_count() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let write = |path: &str, content: &str| {
            files::write(&root.join(path), content.as_bytes()).unwrap();
        };
        for path in
            ["Cargo.toml", "dim/Cargo.toml", "dim/src/lib.rs", "sdk/Cargo.toml", "sdk/src/lib.rs"]
        {
            write(path, "before");
        }
        let read = ["dim/src/lib.rs", "sdk/src/lib.rs"].map(|path| root.join(path));
        let elsewhere = Elsewhere::read(&root.join("dim"), &read).unwrap();
        for (path, counts) in [
            ("dim/src/lib.rs", false),
            ("sdk/src/lib.rs", true),
            ("sdk/Cargo.toml", true),
            ("Cargo.toml", true),
        ] {
            assert!(elsewhere.is_as_it_was());
            write(path, "after");
            assert_eq!(elsewhere.is_as_it_was(), !counts, "{path}");
            write(path, "before");
        }
        std::fs::remove_file(root.join("sdk/src/lib.rs")).unwrap();
        assert!(!elsewhere.is_as_it_was());
    }
}
