//! Monitors in training.

use std::fs;

use super::built;
use crate::support::{
    images::Workspace,
    program::{Finished, vitral},
};

fn train(workspace: &Workspace, output: &str, changes: &[&str]) -> Finished {
    let output = format!("output={output}");
    let mut arguments = vec!["train", "experiment.ron", "--set", &output];
    arguments.extend(built::arguments(changes));
    vitral(workspace.path(), &arguments)
}

/// The lines of a run's metrics of a kind.
fn metrics(workspace: &Workspace, run: &str, kind: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(workspace.join(run).join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &serde_json::Value| line["kind"] == kind).collect()
}

fn named(lines: &[serde_json::Value], name: &str) -> usize {
    lines.iter().filter(|line| line["name"].as_str().is_some_and(|n| n.starts_with(name))).count()
}

#[test]
fn early_stop_ends_a_run_with_a_checkpoint_and_a_reason() {
    let workspace = Workspace::new();
    let monitors = r#"monitors=[(name: "early-stop", settings: {"metric": "top1", "patience": 1, "min_delta": 1.0})]"#;
    let finished = train(&workspace, "run", &[monitors, "train.steps=200"]).succeeded();
    assert!(finished.stdout.contains("ended early by early-stop"), "{}", finished.stdout);
    let last = fs::read_to_string(workspace.join("run/last")).unwrap();
    assert_eq!(last.trim(), "checkpoints/step-00000008");
    assert!(finished.stderr.contains("early-stop: ends the run"), "{}", finished.stderr);
}

#[test]
fn figures_of_monitors_are_in_the_metrics() {
    let workspace = Workspace::new();
    let monitors = r#"monitors=[
        (name: "gradient-health", settings: {"every": 4}),
        (name: "throughput", settings: {"warmup": 2, "every": 4}),
        (name: "memory", settings: {"every": 4}),
    ]"#;
    train(&workspace, "run", &[monitors]).succeeded();
    let lines = metrics(&workspace, "run", "monitor");
    assert!(named(&lines, "gradient_norm/") >= 3 * 2, "{lines:?}");
    assert!(lines.iter().any(|line| line["monitor"] == "throughput"), "{lines:?}");
    assert!(named(&lines, "data_stage/decode") >= 2, "{lines:?}");
    let step = &metrics(&workspace, "run", "step")[1];
    let data = &step["data"];
    assert!(data["seconds"].as_f64() >= data["wait"].as_f64(), "{step}");
    assert!(data["stages"]["read"].as_f64().is_some_and(|seconds| seconds >= 0.0), "{step}");
    let steps: std::collections::BTreeSet<u64> = lines
        .iter()
        .filter(|line| line["monitor"] == "gradient-health")
        .map(|line| line["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps.into_iter().collect::<Vec<_>>(), [4, 8, 12]);
}

#[test]
fn a_monitor_changes_nothing_by_looking() {
    let workspace = Workspace::new();
    let weights = |run: &str| {
        let last = fs::read_to_string(workspace.join(run).join("last")).unwrap();
        fs::read(workspace.join(run).join(last.trim()).join("model.safetensors")).unwrap()
    };
    train(&workspace, "without", &[]).succeeded();
    let monitors =
        r#"monitors=[(name: "gradient-health", settings: {"every": 1}), (name: "throughput")]"#;
    train(&workspace, "with", &[monitors]).succeeded();
    assert!(weights("with") == weights("without"));
}

/// A learning rate far too high makes the loss jump; the monitor goes back and lowers it.
#[test]
fn loss_spike_rolls_back_to_a_checkpoint_and_lowers_the_rate() {
    let workspace = Workspace::new();
    let monitors = r#"monitors=[(name: "loss-spike", settings: {
        "window": 8, "threshold": 30.0, "action": "roll-back", "factor": 0.01, "max_actions": 9,
    })]"#;
    let changes = [
        monitors,
        "train.steps=60",
        "train.learning_rate=20",
        "train.warmup_steps=20",
        "train.clip_norm=None",
        "train.optimizer=Sgd()",
        "train.mix=()",
        "train.decay=Constant",
        "train.ema=None",
    ];
    let finished = train(&workspace, "run", &changes).succeeded();
    assert!(finished.stderr.contains("loss-spike: back to step"), "{}", finished.stderr);
    let notices = metrics(&workspace, "run", "notice");
    assert!(
        notices.iter().any(|n| n["message"].as_str().unwrap().contains("back to step")),
        "{notices:?}"
    );
    // Who asked for it hears how far it went back.
    let told = metrics(&workspace, "run", "monitor");
    assert!(told.iter().any(|line| line["name"] == "steps_taken_back"), "{told:?}");
    let steps = metrics(&workspace, "run", "step");
    let rate = |line: &serde_json::Value| line["learning_rate"].as_f64().unwrap();
    assert!(rate(steps.last().unwrap()) < 1.0, "{:?}", steps.last());
    // No step occurs twice: what came after the checkpoint is forgotten.
    let numbers: Vec<u64> = steps.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
}

/// Whatever is a jump to it, the loss jumps. Four times a thousandth is as low as a rate can be made.
#[test]
fn a_monitor_changes_the_rate_within_limits() {
    let workspace = Workspace::new();
    let monitors = r#"monitors=[(name: "loss-spike", settings: {
        "window": 5, "threshold": 1.0, "action": "lower-rate", "factor": 0.001, "cooldown": 0,
        "max_actions": 5,
    })]"#;
    let finished = train(&workspace, "run", &[monitors, "train.steps=100"]).succeeded();
    for part in ["0.001 times the learning rate is refused", "it can become 1e-12 to 1e12 of"] {
        assert!(finished.stderr.contains(part), "{}", finished.stderr);
    }
    vitral(workspace.path(), &["eval", "run"]).succeeded();
}

#[test]
fn a_resumed_run_has_its_monitors_where_they_were() {
    let workspace = Workspace::new();
    let bundle = built::bundle("plugins/early-stop");
    let take = built::take("early-stop", &bundle, "Wasm");
    let monitors = r#"monitors=[(name: "early-stop", settings: {"metric": "loss", "patience": 2, "min_delta": 10.0})]"#;
    let allow = built::allow("early-stop", "Wasm");
    train(&workspace, "run", &[monitors, &take, &allow, "train.steps=200"]).succeeded();
    let last = || fs::read_to_string(workspace.join("run/last")).unwrap();
    let stopped_at = last();
    assert_eq!(stopped_at.trim(), "checkpoints/step-00000012");
    // From the middle: one evaluation without improvement has been counted already.
    let resume = ["train", "--resume", "run/checkpoints/step-00000009", &allow];
    vitral(workspace.path(), &resume).succeeded();
    assert_eq!(last(), stopped_at);
}
