//! Bundles: signed, checked, installed, damaged.

use std::fs;

use super::built;
use crate::support::{
    images::Workspace,
    program::{Finished, vitral},
};

#[test]
fn a_bundle_is_signed_trusted_installed_used_and_removed() {
    let workspace = Workspace::new();
    let run = |arguments: &[&str]| vitral(workspace.path(), &[&["plugin"], arguments].concat());
    fs::copy(built::bundle("plugins/pooled"), workspace.join("pooled.vitral")).unwrap();
    let refused = run(&["install", "pooled.vitral"]).failed_with(1).stderr;
    assert!(refused.contains("not signed") && refused.contains("--unsigned"), "{refused}");
    run(&["keygen", "me"]).succeeded();
    run(&["sign", "pooled.vitral", "--key", "me.key"]).succeeded();
    let refused = run(&["install", "pooled.vitral"]).failed_with(1).stderr;
    assert!(refused.contains("not trusted"), "{refused}");
    run(&["trust", "me.pub"]).succeeded();
    run(&["verify", "pooled.vitral", "--key", "me.pub"]).succeeded();
    run(&["install", "pooled.vitral"]).succeeded();
    assert!(run(&["verify", "pooled"]).succeeded().stdout.contains("which you trust"));
    let shown = run(&["inspect", "pooled@1.0.0"]).succeeded().stdout;
    assert!(shown.contains("ratio: an integer") && shown.contains("WebAssembly"), "{shown}");
    train_with_installed(&workspace).succeeded();
    let lock = fs::read_to_string(workspace.join("run/plugins.lock.ron")).unwrap();
    assert!(lock.contains("origin: Wasm"), "{lock}");
    run(&["remove", "pooled"]).succeeded();
    let refused = train_with_installed(&workspace).failed_with(2).stderr;
    assert!(refused.contains("plugin `pooled` is not installed"), "{refused}");
}

fn train_with_installed(workspace: &Workspace) -> Finished {
    let attention =
        r#"model.attention=[(layers: (0, 0), attention: Plugin(name: "pooled", version: "^1"))]"#;
    let arguments = [
        "train",
        "experiment.ron",
        "--set",
        attention,
        "--set",
        r#"plugins={"pooled": (run: Wasm)}"#,
        "--set",
        "model.patch_dropout=0",
    ];
    vitral(workspace.path(), &arguments)
}

#[test]
fn two_packs_of_the_same_plugin_are_the_same_bytes() {
    let once = fs::read(built::bundle("plugins/linear")).unwrap();
    let source = crate::support::root().join("plugins/linear");
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().display().to_string();
    vitral(&source, &["plugin", "pack", ".", "--output", &output]).succeeded();
    assert!(fs::read(folder.path().join("linear-1.0.0.vitral")).unwrap() == once);
}

#[test]
fn a_changed_byte_anywhere_is_found() {
    let whole = fs::read(built::bundle("plugins/linear")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for part in 0..24 {
        let at = part * (whole.len() - 1) / 23;
        let mut changed = whole.clone();
        changed[at] ^= 0x20;
        fs::write(folder.path().join("changed.vitral"), changed).unwrap();
        let shown = vitral(folder.path(), &["plugin", "verify", "changed.vitral"]).failed_with(1);
        assert!(shown.stderr.contains("changed.vitral"), "byte {at}: {}", shown.stderr);
    }
    fs::write(folder.path().join("cut.vitral"), &whole[..whole.len() / 2]).unwrap();
    vitral(folder.path(), &["plugin", "verify", "cut.vitral"]).failed_with(1);
}
