//! `export` to formats with the model's graph, run by their runtimes.

use std::{fs, path::Path, process::Command};

use crate::support::{
    images::Workspace,
    program::{Finished, vitral},
    root,
};

/// The interpreter of the validation environment, which is made if it is not there.
fn python() -> String {
    let output = Command::new(root().join("tests/validation/setup")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn export(folder: &Path, format: &str, out: &str, more: &[&str]) -> Finished {
    vitral(folder, &[&["export", "run", "--format", format, "--out", out], more].concat())
}

#[test]
fn exported_graphs_are_verified_with_their_runtimes() {
    let workspace = Workspace::new();
    let folder = workspace.path();
    vitral(folder, &["train", "experiment.ron", "--set", "train.steps=3"]).succeeded();
    let python = python();
    let verify = ["--verify", "--python", &python];
    for (format, out, more) in [
        ("onnx", "made/plain.onnx", &[][..]),
        ("onnx", "pixels.onnx", &["--preprocessing", "--f16"]),
        ("onnx", "any.onnx", &["--preprocessing", "--image-size", "dynamic"]),
        ("saved-model", "saved", &["--preprocessing"]),
    ] {
        let said = export(folder, format, out, &[&verify[..], more].concat()).succeeded().stdout;
        assert!(said.contains("verified: it differs from the model by"), "{said}");
    }
    let sizes = ["made/plain.onnx", "pixels.onnx"]
        .map(|name| fs::metadata(workspace.join(name)).unwrap().len());
    assert!(sizes[1] < sizes[0], "{sizes:?}");
    let classes = fs::read_to_string(workspace.join("saved/assets/classes.txt")).unwrap();
    assert_eq!(classes, "0\n1\n2\n3\n");

    // Nothing is written over, and a Python without the runtime is named.
    let said = export(folder, "onnx", "pixels.onnx", &[]).failed_with(1).stderr;
    assert!(said.contains("something of that name already"), "{said}");
    let said = export(folder, "onnx", "b.onnx", &["--verify", "--python", "no-such-python"]);
    let said = said.failed_with(1).stderr;
    assert!(said.contains("no-such-python"), "{said}");
    assert!(workspace.join("b.onnx").exists());
    for option in [&["--f16"][..], &["--image-size", "dynamic"]] {
        let said = export(folder, "timm", "timm", option).failed_with(1).stderr;
        assert!(said.contains("need --format onnx or saved-model"), "{said}");
    }
}
