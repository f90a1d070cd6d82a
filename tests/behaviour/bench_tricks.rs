//! What `vitral bench tricks` compares and reports. Which technique is how fast has no place in a test.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::Command,
};

use serde_json::Value;

use crate::support::{
    images::{VAL_IMAGES, Workspace},
    program::{start, vitral},
};

const TRICKS: [&str; 7] =
    ["bench", "tricks", "experiment.ron", "--epochs", "1", "--plot", "compared.svg"];

fn names(table: &Value) -> Vec<&str> {
    table["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[test]
fn techniques_are_run_one_by_one_beside_the_plain_loop() {
    let workspace = Workspace::new();
    let arguments =
        ["--only", "accumulation,auto,ema,linear,efficient,all", "--seeds", "2", "--json"];
    let said = vitral(workspace.path(), &[&TRICKS[..], &arguments].concat()).succeeded();
    let table: Value = serde_json::from_str(&said.stdout).unwrap();
    let expected = ["plain", "accumulation", "auto", "ema", "linear", "efficient", "all"];
    assert_eq!(names(&table), expected);
    assert!(table["instruction_set"].is_string(), "of the processors: {table}");
    for row in table["rows"].as_array().unwrap() {
        let runs = row["runs"].as_array().unwrap();
        assert_eq!((runs.len(), &row["failures"]), (2, &Value::Array(Vec::new())), "{row}");
        for run in runs {
            assert_eq!(run["images"], VAL_IMAGES);
            let number =
                |field: &str| run[field].as_f64().unwrap_or_else(|| panic!("{field}: {run}"));
            assert!(number("seconds_per_epoch") > 0.0 && number("loss") > 0.0);
            assert!((0.0..=1.0).contains(&number("top1")));
            if cfg!(target_os = "linux") {
                assert!(number("peak_memory") >= number("memory_at_start"));
                assert!(number("memory_at_start") > 1e6 && number("cpu_seconds_per_epoch") >= 0.0);
            }
        }
        assert_ne!(runs[0]["loss"], runs[1]["loss"], "two seeds");
    }
    let loss = |row: usize| table["rows"][row]["runs"][0]["loss"].as_f64().unwrap();
    // A batch that is cut differs from one that is not by rounding alone, as without noise here.
    assert!((loss(1) - loss(0)).abs() < 1e-3 && (loss(2) - loss(0)).abs() < 1e-3);
    assert!((loss(3) - loss(0)).abs() > 1e-6, "the average is what is evaluated");
    for words in ["14/14 all", "s per epoch", "% of 37 images"] {
        assert!(said.stderr.contains(words), "{words} is not in\n{}", said.stderr);
    }
    let plot = fs::read_to_string(workspace.join("compared.svg")).unwrap();
    assert_eq!(plot.matches("<circle").count(), 3 * 7, "a dot for each technique and figure");
    assert!(!workspace.join("run").exists(), "nothing else is left behind");
}

#[test]
fn a_run_that_fails_is_in_the_table_and_the_others_are_not_lost() {
    let workspace = Workspace::new();
    let arguments = [
        &TRICKS[..],
        &["--only", "patch-dropout,accumulation", "--set", "model.relative_position_bias=true"],
        // Which the plain loop has not, so that its batch can be cut otherwise.
        &["--set", "train.batch=Auto(effective: 16)"],
    ];
    let said = vitral(workspace.path(), &arguments.concat()).succeeded();
    let line = |name: &str| {
        let line = said.stdout.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{name} is not in\n{}", said.stdout))
    };
    assert!(line("plain").contains('%') && line("accumulation").contains('x'), "{}", said.stdout);
    assert!(line("patch-dropout").contains("failed: patch dropout cannot be combined with"));
    assert!(said.stdout.contains("plot: compared.svg"));
    assert!(said.stdout.contains(", kernels on "), "{}", said.stdout);
}

#[test]
fn an_interrupted_comparison_shows_what_it_has() {
    let workspace = Workspace::new();
    let arguments = [
        &["bench", "tricks", "experiment.ron", "--epochs", "1", "--only", "ema"][..],
        // Too many to wait for.
        &["--seeds", "100", "--json"],
    ];
    let mut child = start(workspace.path(), &arguments.concat());
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("2/200 ema") {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() > 0, "it ended early");
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let (mut out, mut rest) = (String::new(), String::new());
    errors.read_to_string(&mut rest).unwrap();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    let table: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(names(&table), ["plain", "ema"]);
    assert!(workspace.join("tricks.svg").exists());
}

#[test]
fn mistakes_are_found_before_the_first_run() {
    let workspace = Workspace::new();
    for (arguments, code, words) in [
        (&["--only", "emma"][..], 2, "ema"),
        (&["--epochs", "0"], 2, "--epochs"),
        (&["--plot", "nowhere/plot.svg"], 1, "folder does not exist"),
        (&["--set", "model.depht=1"], 2, "did you mean `depth`"),
        (&["--device", "tpu"], 2, "unknown device `tpu`"),
    ] {
        let said =
            vitral(workspace.path(), &[&["bench", "tricks", "experiment.ron"], arguments].concat());
        let said = said.failed_with(code).stderr;
        assert!(said.contains(words), "{arguments:?}: {words} is not in\n{said}");
    }
}
