//! Models that lose heads and hidden neurons, while they are trained and afterwards.

use std::fs;

use serde_json::Value;

use crate::{
    resume::{assert_same, copy_folder},
    support::{
        images::Workspace,
        program::{Finished, vitral},
    },
};

/// Of 12 steps, four to an epoch, the fourth, sixth and eighth are followed by pruning.
const HALVED: &str =
    "train.prune=(heads: 0.5, neurons: 0.5, from_epoch: 0.5, until_epoch: 2, events: 3)";

fn train(workspace: &Workspace, output: &str, changes: &[&str]) -> Finished {
    let output = format!("output={output}");
    let mut arguments = vec!["train", "experiment.ron", "--set", &output];
    arguments.extend(changes.iter().flat_map(|change| ["--set", change]));
    vitral(workspace.path(), &arguments)
}

fn metrics(workspace: &Workspace, run: &str, kind: &str) -> Vec<Value> {
    let metrics = fs::read_to_string(workspace.join(run).join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == kind).collect()
}

/// Before pruning, right after some of it, and after all.
#[test]
fn resumed_run_equals_uninterrupted_run_across_pruning() {
    let workspace = Workspace::new();
    let flops = "train.prune=(flops: 0.5, from_epoch: 0.5, until_epoch: 2, events: 3, keep: 0.2)";
    let magnitude = HALVED.replace("events: 3", "events: 3, importance: Magnitude");
    for (name, changes) in [
        ("adamw", &[HALVED, "model.relative_position_bias=true", "model.patch_dropout=0"][..]),
        ("weighed", &[HALVED, "train.class_weights=[1, 3, 0.5, 2]"]),
        ("muon", &[flops, "train.optimizer=Muon()", "train.precision=BF16", "model.mlp=SwiGlu"]),
        ("auto", &[&magnitude, "train.batch=Auto(effective: 16)", "train.accum_steps=1"]),
    ] {
        train(&workspace, name, changes).succeeded();
        let steps: Vec<Value> =
            metrics(&workspace, name, "prune").iter().map(|line| line["step"].clone()).collect();
        assert_eq!(steps, [4, 6, 8], "{name}");
        for step in [3, 6, 9] {
            let copy = format!("{name}-{step}");
            copy_folder(&workspace.join(name), &workspace.join(&copy));
            let checkpoint = format!("{copy}/checkpoints/step-{step:08}");
            vitral(workspace.path(), &["train", "--resume", &checkpoint]).succeeded();
            assert_same(&workspace.join(&copy), &workspace.join(name));
            let experiment = |run: &str| fs::read_to_string(workspace.join(run).join("config.ron"));
            let found = experiment(&copy).unwrap();
            assert_eq!(found.replace(&copy, name), experiment(name).unwrap());
        }
    }
}

#[test]
fn a_run_that_prunes_leaves_a_smaller_model_and_tells_of_it() {
    let workspace = Workspace::new();
    let said = train(&workspace, "run", &[HALVED]).succeeded().stderr;
    assert!(said.contains("prune: ") && said.contains("heads and "), "{said}");
    // Of 2 layers with 2 heads and 32 hidden neurons.
    let lines = metrics(&workspace, "run", "prune");
    let sum = |line: &Value, field: &str| -> u64 {
        line[field].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
    };
    let last = lines.last().unwrap();
    assert_eq!((sum(last, "heads"), sum(last, "hidden")), (2, 32), "{last}");
    // Most of it early: seven tenths in the first of three times.
    assert_eq!(sum(&lines[0], "hidden"), 64 - 23);
    let size = |step: u32, file: &str| {
        let path = format!("run/checkpoints/step-{step:08}/{file}");
        fs::metadata(workspace.join(&path)).unwrap().len()
    };
    for file in ["model.safetensors", "ema.safetensors", "optimizer.safetensors"] {
        assert!(size(12, file) * 10 < size(3, file) * 7, "{file}");
    }
    // No accuracy of a larger model counts, and what is read back is what was evaluated.
    let best = fs::read_to_string(workspace.join("run/best")).unwrap();
    assert!(["step-00000008", "step-00000012"].iter().any(|step| best.contains(step)), "{best}");
    let found = vitral(workspace.path(), &["eval", "run/last", "--json"]).succeeded().stdout;
    let found: Value = serde_json::from_str(&found).unwrap();
    let evaluated = metrics(&workspace, "run", "eval");
    assert_eq!(found["loss"], evaluated.last().unwrap()["loss"]);
    // The experiment stays what it was, so that the same command goes on with it.
    let again = ["train", "experiment.ron", "--resume-if-any", "--set", "output=run", "--set"];
    let said = vitral(workspace.path(), &[&again[..], &[HALVED]].concat()).succeeded().stdout;
    assert!(said.contains("12 steps"), "{said}");
}

