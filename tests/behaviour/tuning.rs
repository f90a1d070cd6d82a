//! `vitral tune`: a search whose trials are ordinary runs, and the learning-rate range test.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    resume::assert_same,
    support::{images::Workspace, program::vitral},
};

const SEARCH: [&str; 7] = [
    "tune",
    "experiment.ron",
    "--over",
    "train.learning_rate=1e-3..1e-2:log",
    "--over",
    "model.pool=Mean,ClassToken",
    "--json",
];

fn trials(workspace: &Workspace, more: &[&str]) -> Vec<Value> {
    let said = vitral(workspace.path(), &[&SEARCH, more].concat()).succeeded().stdout;
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn written(run: &Path) -> std::time::SystemTime {
    fs::metadata(run.join("metrics.jsonl")).unwrap().modified().unwrap()
}

#[test]
fn trials_are_ordinary_runs_that_are_made_once_and_go_on() {
    let workspace = Workspace::new();
    let made = trials(&workspace, &["--trials", "2"]);
    assert_eq!(made.len(), 2);
    let (first, second) =
        (workspace.join("run-tune/trial-01"), workspace.join("run-tune/trial-02"));
    for trial in &made {
        assert_eq!(trial["state"], "ended");
        assert!(trial["score"].as_f64().is_some() && trial["failure"].is_null(), "{trial}");
    }
    assert_ne!(made[0]["values"][1], made[1]["values"][1], "both of the list");
    // The same by hand.
    let set: Vec<String> = made[1]["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| format!("{}={}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    let alone = ["train", "experiment.ron", "--set", &set[0], "--set", &set[1]];
    vitral(workspace.path(), &alone).succeeded();
    assert_same(&second, &workspace.join("run"));
    // As after the process was killed in the second trial: the first is not made again.
    let metrics = fs::read_to_string(second.join("metrics.jsonl")).unwrap();
    let is_kept = |line: &&str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["kind"] != "end" && line["step"].as_u64().unwrap() <= 7
    };
    let kept: String = metrics.lines().filter(is_kept).map(|line| format!("{line}\n")).collect();
    fs::write(second.join("metrics.jsonl"), kept).unwrap();
    for step in ["08", "09", "12"] {
        let _ = fs::remove_dir_all(second.join(format!("checkpoints/step-000000{step}")));
    }
    fs::write(second.join("last"), "checkpoints/step-00000006\n").unwrap();
    let before = written(&first);
    let more = trials(&workspace, &["--trials", "3"]);
    assert_eq!((more.len(), written(&first)), (3, before));
    assert_same(&second, &workspace.join("run"));
    assert_eq!(
        more[..2].iter().map(|trial| &trial["values"]).collect::<Vec<_>>(),
        [&made[0]["values"], &made[1]["values"]]
    );
    // The best one can be trained as it is written.
    let best = more.iter().max_by(|one, other| {
        one["score"].as_f64().unwrap().total_cmp(&other["score"].as_f64().unwrap()).then(
            // Of equals the first.
            other["trial"].as_str().cmp(&one["trial"].as_str()),
        )
    });
    let best = best.unwrap()["run"].as_str().unwrap();
    vitral(workspace.path(), &["train", "run-tune/best.ron"]).succeeded();
    assert_same(&workspace.join("run-tune/best"), &workspace.join(best));
    let page = fs::read_to_string(workspace.join("run-tune/tune.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 2);
    // Another search does not go on with these.
    let other = [&SEARCH[..6], &["--set", "seed=3"]].concat();
    let said = vitral(workspace.path(), &other).failed_with(2).stderr;
    assert!(said.contains("trial-01 holds a trial of another search"), "{said}");
    assert!(said.contains("`seed` is 3, and 0 in the run"), "{said}");
}

#[test]
fn a_search_that_cannot_be_is_refused_before_anything_runs() {
    let workspace = Workspace::new();
    for (over, said) in [
        ("train.learnin_rate=1e-4..1e-3", "did you mean `learning_rate`?"),
        ("train.batch=8,0", "`train.batch` is 0"),
        ("model.heads=2,3", "heads do not divide"),
        ("output=a,b", "its own folder"),
        ("train.batch", "a field and its values"),
    ] {
        let refused = vitral(workspace.path(), &["tune", "experiment.ron", "--over", over]);
        let found = refused.failed_with(2).stderr.replace('\n', " ");
        assert!(found.contains(said), "{over}: {found}");
    }
    let nothing = vitral(workspace.path(), &["tune", "experiment.ron"]).failed_with(2).stderr;
    assert!(nothing.contains("--over") && nothing.contains("--find-learning-rate"), "{nothing}");
    let runs = vitral(workspace.path(), &["runs", "."]).succeeded();
    assert_eq!(runs.stdout, "");
}

#[test]
fn a_trial_that_fails_is_a_result() {
    let workspace = Workspace::new();
    let over = "train.class_weights=[1, 2, 1, 1],[1, 2]";
    let search = ["tune", "experiment.ron", "--over", over, "--out", "out"];
    let said = vitral(workspace.path(), &search).succeeded().stdout;
    assert!(said.contains("failed: ") && said.contains("2 weights, and 4 classes"), "{said}");
    let best = fs::read_to_string(workspace.join("out/best.ron")).unwrap();
    assert!(best.starts_with("// The best of 2 trials of experiment.ron: trial-0"), "{best:.200}");
    assert!(best.contains("class_weights: [1, 2, 1, 1]\n"), "{best:.200}");
}

#[test]
fn the_range_test_lets_the_rate_rise_and_suggests_one() {
    let workspace = Workspace::new();
    let test = [
        "tune",
        "experiment.ron",
        "--find-learning-rate=1e-5..10",
        "--steps",
        "60",
        "--out",
        "lr",
        "--json",
    ];
    let said = vitral(workspace.path(), &test).succeeded().stdout;
    let found: Value = serde_json::from_str(&said).unwrap();
    let points = found["points"].as_array().unwrap();
    let rates: Vec<f64> = points.iter().map(|point| point[0].as_f64().unwrap()).collect();
    assert!((rates[0] - 1e-5).abs() < 1e-12 && rates.len() >= 20, "{said}");
    let factor = rates[1] / rates[0];
    assert!(rates.windows(2).all(|pair| (pair[1] / pair[0] / factor - 1.0).abs() < 1e-9));
    let [suggestion, lowest] =
        ["suggestion", "lowest_at"].map(|name| found[name].as_f64().unwrap());
    assert!(1e-5 < suggestion && suggestion <= lowest && lowest < 10.0, "{said}");
    let page = fs::read_to_string(workspace.join("lr/learning-rate.html")).unwrap();
    assert!(page.contains("falls fastest") && page.contains("<svg"));
    // It keeps nothing else, and is the same again.
    assert_eq!(fs::read_dir(workspace.join("lr")).unwrap().count(), 1);
    assert!(!workspace.join("run").exists());
    assert_eq!(vitral(workspace.path(), &test).succeeded().stdout, said);
}
