//! Attention plugins in training.

use std::fs;

use super::built;
use crate::support::{images::Workspace, program::vitral};

/// Window attention in the second layer.
const WINDOW: &str = r#"model.attention=[(layers: (1, 1), attention: Plugin(name: "window", settings: {"size": 2}))]"#;

fn train(workspace: &Workspace, output: &str, more: &[&str]) -> Vec<u8> {
    let output = format!("output={output}");
    let mut arguments = vec!["train", "experiment.ron", "--set", &output, "--set", WINDOW];
    arguments.extend(["--set", "model.patch_dropout=0"]);
    arguments.extend(built::arguments(more));
    vitral(workspace.path(), &arguments).succeeded();
    weights(workspace, &output["output=".len()..])
}

fn weights(workspace: &Workspace, run: &str) -> Vec<u8> {
    let last = fs::read_to_string(workspace.join(run).join("last")).unwrap();
    fs::read(workspace.join(run).join(last.trim()).join("model.safetensors")).unwrap()
}

#[test]
fn webassembly_native_and_compiled_in_train_the_same_weights() {
    let workspace = Workspace::new();
    let bundle = built::bundle("plugins/window");
    let compiled_in = train(&workspace, "compiled-in", &[]);
    for form in ["Wasm", "Native"] {
        let (take, allow) = (built::take("window", &bundle, form), built::allow("window", form));
        let found = train(&workspace, form, &[&take, &allow]);
        assert!(found == compiled_in, "{form} differs");
    }
    let lock = fs::read_to_string(workspace.join("Wasm/plugins.lock.ron")).unwrap();
    assert!(lock.contains("origin: Wasm") && lock.contains("sha256"), "{lock}");
}

#[test]
fn a_program_is_kept_and_the_plugin_no_longer_needed() {
    let workspace = Workspace::new();
    let bundle = workspace.join("window.vitral");
    fs::copy(built::bundle("plugins/window"), &bundle).unwrap();
    let (take, allow) = (built::take("window", &bundle, "Wasm"), built::allow("window", "Wasm"));
    train(&workspace, "whole", &[&take, &allow]);
    fs::remove_file(&bundle).unwrap();
    let run = |arguments: &[&str]| vitral(workspace.path(), arguments).succeeded().stdout;
    assert!(run(&["eval", "whole"]).contains("top-1"));
    assert!(run(&["predict", "whole", "--top", "1", &image(&workspace)]).contains('%'));
    let expected = weights(&workspace, "whole");
    run(&["train", "--resume", "whole/checkpoints/step-00000006"]);
    assert!(weights(&workspace, "whole") == expected, "the resumed run differs");
}

fn image(workspace: &Workspace) -> String {
    let path = workspace.join("image.png");
    image::GrayImage::from_pixel(8, 8, image::Luma([90])).save(&path).unwrap();
    path.display().to_string()
}

#[test]
fn what_cannot_be_used_is_underlined() {
    let workspace = Workspace::new();
    let uses = |attention: &str| {
        let attention = format!("model.attention=[(layers: (0, 1), attention: {attention})]");
        let arguments =
            ["train", "experiment.ron", "--set", &attention, "--set", "model.patch_dropout=0"];
        vitral(workspace.path(), &arguments).failed_with(2).stderr
    };
    for (attention, wanted) in [
        (r#"Plugin(name: "windw")"#, "plugin `windw` is not installed"),
        (r#"Plugin(name: "window", version: "^2")"#, "window"),
        (r#"Plugin(name: "early-stop")"#, "of kind monitor"),
        (r#"Plugin(name: "window", settings: {"size": 0})"#, "an integer from 1 to 64"),
        (r#"Plugin(name: "window", settings: {"sise": 3})"#, "did you mean `size`?"),
        (r#"Plugin(name: "window", heads: 3)"#, "3 heads do not divide"),
        // Two heads of 16 have a width of 8, sixteen of 1, which cannot be halved.
        (r#"Plugin(name: "differential", heads: 16)"#, "differential"),
    ] {
        let shown = uses(attention);
        assert!(shown.contains(wanted), "{attention}\n{shown}");
    }
}

#[test]
fn the_attention_of_a_run_cannot_be_changed() {
    let workspace = Workspace::new();
    train(&workspace, "run", &["train.steps=3"]);
    let other = r#"model.attention=[(layers: (1, 1), attention: Plugin(name: "linear"))]"#;
    let shown = vitral(workspace.path(), &["train", "--resume", "run", "--set", other]);
    let shown = shown.failed_with(2).stderr;
    assert!(shown.contains("cannot be changed while it trains"), "{shown}");
}