/// A checkpoint from before some pruning is of a larger model, which is then pruned anew.
#[test]
fn a_run_goes_back_across_pruning() {
    let workspace = Workspace::new();
    let monitors = r#"monitors=[(name: "loss-spike", settings: {
        "window": 8, "threshold": 30.0, "action": "roll-back", "factor": 0.01, "max_actions": 9,
    })]"#;
    let prune = "train.prune=(neurons: 0.9, from_epoch: 0, until_epoch: 15, events: 60)";
    let changes = [
        monitors,
        prune,
        "train.steps=60",
        "train.learning_rate=20",
        "train.warmup_steps=20",
        "train.clip_norm=None",
        "train.optimizer=Sgd()",
        "train.mix=()",
        "train.decay=Constant",
        "train.ema=None",
    ];
    let said = train(&workspace, "run", &changes).succeeded().stderr;
    assert!(said.contains("loss-spike: back to step"), "{said}");
    let lines = metrics(&workspace, "run", "prune");
    let made = said.lines().filter(|line| line.contains("prune: ")).count();
    assert!(made > lines.len(), "{made} times, of which {} count", lines.len());
    let hidden = lines.last().unwrap()["hidden"].as_array().unwrap();
    assert_eq!(hidden.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 64 - 58);
    vitral(workspace.path(), &["eval", "run/last"]).succeeded();
}

#[test]
fn a_trained_model_is_pruned_tuned_and_exported() {
    let workspace = Workspace::new();
    train(&workspace, "run", &[]).succeeded();
    let of = |arguments: &[&str]| vitral(workspace.path(), arguments);
    let said = of(&["prune", "run", "--flops", "0.6", "--out", "pruned"]).succeeded().stdout;
    let left = said.lines().find(|line| line.contains("MFLOPs")).unwrap();
    let share = left.split_once('(').unwrap().1.split_once('%').unwrap().0;
    let share: f64 = share.parse().unwrap();
    assert!((58.0..=60.0).contains(&share), "{said}");
    assert!(said.starts_with("  layer ") && said.contains(" hidden"), "{said}");
    for command in [
        &["eval", "pruned"][..],
        &["inspect", "pruned"],
        &["predict", "pruned", "experiment.ron", "--output", "classes.csv"],
        &["export", "pruned", "--format", "native", "--out", "native"],
        &["export", "pruned", "--format", "onnx", "--out", "pruned.onnx"],
        // Once more, by its weights alone.
        &["prune", "pruned", "--heads", "0.5", "--importance", "magnitude", "--out", "twice"],
        &["eval", "twice"],
    ] {
        of(command).succeeded();
    }
    for format in ["npz", "timm"] {
        let refused = of(&["export", "pruned", "--format", format, "--out", "elsewhere"]);
        assert!(!refused.status.success(), "{format}");
        for words in ["layer", "which was pruned to", "(`layers`)"] {
            assert!(refused.stderr.contains(words), "{format}: {}", refused.stderr);
        }
    }
    // Neither the experiment's sizes nor its fresh weights take its place.
    let tuned = ["train", "experiment.ron", "--init", "pruned", "--set", "output=tuned"];
    let said = of(&tuned).succeeded().stderr;
    assert!(said.contains("pruned: model.layers="), "{said}");
    let layers = |run: &str| {
        let text = fs::read_to_string(workspace.join(run).join("config.ron")).unwrap();
        let layers = text.split_once("layers: [").unwrap().1;
        layers.split_once(']').unwrap().0.to_owned()
    };
    assert_eq!(layers("tuned/checkpoints/step-00000012"), layers("pruned"));
}

#[test]
fn what_cannot_be_pruned_is_refused() {
    let workspace = Workspace::new();
    let prune = |fields: &str| format!("train.prune=({fields}, from_epoch: 1, until_epoch: 2)");
    let most = prune("flops: 0.1, keep: 0.9");
    let some = prune("heads: 0.5");
    for (changes, words) in [
        (&[most.as_str()][..], "the model cannot be pruned to 0.1 of its operations: 0."),
        (&[&some, r#"train.frozen=["blocks.1.mlp.*"]"#], "mlp.fc1.weight` is frozen"),
        (&[&some, "train.steps=None", "train.epochs=1"], "the run ends after 1 epochs"),
    ] {
        let refused = train(&workspace, "run", changes);
        assert!(!refused.status.success() && refused.stderr.contains(words), "{}", refused.stderr);
        assert!(!workspace.join("run").exists(), "{words}");
    }
    train(&workspace, "run", &["train.steps=1"]).succeeded();
    let of = |more: &[&str]| {
        vitral(workspace.path(), &[&["prune", "run", "--out", "pruned"], more].concat())
    };
    for (arguments, words) in [
        (&[][..], "--flops"),
        (&["--flops", "0.5", "--heads", "0.5"], "cannot be used with"),
        (&["--flops", "1.5"], "it must be a share between 0 and 1"),
        (&["--flops", "0.1", "--keep", "0.9"], "of the model's operations are left"),
    ] {
        let refused = of(arguments);
        assert!(!refused.status.success() && refused.stderr.contains(words), "{}", refused.stderr);
        assert!(!workspace.join("pruned").exists(), "{words}");
    }
}
