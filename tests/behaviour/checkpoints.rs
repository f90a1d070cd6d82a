//! What is kept of a run, and what happens to what is damaged.

use std::{fs, path::Path};

use crate::{
    resume::{assert_same, copy_folder},
    support::{images::Workspace, program::vitral},
};

fn checkpoints(run: &Path) -> Vec<String> {
    let entries = fs::read_dir(run.join("checkpoints")).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn trained(changes: &[&str]) -> Workspace {
    let workspace = Workspace::new();
    let mut arguments = vec!["train", "experiment.ron"];
    arguments.extend(changes);
    vitral(workspace.path(), &arguments).succeeded();
    workspace
}

#[test]
fn the_newest_and_the_best_are_kept() {
    let workspace =
        trained(&["--set", "checkpoints.keep=2", "--set", "checkpoints.every=Steps(1)"]);
    let run = workspace.join("run");
    let best = fs::read_to_string(run.join("best")).unwrap();
    let last = fs::read_to_string(run.join("last")).unwrap();
    assert_eq!(last, "checkpoints/step-00000012\n");
    let kept = checkpoints(&run);
    assert!(kept.ends_with(&["step-00000011".into(), "step-00000012".into()]), "{kept:?}");
    assert!(
        kept.len() <= 3 && kept.iter().any(|name| best.trim().ends_with(name)),
        "{kept:?}, best {best}"
    );
    // The best is the first evaluation with the highest accuracy.
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let evaluations: Vec<(f64, u64)> = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["kind"] == "eval")
        .map(|line| (line["top1"].as_f64().unwrap(), line["step"].as_u64().unwrap()))
        .collect();
    assert_eq!(evaluations.iter().map(|(_, step)| *step).collect::<Vec<_>>(), [4, 8, 12]);
    let highest = evaluations.iter().fold(0.0, |highest, (top1, _)| f64::max(highest, *top1));
    let first = evaluations.iter().find(|(top1, _)| *top1 == highest).unwrap().1;
    assert_eq!(best.trim(), format!("checkpoints/step-{first:08}"));
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_one_before_it_is_offered() {
    for damage in ["flip", "cut", "remove"] {
        let workspace = trained(&[]);
        let newest = workspace.join("run/checkpoints/step-00000012");
        let file = newest.join("optimizer.safetensors");
        let mut bytes = fs::read(&file).unwrap();
        match damage {
            "flip" => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(&file, bytes).unwrap();
            }
            "cut" => fs::write(&file, &bytes[..bytes.len() - 1]).unwrap(),
            _ => fs::remove_file(&file).unwrap(),
        }
        let refused = vitral(workspace.path(), &["train", "--resume", "run"]).failed_with(1);
        assert!(refused.stderr.contains("step-00000012 is damaged"), "{}", refused.stderr);
        assert!(refused.stderr.contains("optimizer.safetensors"), "{}", refused.stderr);
        let offered = "run/checkpoints/step-00000009";
        assert!(refused.stderr.contains(offered), "{}", refused.stderr);
        for command in ["eval", "predict"] {
            let arguments = [command, "run", "missing.png"];
            let arguments = if command == "eval" { &arguments[..2] } else { &arguments[..] };
            let refused = vitral(workspace.path(), arguments).failed_with(1);
            assert!(refused.stderr.contains("is damaged"), "{}", refused.stderr);
        }
        vitral(workspace.path(), &["train", "--resume", offered]).succeeded();
        vitral(workspace.path(), &["eval", "run"]).succeeded();
        // What came after the point of resumption was set aside, not deleted.
        assert!(checkpoints(&workspace.join("run")).contains(&"superseded-step-00000012".into()));
    }
}

#[test]
fn checksums_are_what_sha256sum_reads() {
    let workspace = trained(&[]);
    let checkpoint = workspace.join("run/checkpoints/step-00000012");
    let sums = fs::read_to_string(checkpoint.join("SHA256SUMS")).unwrap();
    let mut files: Vec<&str> = sums.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    files.sort_unstable();
    assert_eq!(
        files,
        [
            "config.ron",
            "ema.safetensors",
            "model.safetensors",
            "optimizer.safetensors",
            "state.ron"
        ]
    );
    let check = std::process::Command::new("sha256sum")
        .args(["-c", "SHA256SUMS"])
        .current_dir(checkpoint)
        .output();
    assert!(check.unwrap().status.success());
}

#[test]
fn two_processes_cannot_train_in_one_folder() {
    let workspace = trained(&[]);
    let lock = fs::File::open(workspace.join("run/.lock")).unwrap();
    lock.lock().unwrap();
    let refused = vitral(workspace.path(), &["train", "--resume", "run"]).failed_with(1);
    assert!(refused.stderr.contains("in use by another run"), "{}", refused.stderr);
}

#[test]
fn a_folder_without_checkpoints_is_named() {
    let workspace = Workspace::new();
    let refused = vitral(workspace.path(), &["train", "--resume", "nowhere"]).failed_with(1);
    assert!(refused.stderr.contains("nowhere: there is no checkpoint here"), "{}", refused.stderr);
}

#[test]
fn a_run_that_diverges_says_so_and_keeps_its_last_good_checkpoint() {
    let workspace = Workspace::new();
    let arguments = [
        "train",
        "experiment.ron",
        "--set",
        "train.learning_rate=100",
        "--set",
        "train.optimizer=Sgd()",
        "--set",
        "train.clip_norm=None",
        "--set",
        "train.warmup_steps=0",
        "--set",
        "checkpoints.every=Steps(1)",
        "--set",
        "train.steps=200",
    ];
    let failed = vitral(workspace.path(), &arguments).failed_with(1);
    assert!(failed.stderr.contains("the loss became"), "{}", failed.stderr);
    assert!(failed.stderr.contains("learning_rate"), "{}", failed.stderr);
    if workspace.join("run/last").exists() {
        vitral(workspace.path(), &["eval", "run/last"]).succeeded();
    }
}

/// The system refuses to write a file beyond a size that the weights have, as a full disk would.
#[cfg(unix)]
#[test]
fn a_checkpoint_that_fails_leaves_nothing_behind_and_the_run_goes_on_later() {
    let wide = ["--set", "model.width=32", "--set", "model.depth=4"];
    let workspace = trained(&wide);
    copy_folder(&workspace.join("run"), &workspace.join("whole"));
    let limited = format!(
        "ulimit -f 24; exec '{}' train --resume run/checkpoints/step-00000006",
        env!("CARGO_BIN_EXE_vitral")
    );
    let mut bash = std::process::Command::new("bash");
    let failed = bash.args(["-c", &limited]).current_dir(workspace.path()).output().unwrap();
    let said = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(
        said.contains("step-00000008/model.safetensors") && said.contains("too large"),
        "{said}"
    );
    let left = checkpoints(&workspace.join("run"));
    assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
    assert!(left.contains(&"step-00000006".into()), "{left:?}");
    vitral(workspace.path(), &["train", "--resume", "run"]).succeeded();
    assert_same(&workspace.join("run"), &workspace.join("whole"));
}
