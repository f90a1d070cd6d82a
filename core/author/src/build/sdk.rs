//! What other languages than Rust have of the SDK, as a part of the program: a plugin in one of them builds
//! without a clone of the repository.

use std::path::{Path, PathBuf};

use vitral_files::Scratch;

use crate::{AuthorError, files};

macro_rules! files_of {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../../sdk/", $name))),)*]
    };
}

/// Files by their paths in `sdk`.
type Files = &'static [(&'static str, &'static str)];

/// The contract's interfaces.
pub(super) const WIT: Files = files_of!["wit/vitral-plugin.wit"];
/// Headers, and what makes a component of a plugin.
pub(super) const C: Files = files_of![
    "include/vitral_plugin.h",
    "include/vitral.h",
    "c/component.c",
    "c/component_tensors.h",
    "c/component_monitor.h",
    "c/no_system.c",
];
/// The package.
pub(super) const PYTHON: Files = files_of![
    "python/vitral/__init__.py",
    "python/vitral/ops.py",
    "python/vitral/parameters.py",
    "python/vitral/plugin.py",
    "python/vitral/tensor.py",
    "python/vitral_component.py",
];
/// The module.
pub(super) const JAVASCRIPT: Files = files_of![
    "javascript/vitral.js",
    "javascript/ops.js",
    "javascript/tensor.js",
    "javascript/component.js",
];

/// Parts of the SDK in a folder that goes with it.
pub(super) struct Unpacked(Scratch);

impl Unpacked {
    /// Writes parts of the SDK.
    ///
    /// # Errors
    /// The system does not let it.
    pub(super) fn new(parts: &[Files]) -> Result<Self, AuthorError> {
        let scratch = Scratch::create(None);
        let scratch = scratch.map_err(AuthorError::io("make a folder in", std::env::temp_dir()))?;
        for (name, content) in parts.iter().flat_map(|files| files.iter()) {
            files::write(&scratch.path().join(name), content.as_bytes())?;
        }
        Ok(Self(scratch))
    }

    /// A file or folder of it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(Path::new(name))
    }
}

#[cfg(test)]
mod tests {
    use vitral_abi::Kind;

    use super::*;
    use crate::build::javascript;

    /// The interfaces that a kind's world exports.
    fn exports(kind: Kind) -> impl Iterator<Item = &'static str> {
        let (_, contract) = WIT[0];
        let (_, world) = contract.split_once(&format!("world {kind} {{")).unwrap();
        let (world, _) = world.split_once('}').unwrap();
        world.lines().filter_map(|line| line.trim().strip_prefix("export ")?.strip_suffix(';'))
    }

    /// The text of a part of the SDK.
    fn text(files: Files, name: &str) -> &'static str {
        files.iter().find(|(found, _)| *found == name).unwrap().1
    }

    #[test]
    fn every_language_exports_what_the_contract_has() {
        let c = text(C, "c/component.c");
        let python = text(PYTHON, "python/vitral_component.py");
        for kind in Kind::ALL {
            let javascript = javascript::entry(kind);
            assert!(exports(kind).count() >= 2, "{kind}");
            for interface in exports(kind) {
                // Python has classes, JavaScript constants.
                let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
                let class: String = interface.split('-').map(capital).collect();
                let constant = class[..1].to_lowercase() + &class[1..];
                assert!(c.contains(&format!("(\"{interface}\"")), "{interface}");
                assert!(python.contains(&format!("class {class}")), "{interface}");
                assert!(python.contains(&format!("\"{class}\",")), "{interface}");
                assert!(javascript.contains(&format!("const {constant} =")), "{interface}");
            }
        }
    }
}
