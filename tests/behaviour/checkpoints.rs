//! What is kept of a run, and what happens to what is damaged.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use crate::{
    resume::{assert_same, copy_folder},
    support::{
        images::{Workspace, write_image_folder},
        program::{start, vitral},
    },
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

/// Writes the list of a checkpoint's files again, as `sha256sum` does.
fn sum_again(checkpoint: &Path) {
    let mut names: Vec<_> =
        fs::read_dir(checkpoint).unwrap().flatten().map(|entry| entry.file_name()).collect();
    names.retain(|name| name != "SHA256SUMS");
    let sums = Command::new("sha256sum").args(names).current_dir(checkpoint).output().unwrap();
    fs::write(checkpoint.join("SHA256SUMS"), sums.stdout).unwrap();
}

fn assert_refused(workspace: &Workspace, command: &[&str], parts: &[&str]) {
    let refused = vitral(workspace.path(), command).failed_with(1).stderr;
    for part in parts {
        assert!(refused.contains(part), "{command:?}: `{part}` is not in\n{refused}");
    }
}

/// A bit is flipped that the list, one line short, would not tell of.
#[test]
fn what_the_list_of_checksums_does_not_name_is_not_loaded() {
    let workspace = trained(&[]);
    let resume: &[&str] = &["train", "--resume", "run"];
    let checkpoint = workspace.join("run/checkpoints/step-00000012");
    let list = checkpoint.join("SHA256SUMS");
    let whole = fs::read_to_string(&list).unwrap();
    for file in ["model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.ron"] {
        let lines = whole.lines().filter(|line| !line.ends_with(file));
        fs::write(&list, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let mut bytes = fs::read(checkpoint.join(file)).unwrap();
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        fs::write(checkpoint.join(file), &bytes).unwrap();
        let names = format!("SHA256SUMS does not name {file}");
        let offered = "it is whole: run/checkpoints/step-00000009";
        assert_refused(&workspace, resume, &["step-00000012 is damaged", &names, offered]);
        assert_refused(&workspace, &["eval", "run"], &[&names]);
        bytes[last] ^= 1;
        fs::write(checkpoint.join(file), &bytes).unwrap();
    }
    fs::write(checkpoint.join("notes.txt"), "of no checkpoint").unwrap();
    fs::write(&list, &whole).unwrap();
    vitral(workspace.path(), &["eval", "run"]).succeeded();
    sum_again(&checkpoint);
    assert_refused(
        &workspace,
        resume,
        &["SHA256SUMS names notes.txt, which is not a file of this"],
    );
}

/// The sums fit each of these: somebody who can write the files can write the sums.
#[test]
fn a_checkpoint_whose_parts_do_not_agree_is_refused() {
    let workspace = trained(&[]);
    copy_folder(&workspace.join("run"), &workspace.join("whole"));
    let refused = |change: &dyn Fn(&Path), parts: &[&str]| {
        let run = workspace.join("run");
        fs::remove_dir_all(&run).unwrap();
        copy_folder(&workspace.join("whole"), &run);
        let checkpoint = run.join("checkpoints/step-00000012");
        change(&checkpoint);
        sum_again(&checkpoint);
        assert_refused(&workspace, &["train", "--resume", "run"], parts);
    };
    let state = |from: &'static str, to: &'static str| {
        move |checkpoint: &Path| {
            let text = fs::read_to_string(checkpoint.join("state.ron")).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(checkpoint.join("state.ron"), text.replace(from, to)).unwrap();
        }
    };
    refused(
        &state("    step: 12", "    step: 11"),
        &["of step 11", "the folder's name is of step 12"],
    );
    refused(
        &state("    step: 12", "    step: 18446744073709551615"),
        &["state.ron is of step 18446744073709551615"],
    );
    refused(&state("rate_scale: 1.0", "rate_scale: NaN"), &["`rate_scale` is NaN, and must be"]);
    refused(
        &|checkpoint| fs::remove_file(checkpoint.join("ema.safetensors")).unwrap(),
        &["ema.safetensors is missing, but config.ron has the run keep a moving average"],
    );
    // Of another model, whose tensors have other names.
    let deeper = ["--set", "model.depth=3", "--set", "output=deeper"];
    vitral(workspace.path(), &[&["train", "experiment.ron"], &deeper[..]].concat()).succeeded();
    let other = workspace.join("deeper/checkpoints/step-00000012");
    for file in ["model.safetensors", "optimizer.safetensors"] {
        let put = |checkpoint: &Path| {
            fs::copy(other.join(file), checkpoint.join(file)).unwrap();
        };
        refused(
            &put,
            &[&format!("{file}: `"), "blocks.2.", "is present, but the model has no such"],
        );
    }
}

/// In each file, the last value is made one that is no number.
#[test]
fn weights_that_are_no_numbers_are_refused_by_every_command() {
    let workspace = trained(&[]);
    let checkpoint = workspace.join("run/checkpoints/step-00000012");
    let commands: [&[&str]; 5] = [
        &["train", "--resume", "run"],
        &["eval", "run"],
        &["predict", "run", "missing.png"],
        &["export", "run", "--format", "native", "--out", "out"],
        &["train", "experiment.ron", "--init", "run", "--set", "output=other"],
    ];
    for file in ["model.safetensors", "ema.safetensors", "optimizer.safetensors"] {
        let whole = fs::read(checkpoint.join(file)).unwrap();
        let values = [&whole[..whole.len() - 4], &f32::NAN.to_le_bytes()].concat();
        fs::write(checkpoint.join(file), values).unwrap();
        sum_again(&checkpoint);
        for command in commands {
            assert_refused(&workspace, command, &[file, "1 of the ", "are not finite"]);
        }
        assert!(!workspace.join("out").exists());
        fs::write(checkpoint.join(file), whole).unwrap();
    }
}

/// Its values are numbers, and too large for what is computed with them to be any.
#[test]
fn results_that_are_no_numbers_are_refused_though_the_weights_are() {
    let workspace = trained(&[]);
    write_image_folder(&workspace.join("images"), 1);
    let checkpoint = workspace.join("run/checkpoints/step-00000012");
    for file in ["model.safetensors", "ema.safetensors"] {
        let mut bytes = fs::read(checkpoint.join(file)).unwrap();
        let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[start..].as_chunks_mut::<4>().0.fill(f32::MAX.to_le_bytes());
        fs::write(checkpoint.join(file), bytes).unwrap();
    }
    sum_again(&checkpoint);
    let image = fs::read_dir(workspace.join("images")).unwrap().flatten().next().unwrap().path();
    let image = fs::read_dir(image).unwrap().flatten().next().unwrap().path();
    let image = image.to_str().unwrap();
    for (command, said) in [
        (&["eval", "run"][..], "the loss is not finite"),
        (&["predict", "run", image], "the probabilities are not finite"),
    ] {
        let refused = vitral(workspace.path(), command).failed_with(1);
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
        assert!(!refused.stdout.contains('%'), "{}", refused.stdout);
    }
}

/// What is called a newer checkpoint, whatever it is, hides none of those that are whole.
#[test]
fn a_newest_checkpoint_that_cannot_be_used_is_named_with_the_newest_whole_one() {
    let workspace = trained(&[]);
    let folder = workspace.join("run/checkpoints");
    let planted = folder.join("step-99999999");
    let own = folder.join("step-00000012");
    let resume: &[&str] = &["train", "--resume", "run", "--set", "train.steps=13"];
    let offered = "the one before it is whole: run/checkpoints/step-00000012";
    let refused = |parts: &[&str]| {
        for command in [resume, &["eval", "run"]] {
            assert_refused(&workspace, command, &[&["step-99999999", offered], parts].concat());
        }
        remove(&planted);
    };
    fs::create_dir(&planted).unwrap();
    refused(&["SHA256SUMS"]);
    fs::write(&planted, "a file").unwrap();
    refused(&["it is neither a folder nor a link"]);
    std::os::unix::fs::symlink("nowhere", &planted).unwrap();
    refused(&["it is neither a folder nor a link"]);
    copy_folder(&own, &planted);
    refused(&["is of step 12"]);
    let here = workspace.path().canonicalize().unwrap().join("run").display().to_string();
    let changed = |changes: &[(&str, &str, &str)]| {
        copy_folder(&own, &planted);
        for (name, from, to) in [&[("state.ron", "step: 12", "step: 99999999")], changes].concat() {
            let text = fs::read_to_string(planted.join(name)).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(planted.join(name), text.replacen(from, to, 1)).unwrap();
        }
        sum_again(&planted);
    };
    changed(&[("state.ron", "format: 1", "format: 2")]);
    refused(&["use a newer vitral"]);
    changed(&[("config.ron", "heads: 2", "heads: 3")]);
    refused(&["does not fit its own experiment"]);
    // A whole one of another run is told of.
    changed(&[("state.ron", &here, "/else/where")]);
    let said = vitral(workspace.path(), &["eval", "run"]).succeeded();
    let said = said.stdout + &said.stderr;
    assert!(said.contains("was written in the run /else/where"), "{said}");
    assert!(said.contains("use run/checkpoints/step-00000012"), "{said}");
}

fn remove(path: &Path) {
    match path.symlink_metadata().unwrap().is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
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
    let check =
        Command::new("sha256sum").args(["-c", "SHA256SUMS"]).current_dir(checkpoint).output();
    assert!(check.unwrap().status.success());
}

/// One byte in the middle is damaged, and the last line is cut as by a kill.
#[test]
fn damaged_metrics_are_set_aside_and_told_when_the_run_goes_on() {
    let workspace = trained(&[]);
    copy_folder(&workspace.join("run"), &workspace.join("whole"));
    let metrics = workspace.join("run/metrics.jsonl");
    let mut bytes = fs::read(&metrics).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let second = lines[0].len();
    let (expected, damaged) = (lines[2..].concat(), lines[1].to_vec());
    bytes[second] = 0xff;
    bytes.extend(b"{\"kind\":\"st");
    fs::write(&metrics, &bytes).unwrap();
    let said = vitral(workspace.path(), &["report", "run"]).succeeded().stderr;
    assert!(said.contains("left out 1 line of run/metrics.jsonl"), "{said}");
    let said = vitral(workspace.path(), &["train", "--resume", "run"]).succeeded().stderr;
    for part in ["2 lines of ", "from line 2 on", "set aside in ", "run/metrics.damaged.jsonl"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let aside = fs::read(workspace.join("run/metrics.damaged.jsonl")).unwrap();
    assert_eq!(aside, [b"\xff", &damaged[1..], b"{\"kind\":\"st\n"].concat());
    let kept = fs::read(&metrics).unwrap();
    assert!(kept.starts_with(&bytes[..second]), "the first line");
    // The run was at its end, so that its last evaluation was made again.
    let count = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(count(&kept), 1 + count(&expected));
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
    assert!(failed.stderr.contains("so training stopped"), "{}", failed.stderr);
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
    let mut bash = Command::new("bash");
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

/// Whoever may write into the folder of the checkpoints while the run goes on could else choose its weights.
#[cfg(unix)]
#[test]
fn a_checkpoint_that_a_stranger_plants_during_a_run_is_not_taken_for_its_own() {
    let longer = ["train.steps=200", "checkpoints.every=Steps(50)", "train.eval_every=Steps(100)"];
    let longer = longer.map(|change| ["--set", change]).concat();
    let workspace =
        trained(&[&longer[..], &["--set", "output=stranger", "--set", "seed=7"]].concat());
    let arguments = [&["train", "experiment.ron"][..], &longer].concat();
    let mut run = start(workspace.path(), &arguments);
    let checkpoints = workspace.join("run/checkpoints");
    while !checkpoints.join("step-00000050").exists() {
        assert_eq!(run.try_wait().unwrap(), None, "it has ended before anything was planted");
        thread::sleep(Duration::from_millis(1));
    }
    // Whole, and of the step at which the run ends.
    fs::rename(
        workspace.join("stranger/checkpoints/step-00000200"),
        checkpoints.join("step-00000200"),
    )
    .unwrap();
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains("was not written by this run"), "{said}");
    assert!(checkpoints.join("foreign-step-00000200").is_dir());
    vitral(workspace.path(), &[&arguments[..], &["--set", "output=undisturbed"]].concat())
        .succeeded();
    let weights = |run: &str| {
        fs::read(workspace.join(run).join("checkpoints/step-00000200/model.safetensors")).unwrap()
    };
    assert!(weights("run") == weights("undisturbed"), "the weights are a stranger's");
}
