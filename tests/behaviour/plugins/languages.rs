//! Plugins in C, from nothing to a run. Those in Python and JavaScript need tools that take longer:
//! `tests/languages/run` has them.

use std::path::Path;

use super::built;
use crate::support::{
    images::Workspace,
    program::{vitral, vitral_with},
};

const KINDS: [&str; 4] = ["image-augmentation", "batch-augmentation", "attention", "monitor"];

/// Makes a plugin in C, and builds what this machine has a compiler for; says whether that is both forms.
fn build(folder: &Path, kind: &str) -> bool {
    vitral(folder, &["plugin", "new", kind, "--kind", kind, "--language", "c"]).succeeded();
    let built = vitral(folder, &["plugin", "build", kind]);
    if !built.status.success() {
        assert!(built.stderr.contains("pip install ziglang"), "{}", built.stderr);
        vitral(folder, &["plugin", "build", kind, "--native-only"]).succeeded();
        return false;
    }
    assert!(!built.stderr.contains("warning"), "{}", built.stderr);
    true
}

#[test]
fn a_new_plugin_of_each_kind_in_c_passes_its_checks_in_each_form() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let has_both = build(folder.path(), kind);
        let checked = vitral(folder.path(), &["plugin", "check", kind, "--native"]).succeeded();
        let found = checked.stdout;
        assert!(found.contains("ok       behaviour, native"), "{found}");
        assert!(found.contains("ok       both forms do the same") == has_both, "{found}");
        assert!(!has_both || found.contains("it uses memory and time only"), "{found}");
    }
}

#[test]
fn a_plugin_in_c_trains() {
    let workspace = Workspace::new();
    let folder = workspace.path();
    let has_both = build(folder, "attention");
    let native: &[&str] = if has_both { &[] } else { &["--native"] };
    vitral(folder, &[&["plugin", "pack", "attention"], native].concat()).succeeded();
    let bundle = folder.join("attention/dist/attention-0.1.0.vitral");
    let run = if has_both { "Wasm" } else { "Native" };
    let attention = r#"model.attention=[(layers: (0, 0), attention: Plugin(name: "attention"))]"#;
    let (take, allow) = (built::take("attention", &bundle, run), built::allow("attention", run));
    let changes = built::arguments(&[attention, "model.patch_dropout=0", &take, &allow]);
    vitral(folder, &[&["train", "experiment.ron"], &changes[..]].concat()).succeeded();
}

#[test]
fn what_is_missing_to_build_a_plugin_is_told_with_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (language, file, variable, help) in [
        ("c", "monitor.c", "VITRAL_WASM_CC", "pip install ziglang"),
        ("python", "monitor.py", "VITRAL_COMPONENTIZE_PY", "pip install componentize-py"),
        ("javascript", "monitor.js", "VITRAL_COMPONENTIZE_JS", "npm install -g"),
    ] {
        let new = ["plugin", "new", language, "--kind", "monitor", "--language", language];
        vitral(folder, &new).succeeded();
        assert!(folder.join(language).join(file).is_file());
        let build = ["plugin", "build", language, "--wasm-only"];
        let none = vitral_with(folder, &build, &[("PATH", Some("")), (variable, None)]);
        let none = none.failed_with(1).stderr;
        assert!(none.contains(help) && none.contains(variable), "{none}");
        let wrong = vitral_with(folder, &build, &[(variable, Some("false"))]).failed_with(1);
        assert!(
            wrong.stderr.contains(&format!("`false`, which {variable} names")),
            "{}",
            wrong.stderr
        );
    }
    let native = vitral(folder, &["plugin", "build", "python", "--native-only"]).failed_with(1);
    assert!(native.stderr.contains("plugins in Python have no native form"), "{}", native.stderr);
    let test = vitral(folder, &["plugin", "test", "python"]).failed_with(2);
    assert!(test.stderr.contains("plugin check"), "{}", test.stderr);
}
