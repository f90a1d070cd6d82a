//! Indexes of plugins, versions that are taken back, and what needs a build with registries.

use std::{fs, path::Path};

use crate::support::{
    images::Workspace,
    program::{Finished, vitral},
    root,
};

/// A workspace with `window` 1.0.0 as a bundle that is signed with the trusted key `me`.
fn with_bundle() -> Workspace {
    let workspace = Workspace::new();
    let window = root().join("tests/fixtures/plugins/contract-1.0.0/window-1.0.0.vitral");
    fs::copy(window, workspace.join("window.vitral")).unwrap();
    plugin(&workspace, &["keygen", "me"]).succeeded();
    plugin(&workspace, &["trust", "me.pub"]).succeeded();
    plugin(&workspace, &["sign", "window.vitral", "--key", "me.key"]).succeeded();
    workspace
}

fn plugin(workspace: &Workspace, arguments: &[&str]) -> Finished {
    vitral(workspace.path(), &[&["plugin"], arguments].concat())
}

fn make(workspace: &Workspace, arguments: &[&str]) {
    let arguments = [&["index", "make", "index.json", "--key", "me.key"], arguments].concat();
    plugin(workspace, &arguments).succeeded();
}

/// What is said in a report, whose lines are broken where a terminal ends.
fn in_one_line(report: &str) -> String {
    report.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn an_index_says_what_there_is_and_what_was_taken_back() {
    let workspace = with_bundle();
    let nothing = plugin(&workspace, &["search", "window"]).failed_with(2).stderr;
    assert!(nothing.contains("plugin index add"), "{nothing}");
    make(&workspace, &["--at", "r.example/lab", "window.vitral"]);
    plugin(&workspace, &["index", "add", "index.json"]).succeeded();
    let found = plugin(&workspace, &["search", "attention"]).succeeded().stdout;
    assert!(found.starts_with("window 1.0.0") && found.contains("r.example/lab/window"), "{found}");
    plugin(&workspace, &["install", "window.vitral", "--allow=window:run"]).succeeded();
    let said = plugin(&workspace, &["outdated"]).succeeded().stdout;
    assert!(said.contains("up to date"), "{said}");

    let train = |arguments: &[&str]| {
        let attention = r#"model.attention=[(layers: (0, 1), attention: Plugin(name: "window", settings: {"size": 2}))]"#;
        let run = r#"plugins={"window": (run: Wasm)}"#;
        let all = "model.patch_dropout=0.0";
        let begin = ["train", "experiment.ron", "--set", all, "--set", attention, "--set", run];
        vitral(workspace.path(), &[&begin, arguments].concat())
    };
    train(&[]).succeeded();
    let lock = fs::read_to_string(workspace.join("run/plugins.lock.ron")).unwrap();
    assert!(lock.contains("signer: \"") && lock.contains("bundle: \""), "{lock}");

    make(&workspace, &["--yank", "window@1.0.0=it looks away"]);
    let said = plugin(&workspace, &["outdated"]).succeeded().stdout;
    assert!(said.contains("window 1.0.0 was yanked: it looks away"), "{said}");
    let refused = plugin(&workspace, &["install", "window@1"]).failed_with(2).stderr;
    assert!(refused.contains("window 1.0.0 was yanked: it looks away"), "{refused}");
    let refused = in_one_line(&train(&["--set", "output=\"other\""]).failed_with(2).stderr);
    assert!(refused.contains("`window` was yanked: it looks away"), "{refused}");
    assert!(!workspace.join("other").exists());
    // What was begun goes on.
    let resume = ["train", "--resume", "run/checkpoints/step-00000003"];
    vitral(workspace.path(), &resume).succeeded();
    plugin(&workspace, &["index", "remove", "index.json"]).succeeded();
    plugin(&workspace, &["index", "make", "none.json", "--key", "me.key", "--at", "r.example/lab"])
        .succeeded();
    plugin(&workspace, &["index", "add", "none.json"]).succeeded();
    let said = plugin(&workspace, &["outdated"]).succeeded().stderr;
    assert!(said.contains("no index lists window"), "{said}");
    train(&["--set", "output=\"other\""]).succeeded();
}

#[test]
fn an_index_that_was_changed_is_not_looked_into() {
    let workspace = with_bundle();
    make(&workspace, &["--at", "r.example/lab", "window.vitral"]);
    let index = fs::read_to_string(workspace.join("index.json")).unwrap();
    workspace.write("changed.json", &index.replace("r.example", "s.example"));
    let refused = plugin(&workspace, &["index", "add", "changed.json"]).failed_with(1).stderr;
    assert!(refused.contains("changed after it was signed"), "{refused}");
    plugin(&workspace, &["distrust", "me.pub"]).succeeded();
    let refused = plugin(&workspace, &["index", "add", "index.json"]).failed_with(1).stderr;
    assert!(refused.contains("which you do not trust"), "{refused}");
    let refused = plugin(&workspace, &["search", "--offline"]).failed_with(2).stderr;
    assert!(refused.contains("no plugin indexes"), "{refused}");
    // Whoever makes it may list what their own key has signed.
    make(&workspace, &["--at", "r.example/lab", "window.vitral"]);
}

#[cfg(not(feature = "registry"))]
#[test]
fn a_build_without_registries_says_how_to_get_one() {
    let workspace = with_bundle();
    let reference = "r.example/lab/window:1.0.0";
    let commands: [&[&str]; 5] = [
        &["push", reference, "window.vitral"],
        &["pull", reference],
        &["install", reference],
        &["inspect", reference],
        &["index", "add", "https://r.example/index.json"],
    ];
    for command in commands {
        let said = plugin(&workspace, command).failed_with(2).stderr;
        assert!(said.contains("--features registry"), "{command:?}: {said}");
    }
    let from = r#"plugins={"window": (from: "r.example/lab/window@1")}"#;
    let attention = r#"model.attention=[(layers: (0, 1), attention: Plugin(name: "window"))]"#;
    let all = "model.patch_dropout=0.0";
    let train = ["train", "experiment.ron", "--set", all, "--set", from, "--set", attention];
    let said = in_one_line(&vitral(workspace.path(), &train).failed_with(2).stderr);
    assert!(said.contains("--features registry"), "{said}");
    assert!(said.contains("vitral plugin install r.example/lab/window@^1"), "{said}");
}

#[test]
fn another_bundle_of_a_version_takes_its_place_where_that_is_said() {
    let workspace = with_bundle();
    plugin(&workspace, &["install", "window.vitral", "--allow=window:run"]).succeeded();
    let installed = workspace.join(".plugins/window-1.0.0/CHANGELOG.md");
    assert!(!installed.exists());
    let other = repacked(&workspace);
    let refused =
        plugin(&workspace, &["install", &other, "--allow=window:run"]).failed_with(1).stderr;
    assert!(refused.contains("with other contents") && refused.contains("--replace"), "{refused}");
    plugin(&workspace, &["install", &other, "--replace", "--allow=window:run"]).succeeded();
    assert!(installed.exists());
    let shown = plugin(&workspace, &["inspect", "window@1.0.0"]).succeeded().stdout;
    assert!(shown.contains("op set      1"), "{shown}");
    assert!(shown.contains("README.md\n    # Other"), "{shown}");
    assert!(shown.contains("CHANGELOG.md\n    ## 1.0.0"), "{shown}");
}

#[test]
fn the_contract_comes_out_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let shown = |part: &[&str]| {
        let arguments = [&["plugin", "contract"], part].concat();
        vitral(folder.path(), &arguments).succeeded().stdout
    };
    let written = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    assert_eq!(shown(&["wit"]), written("sdk/wit/vitral-plugin.wit"));
    assert_eq!(shown(&["header"]), written("sdk/include/vitral_plugin.h"));
    let ops = shown(&["ops"]);
    assert!(ops.starts_with("op set 1\n") && ops.contains("\nsoftmax(input)\n"), "{ops}");
    let ops: serde_json::Value = serde_json::from_str(&shown(&["ops", "--json"])).unwrap();
    let attention = |op: &&serde_json::Value| op["name"] == "scaledDotProductAttention";
    assert_eq!(ops["version"], 1);
    let attention = ops["ops"].as_array().unwrap().iter().find(attention).unwrap();
    assert_eq!(attention["operands"][0]["name"], "query");
    assert_eq!(attention["since"], 1);
}

/// Packs what is installed with texts of its own.
fn repacked(workspace: &Workspace) -> String {
    let folder = workspace.join("again");
    fs::create_dir_all(folder.join("dist")).unwrap();
    let component = workspace.join(".plugins/window-1.0.0/wasm/window.wasm");
    fs::copy(component, folder.join("dist/window.wasm")).unwrap();
    write(&folder, "README.md", "# Other\n");
    write(&folder, "CHANGELOG.md", "## 1.0.0\n");
    plugin(workspace, &["pack", "again", "--key", "me.key"]).succeeded();
    "again/dist/window-1.0.0.vitral".into()
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}
