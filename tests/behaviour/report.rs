//! What `vitral report` shows of a run.

use std::fs;

use crate::support::{
    images::{VAL_IMAGES, Workspace},
    program::vitral,
};

/// Nothing of a page has to be fetched or found beside it.
fn needs_nothing(page: &str) {
    let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for outside in [" href=", "@import", "url(", "<script", "<link", "http://", "https://"] {
        assert!(!page.contains(outside), "{outside} is in the page");
    }
    let sources = page.matches(" src=").count();
    assert_eq!(page.matches(" src=\"data:image/jpeg;base64,").count(), sources);
}

#[test]
fn a_report_is_one_page_with_every_curve_and_what_the_best_model_sees() {
    let workspace = Workspace::new();
    let monitors = r#"monitors=[(name: "memory", settings: {"every": 4})]"#;
    vitral(workspace.path(), &["train", "experiment.ron", "--set", monitors]).succeeded();
    let said = vitral(workspace.path(), &["report", "run"]).succeeded().stdout;
    assert_eq!(said.trim(), "run/report.html");
    let page = fs::read_to_string(workspace.join("run/report.html")).unwrap();
    for title in [
        "loss, by steps",
        "top-1 accuracy, %, by steps",
        "learning rate",
        "images per second",
        "gradient norm",
        "aria-label=\"memory: ",
        "waiting for data",
        "work of the data path",
        "decode",
        "parameters",
        "Calibration",
        "Most confident mistakes",
        "Most uncertain images",
        "class=\"matrix\"",
        "balanced accuracy",
    ] {
        assert!(page.contains(title), "{title} is not in the page");
    }
    assert!(
        page.contains("12 (") && page.contains(&format!("of {VAL_IMAGES} images, after step 12"))
    );
    // What is set is beside the default, and all of it below.
    assert!(page.contains("<td>train.label_smoothing</td><td class=\"v\">0.0</td>"));
    assert!(page.contains("weight_decay"), "the experiment with its defaults");
    // Each picture with its map of attention: 12 images that are uncertain, and mistakes.
    let pictures = page.matches(" src=").count();
    assert!(pictures >= 24 && pictures.is_multiple_of(2), "{pictures}");
    needs_nothing(&page);
    vitral(workspace.path(), &["report", "run", "--output", "other.html"]).succeeded();
    assert_eq!(fs::read_to_string(workspace.join("other.html")).unwrap(), page);
    // A run with a report in its folder goes on as any other.
    let more = ["train", "--resume", "run", "--set", "train.steps=14"];
    vitral(workspace.path(), &more).succeeded();
}

#[test]
fn runs_come_side_by_side_with_what_they_differ_in() {
    let workspace = Workspace::new();
    for (output, rate) in [("output=one", "2e-3"), ("output=two", "5e-3")] {
        let rate = format!("train.learning_rate={rate}");
        let sets = ["--set", output, "--set", &rate];
        vitral(workspace.path(), &[&["train", "experiment.ron"], &sets[..]].concat()).succeeded();
    }
    let said = vitral(workspace.path(), &["report", "one", "two"]).succeeded().stdout;
    assert_eq!(said.trim(), "report.html");
    let page = fs::read_to_string(workspace.join("report.html")).unwrap();
    assert!(page.contains("<h1>2 runs</h1>") && page.contains("validation loss, by epochs"));
    let row = "<tr><td>train.learning_rate</td><td class=\"v\">0.002</td>\
               <td class=\"v changed\">0.005</td></tr>";
    assert!(page.contains(row), "{page}");
    let differences =
        &page[page.find("<h2>Differences").unwrap()..page.find("<h2>Training").unwrap()];
    assert_eq!(differences.matches("<tr>").count(), 2, "{differences}");
    assert_eq!(page.matches("class=\"matrix\"").count(), 2);
    needs_nothing(&page);
}

#[test]
fn a_page_says_why_a_model_is_not_evaluated() {
    let workspace = Workspace::new();
    vitral(workspace.path(), &["train", "experiment.ron"]).succeeded();
    let report = |more: &[&str]| {
        let said = vitral(workspace.path(), &[&["report", "run", "--output", "-"], more].concat());
        said.succeeded()
    };
    let said = report(&["--no-images"]);
    assert!(said.stdout.contains("Not evaluated: `--no-images` was given"), "{}", said.stdout);
    assert_eq!((said.stdout.matches(" src=").count(), &*said.stderr), (0, ""));
    fs::remove_file(workspace.join("val-images")).unwrap();
    let said = report(&[]);
    assert!(said.stderr.contains("warning: run is not evaluated: "), "{}", said.stderr);
    let page = said.stdout;
    assert!(page.contains("Not evaluated: ") && page.contains("val-images"), "{page}");
    assert!(page.contains("loss, by steps"));
    vitral(workspace.path(), &["report", "run", "--device", "teapot"]).failed_with(2);
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
