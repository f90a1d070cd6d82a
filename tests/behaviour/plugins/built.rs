//! Bundles of plugins, built from their sources once for all tests.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::support::{program::vitral, root};

/// Where cargo keeps what the tests build.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins")
}

/// Builds a plugin in the forms that it has, checks it as `vitral plugin check` does, and packs it.
pub fn bundle(folder: &str) -> PathBuf {
    // One at a time: they share a target folder. A test that failed here fails the others, too.
    static BUNDLES: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut bundles = BUNDLES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = bundles.get(folder) {
        return path.clone();
    }
    let target = target().display().to_string();
    let source = root().join(folder).canonicalize().unwrap();
    let mut build = vec!["plugin", "build", ".", "--target-dir", &target];
    // Natively, nothing would hold it to the host that it is granted.
    if folder == "plugins/mlflow" {
        build.push("--wasm-only");
    }
    vitral(&source, &build).succeeded();
    let output = target.clone() + "/bundles";
    let packed = vitral(&source, &["plugin", "pack", ".", "--output", &output]).succeeded();
    let path = PathBuf::from(packed.stdout.trim().trim_start_matches("packed "));
    bundles.insert(folder.to_owned(), path.clone());
    path
}

/// The arguments that change an experiment; those that begin with `--` are arguments already.
pub fn arguments<'a>(changes: &[&'a str]) -> Vec<&'a str> {
    let argument = |&change: &&'a str| match change.starts_with("--") {
        true => vec![change],
        false => vec!["--set", change],
    };
    changes.iter().flat_map(argument).collect()
}

/// The argument that lets a plugin from an unsigned bundle run, in one of its forms.
pub fn allow(name: &str, run: &str) -> String {
    format!("--allow={name}:{}", if run == "Native" { "native" } else { "run" })
}

/// The setting of an experiment that takes a plugin from a bundle, in one of its forms.
pub fn take(name: &str, bundle: &Path, run: &str) -> String {
    format!(r#"plugins={{"{name}": (bundle: "{}", run: {run})}}"#, bundle.display())
}
