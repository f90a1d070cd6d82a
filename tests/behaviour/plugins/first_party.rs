//! Every plugin that comes with the program, in every form.

use std::{collections::BTreeSet, fs};

use super::built;
use crate::support::{program::vitral, root};

/// What is held to its grants by the sandbox, and is not compiled in.
const SANDBOXED: [&str; 1] = ["mlflow"];

#[test]
fn every_first_party_plugin_builds_passes_its_checks_and_is_compiled_in() {
    let listed = vitral(&root(), &["plugin", "list"]).succeeded().stdout;
    let mut compiled_in: BTreeSet<&str> = listed
        .lines()
        .filter(|line| line.ends_with("(compiled in)"))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(!compiled_in.is_empty(), "{listed}");
    for entry in fs::read_dir(root().join("plugins")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let bundle = built::bundle(&format!("plugins/{name}"));
        let bundle = bundle.display().to_string();
        let checked = vitral(&root(), &["plugin", "check", &bundle, "--native"]);
        assert!(checked.status.success(), "{name}\n{}", checked.stdout);
        if SANDBOXED.contains(&name.as_str()) {
            assert!(checked.stdout.contains("it asks for what it uses"), "{}", checked.stdout);
            continue;
        }
        assert!(checked.stdout.contains("ok       both forms do the same"), "{}", checked.stdout);
        assert!(checked.stdout.contains("ok       vector instructions"), "{}", checked.stdout);
        assert!(compiled_in.remove(name.as_str()), "{name} is not compiled in:\n{listed}");
    }
    assert!(compiled_in.is_empty(), "compiled in without a folder here: {compiled_in:?}");
}
