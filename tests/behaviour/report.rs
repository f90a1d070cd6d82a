//! What `vitral report` shows of a run.

use std::fs;

use crate::support::{
    images::{VAL_IMAGES, Workspace},
    program::vitral,
};

#[test]
fn a_report_is_one_page_with_every_curve() {
    let workspace = Workspace::new();
    vitral(workspace.path(), &["train", "experiment.ron"]).succeeded();
    let said = vitral(workspace.path(), &["report", "run"]).succeeded().stdout;
    assert_eq!(said.trim(), "run/report.html");
    let page = fs::read_to_string(workspace.join("run/report.html")).unwrap();
    for title in [
        "loss",
        "top-1 accuracy, %",
        "learning rate",
        "images per second",
        "gradient norm",
        "waiting for data, %",
        "work of the data path",
        "decode",
    ] {
        assert!(page.contains(title), "{title} is not in the page");
    }
    assert_eq!(page.matches("<svg").count(), 6);
    assert!(
        page.contains("12 (") && page.contains(&format!("of {VAL_IMAGES} images, after step 12"))
    );
    assert!(page.contains("weight_decay"), "the experiment with its defaults");
    // Nothing has to be fetched or found beside it.
    for outside in [" src=", " href=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside} is in the page");
    }
    vitral(workspace.path(), &["report", "run", "--output", "other.html"]).succeeded();
    assert_eq!(fs::read_to_string(workspace.join("other.html")).unwrap(), page);
    // A run with a report in its folder goes on as any other.
    let more = ["train", "--resume", "run", "--set", "train.steps=14"];
    vitral(workspace.path(), &more).succeeded();
}

#[test]
fn what_is_no_run_has_no_report() {
    let workspace = Workspace::new();
    let said = vitral(workspace.path(), &["report", "nothing"]).failed_with(1).stderr;
    assert!(
        said.contains("nothing/metrics.jsonl") && said.contains("the folder of a run"),
        "{said}"
    );
    fs::create_dir(workspace.join("empty")).unwrap();
    fs::write(workspace.join("empty/metrics.jsonl"), "").unwrap();
    let said = vitral(workspace.path(), &["report", "empty"]).failed_with(1).stderr;
    assert!(said.contains("has logged nothing yet"), "{said}");
    assert!(!workspace.join("empty/report.html").exists());
}
