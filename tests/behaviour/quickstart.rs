//! The README's first command.

use std::time::Instant;

use crate::support::{program::vitral, root};

/// What the README promises of it; the time is measured, not tested.
#[test]
fn quickstart_reaches_its_accuracy() {
    let folder = tempfile::TempDir::new().unwrap();
    let output = format!("output={:?}", folder.path().join("run"));
    let start = Instant::now();
    let said = vitral(&root(), &["train", "examples/quickstart.ron", "--set", &output]).succeeded();
    println!("{}\nin {:.0?}", said.stdout, start.elapsed());
    let run = folder.path().join("run").display().to_string();
    let json = vitral(&root(), &["eval", &run, "--json"]).succeeded().stdout;
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["images"], 2000);
    assert!(found["top1"].as_f64().unwrap() >= 0.8, "{}", found["top1"]);
}

/// What a program needs that was installed: nothing but what it brings along.
#[test]
fn quickstart_writes_what_the_first_run_needs() {
    let folder = tempfile::TempDir::new().unwrap();
    let said = vitral(folder.path(), &["quickstart", "first"]).succeeded().stdout;
    assert!(said.contains("vitral train quickstart.ron"), "{said}");
    let first = folder.path().join("first");
    let short = ["train", "quickstart.ron", "--set", "train.epochs=1", "--set", "model.depth=1"];
    vitral(&first, &short).succeeded();
    vitral(&first, &["eval", "runs/quickstart/best"]).succeeded();
    let said = vitral(folder.path(), &["quickstart", "first"]).failed_with(1).stderr;
    assert!(said.contains("first"), "{said}");
    assert!(first.join("runs").exists(), "what was there is gone");
}
