//! A run's figures in the formats of others, through interruptions.

use std::{fs, path::PathBuf, process::Command};

use crate::support::{
    images::Workspace,
    program::{Finished, vitral},
    root,
};

const LOGS: [&str; 2] = ["--set", "log=[TensorBoard, Csv]"];

fn train(workspace: &Workspace, arguments: &[&str]) -> Finished {
    vitral(workspace.path(), &[&["train"], arguments].concat()).succeeded()
}

/// The steps in a column of a table.
fn steps(workspace: &Workspace, run: &str, table: &str) -> Vec<u64> {
    let text = fs::read_to_string(workspace.join(run).join("csv").join(table)).unwrap();
    text.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect()
}

fn event_files(workspace: &Workspace, run: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(workspace.join(run).join("tensorboard")).unwrap();
    folder.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn logs_of_a_run_that_goes_on_from_an_earlier_step_have_each_step_once() {
    let workspace = Workspace::new();
    let monitors = r#"monitors=[(name: "gradient-health", settings: {"every": 6})]"#;
    train(&workspace, &[&["experiment.ron", "--set", monitors][..], &LOGS].concat());
    let all: Vec<u64> = (1..=12).collect();
    assert_eq!(steps(&workspace, "run", "train.csv"), all);
    assert_eq!(steps(&workspace, "run", "val.csv"), [4, 8, 12]);
    let before = event_files(&workspace, "run");
    assert_eq!(before.len(), 1);
    // As after a crash in the middle of a line, with lines that came after the checkpoint.
    let table = workspace.join("run/csv/train.csv");
    let text = fs::read_to_string(&table).unwrap();
    fs::write(&table, &text[..text.len() - 5]).unwrap();
    let bytes = fs::read(&before[0]).unwrap();
    fs::write(&before[0], &bytes[..bytes.len() - 3]).unwrap();
    train(&workspace, &["--resume", "run/checkpoints/step-00000006"]);
    assert_eq!(steps(&workspace, "run", "train.csv"), all);
    assert_eq!(steps(&workspace, "run", "val.csv"), [4, 8, 12]);
    let after = event_files(&workspace, "run");
    assert_eq!(after.len(), 1);
    assert_ne!(before, after);
    // Asked for later, they have what was before.
    train(&workspace, &["experiment.ron", "--set", "output=later"]);
    assert!(!workspace.join("later/csv").exists() && !workspace.join("later/tensorboard").exists());
    let resume = ["--resume", "later/checkpoints/step-00000009"];
    train(&workspace, &[&resume[..], &LOGS].concat());
    assert_eq!(steps(&workspace, "later", "train.csv"), all);
    let metrics = fs::read_to_string(workspace.join("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("\"kind\":\"histograms\"").count(), 2);
    opened_by_tensorboard(&workspace);
}

/// What TensorBoard itself finds, where the Python environment of the tests has been made.
fn opened_by_tensorboard(workspace: &Workspace) {
    if !root().join("target/validation/stamp").exists() {
        return;
    }
    let setup = Command::new(root().join("tests/validation/setup")).output().unwrap();
    let python = String::from_utf8(setup.stdout).unwrap();
    let python = python.trim();
    let script = root().join("tests/validation/read_events.py");
    for run in ["run", "later"] {
        let folder = workspace.join(run).join("tensorboard");
        let said = Command::new(python).arg(&script).arg(folder).output().unwrap();
        let (out, err) = (said.stdout, String::from_utf8_lossy(&said.stderr).into_owned());
        let found: serde_json::Value = serde_json::from_slice(&out).expect(&err);
        let all: Vec<u64> = (1..=12).collect();
        assert_eq!(found["steps"]["train/loss"], serde_json::json!(all));
        assert_eq!(found["steps"]["val/top1"], serde_json::json!([4, 8, 12]));
        assert!(found["text"].as_str().unwrap().contains("learning_rate"), "{found}");
        assert_eq!(found["hparams"]["train.batch"], 16.0);
        assert_eq!(found["hparams"]["seed"], 0.0);
        // Images of 8 pixels as large as can be seen, of the evaluations that this log has seen.
        let images = found["images"].as_object().unwrap();
        let steps: &[u64] = if run == "run" { &[4, 8, 12] } else { &[12] };
        let expected: Vec<_> =
            steps.iter().map(|step| serde_json::json!([step, 120, 120])).collect();
        assert_eq!(images.len(), 8, "{images:?}");
        assert!(
            images.keys().enumerate().all(|(at, tag)| tag.starts_with(&format!("samples/{at} ")))
        );
        assert!(images.values().all(|found| *found == serde_json::json!(expected)), "{images:?}");
        let predictions = found["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), steps.len());
        assert!(predictions.iter().all(|table| table.as_str().unwrap().lines().count() == 2 + 8));
        // Those of the steps that a monitor looked at, each once: 16 times 4 values.
        let histograms = found["histograms"]["gradients/head.weight"].as_object();
        match run {
            "run" => {
                let found: Vec<_> = histograms.unwrap().iter().collect();
                assert_eq!(found.iter().map(|(step, _)| &***step).collect::<Vec<_>>(), ["12", "6"]);
                assert!(
                    found.iter().all(|(_, count)| (1.0..=64.0).contains(&count.as_f64().unwrap()))
                );
            }
            _ => assert!(histograms.is_none(), "{found}"),
        }
    }
}
