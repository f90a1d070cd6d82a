//! What `vitral bench data` reports. How fast anything is has no place in a test.

use serde_json::Value;

use crate::support::{images::Workspace, program::vitral};

const QUICK: [&str; 6] = ["--seconds", "0.05", "--rounds", "2", "--workers", "1,2"];

fn bench(workspace: &Workspace, arguments: &[&str]) -> Value {
    let arguments =
        [&["bench", "data", "experiment.ron", "--json"][..], &QUICK, arguments].concat();
    let said = vitral(workspace.path(), &arguments).succeeded().stdout;
    assert!(!workspace.join("run").exists(), "a benchmark starts no run");
    serde_json::from_str(&said).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn names(row: &Value) -> Vec<&str> {
    row["stages"].as_array().unwrap().iter().map(|stage| stage["name"].as_str().unwrap()).collect()
}

#[test]
fn the_data_path_is_measured_for_each_number_of_workers() {
    let workspace = Workspace::new();
    let found = bench(&workspace, &[]);
    for (field, value) in [("images", 72), ("batch", 16), ("image_size", 8), ("channels", 1)] {
        assert_eq!(found[field], value, "{field}");
    }
    assert!(found["instruction_set"].is_string(), "of the processors: {found}");
    let rows = found["workers"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| &row["workers"]).collect::<Vec<_>>(), [1, 2]);
    for row in rows {
        let stages = ["read", "decode", "PadCrop", "HorizontalFlip", "assemble", "normalize"];
        assert_eq!(names(row), stages);
        let stages = row["stages"].as_array().unwrap();
        let shares: f64 = stages.iter().map(|stage| number(&stage["share"])).sum();
        assert!((shares - 1.0).abs() < 1e-9, "{shares}");
        let bottleneck = row["bottleneck"].as_str().unwrap();
        assert!(names(row).contains(&bottleneck), "{bottleneck}");
        assert!(number(&row["batches_per_second"]) > 0.0);
    }
}

#[test]
fn the_data_path_is_held_against_its_parts_in_the_same_round() {
    let workspace = Workspace::new();
    let found = bench(&workspace, &[]);
    for row in found["workers"].as_array().unwrap() {
        let samples = row["samples"].as_array().unwrap();
        assert_eq!(samples.len(), 2);
        for part in ["read", "decode", "copy"] {
            let mut ratios: Vec<f64> = samples
                .iter()
                .map(|sample| number(&sample["images_per_second"]) / number(&sample[part]))
                .collect();
            ratios.sort_by(f64::total_cmp);
            let [least, most] = ["least", "most"].map(|name| number(&row["ratios"][part][name]));
            assert!((least / ratios[0] - 1.0).abs() < 1e-9, "{part}: {least}, {ratios:?}");
            assert!((most / ratios[1] - 1.0).abs() < 1e-9, "{part}: {most}, {ratios:?}");
        }
    }
}

#[test]
fn plugins_and_changes_are_part_of_the_measured_path() {
    let workspace = Workspace::new();
    let augment = "data.augment=[RandomResizedCrop(), Plugin(name: \"randaugment\")]";
    let found = bench(&workspace, &["--set", augment, "--set", "train.batch=8"]);
    assert_eq!(found["batch"], 8);
    let stages = ["read", "decode", "RandomResizedCrop", "randaugment", "assemble", "normalize"];
    assert_eq!(names(&found["workers"][0]), stages);
}

#[test]
fn the_data_path_is_read_by_people_too() {
    let workspace = Workspace::new();
    let arguments = [&["bench", "data", "experiment.ron"][..], &QUICK].concat();
    let said = vitral(workspace.path(), &arguments).succeeded();
    let subject = "72 training images of experiment.ron, as batches of 16 at 8 px, grey";
    assert!(said.stderr.contains(subject), "{}", said.stderr);
    for words in [
        subject,
        "processors, kernels on ",
        "workers",
        "img/s",
        "bottleneck",
        "with 2 workers, of an image: read",
        "alone: reading",
    ] {
        assert!(said.stdout.contains(words), "{words} is not in\n{}", said.stdout);
    }
}

#[test]
fn mistakes_about_a_data_path_are_shown_with_what_would_be_right() {
    let workspace = Workspace::new();
    for (arguments, code, words) in [
        (&["nothing.ron"][..], 2, "cannot read this file"),
        (&["experiment.ron", "--seconds", "0"], 2, "from 0.01 to 3600"),
        (&["experiment.ron", "--workers", "0"], 2, "1..=1024"),
        (
            &["experiment.ron", "--set", "data.augment=[Plugin(name: \"randaugmen\")]"],
            2,
            "randaugment",
        ),
        (&["experiment.ron", "--set", "data.train=ImageFolder(path: \"nowhere\")"], 2, "nowhere"),
    ] {
        let said = vitral(workspace.path(), &[&["bench", "data"], arguments].concat());
        let said = said.failed_with(code).stderr;
        assert!(said.contains(words), "{arguments:?}: {words} is not in\n{said}");
    }
}
