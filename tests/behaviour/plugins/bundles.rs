//! Bundles: signed, checked, installed, damaged.

use std::fs;

use super::built;
use crate::support::{
    images::Workspace,
    program::{Finished, vitral},
};

#[test]
fn a_bundle_is_signed_trusted_installed_used_and_distrusted() {
    let workspace = Workspace::new();
    let run = |arguments: &[&str]| vitral(workspace.path(), &[&["plugin"], arguments].concat());
    let bundle = workspace.join("faulty.vitral");
    fs::copy(built::bundle("tests/fixtures/plugins/faulty"), bundle).unwrap();
    let refused = run(&["install", "faulty.vitral"]).failed_with(2).stderr;
    assert!(refused.contains("not signed") && refused.contains("--allow faulty@"), "{refused}");
    run(&["keygen", "me"]).succeeded();
    run(&["sign", "faulty.vitral", "--key", "me.key"]).succeeded();
    let refused = run(&["install", "faulty.vitral"]).failed_with(2).stderr;
    assert!(refused.contains("which you do not trust"), "{refused}");
    run(&["trust", "me.pub"]).succeeded();
    run(&["verify", "faulty.vitral", "--key", "me.pub"]).succeeded();
    run(&["install", "faulty.vitral"]).succeeded();
    assert!(run(&["verify", "faulty"]).succeeded().stdout.contains("which you trust"));
    let shown = run(&["inspect", "faulty@1.0.0"]).succeeded().stdout;
    assert!(shown.contains("probability: a number") && shown.contains("WebAssembly"), "{shown}");
    assert!(shown.contains("asks for    the clock"), "{shown}");
    let shown = run(&["keys"]).succeeded().stdout;
    assert!(shown.contains("its names: faulty"), "{shown}");
    train_with_installed(&workspace).succeeded();
    let lock = fs::read_to_string(workspace.join("run/plugins.lock.ron")).unwrap();
    assert!(lock.contains("origin: Wasm"), "{lock}");
    // Trust is looked at each time, also when the run goes on.
    let said = run(&["distrust", "me.pub"]).succeeded().stdout;
    assert!(said.contains("no longer trusted"), "{said}");
    let refused = train_with_installed(&workspace).failed_with(2).stderr;
    assert!(refused.contains("which you do not trust"), "{refused}");
    let resume = ["train", "--resume", "run/checkpoints/step-00000003", "--allow=faulty:clock"];
    let refused = vitral(workspace.path(), &resume).failed_with(2).stderr;
    assert!(refused.contains("which you do not trust"), "{refused}");
    run(&["trust", "me.pub"]).succeeded();
    vitral(workspace.path(), &resume).succeeded();
    run(&["remove", "faulty"]).succeeded();
    let refused = train_with_installed(&workspace).failed_with(2).stderr;
    assert!(refused.contains("plugin `faulty` is not installed"), "{refused}");
}

fn train_with_installed(workspace: &Workspace) -> Finished {
    let augment =
        r#"data.augment=[Plugin(name: "faulty", version: "^1", settings: {"probability": 0.0})]"#;
    let grant = r#"plugins={"faulty": (grant: (clock: true))}"#;
    let arguments =
        ["train", "experiment.ron", "--allow=faulty:clock", "--set", augment, "--set", grant];
    vitral(workspace.path(), &arguments)
}

#[test]
fn a_pair_of_keys_has_the_name_that_it_was_given_or_is_not_there() {
    let workspace = Workspace::new();
    let keygen = |name| vitral(workspace.path(), &["plugin", "keygen", name]);
    keygen("alice.smith").succeeded();
    assert!(
        workspace.join("alice.smith.key").exists() && workspace.join("alice.smith.pub").exists()
    );
    keygen("alice.jones").succeeded();
    workspace.write("bob.pub", "mine");
    let said = keygen("bob").failed_with(1).stderr;
    assert!(said.contains("bob.pub"), "{said}");
    assert!(!workspace.join("bob.key").exists(), "half a pair is left");
    assert_eq!(fs::read_to_string(workspace.join("bob.pub")).unwrap(), "mine");
    fs::create_dir(workspace.join("keys")).unwrap();
    let before = fs::read_dir(workspace.path()).unwrap().count();
    for name in ["/", ".", "..", "keys/", "keys/.", "~/me"] {
        let said = keygen(name).failed_with(1).stderr;
        assert!(said.contains("folder"), "{name}: {said}");
    }
    assert_eq!(fs::read_dir(workspace.path()).unwrap().count(), before);
    assert_eq!(fs::read_dir(workspace.join("keys")).unwrap().count(), 0);
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
