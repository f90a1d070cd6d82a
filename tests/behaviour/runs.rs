//! What `vitral runs` tells of runs.

use std::fs;

use serde_json::Value;

use crate::support::{
    images::Workspace,
    program::{start, vitral},
};

fn runs(workspace: &Workspace, arguments: &[&str]) -> Vec<Value> {
    let said = vitral(workspace.path(), &[&["runs", "--json"], arguments].concat()).succeeded();
    said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn runs_are_listed_with_their_figures_and_what_differs_between_them() {
    let workspace = Workspace::new();
    let train = |name: &str, changes: &[&str]| {
        let output = format!("output=runs/{name}");
        let mut arguments = vec!["train", "experiment.ron", "--set", &output];
        changes.iter().for_each(|change| arguments.extend(["--set", change]));
        vitral(workspace.path(), &arguments).succeeded();
    };
    train("a", &[]);
    train("sub/b", &["train.learning_rate=0.004", "train.optimizer=Sgd()"]);
    let found = runs(&workspace, &[]);
    assert_eq!(found.len(), 2);
    assert_eq!([&found[0]["run"], &found[1]["run"]], ["runs/a", "runs/sub/b"]);
    for run in &found {
        assert_eq!((&run["state"], &run["ended_by"]), (&"ended".into(), &"done".into()));
        assert_eq!((&run["step"], &run["steps"]), (&12.into(), &12.into()));
        assert!(run["images_per_second"].as_f64().unwrap() > 0.0, "{run}");
        assert!(run["best"]["top1"].as_f64().unwrap() > 0.0, "{run}");
        assert_eq!(run["differs"].as_object().unwrap().len(), 2, "{run}");
    }
    assert_eq!(found[1]["differs"]["train.learning_rate"], "0.004");
    assert!(found[0]["differs"]["train.optimizer"].as_str().unwrap().starts_with("AdamW("));
    let table = vitral(workspace.path(), &["runs"]).succeeded().stdout;
    for words in ["best top-1", "a ", "sub/b", "ended", "12/12", "train.learning_rate: 0.004"] {
        assert!(table.contains(words), "{words} is not in {table}");
    }
    // One of them says so itself, and a run with less to do has not ended.
    vitral(workspace.path(), &["train", "--resume", "runs/a/checkpoints/step-00000003"])
        .succeeded();
    let metrics = fs::read_to_string(workspace.join("runs/a/metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("\"kind\":\"end\"").count(), 1);
    let kept: Vec<&str> = metrics.lines().take_while(|line| !line.contains("\"step\":9")).collect();
    fs::write(workspace.join("runs/a/metrics.jsonl"), kept.join("\n") + "\n").unwrap();
    let found = runs(&workspace, &["runs/a"]);
    assert_eq!((&found[0]["state"], &found[0]["step"]), (&"stopped".into(), &8.into()));
}

#[test]
fn a_run_that_a_process_trains_is_running() {
    let workspace = Workspace::new();
    let mut child =
        start(workspace.path(), &["train", "experiment.ron", "--set", "train.steps=9999"]);
    let is_running = || {
        let found = vitral(workspace.path(), &["runs", ".", "--json"]).succeeded().stdout;
        let run = found.lines().next().map(|line| serde_json::from_str::<Value>(line).unwrap());
        run.is_some_and(|run| run["state"] == "running" && run["step"].as_u64() > Some(0))
    };
    let seen = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        is_running()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen, "it was never told to run");
    assert!(!is_running());
}

#[test]
fn what_has_no_runs_and_what_is_not_there_is_said() {
    let workspace = Workspace::new();
    let said = vitral(workspace.path(), &["runs", "."]).succeeded();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", "no runs in .\n"));
    let said = vitral(workspace.path(), &["runs", "nowhere"]).failed_with(1).stderr;
    assert!(said.contains("nowhere"), "{said}");
}
