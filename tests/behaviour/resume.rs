//! A run that was interrupted, in whatever way, ends with the same bytes as one that was not.

use std::{fs, path::Path, thread, time::Duration};

use rand::Rng as _;
use vitral_seed::Seed;

use crate::support::{
    images::Workspace,
    program::{start, vitral},
};

const FILES: [&str; 3] = ["model.safetensors", "ema.safetensors", "optimizer.safetensors"];
/// Of a run that prunes.
const IMPORTANCE: &str = "importance.safetensors";

/// The tensors of a run's last checkpoint, and its metrics without what depends on time.
fn result(run: &Path) -> (Vec<Vec<u8>>, Vec<serde_json::Value>) {
    let last = fs::read_to_string(run.join("last")).unwrap();
    let checkpoint = run.join(last.trim());
    let files = FILES.iter().chain([&IMPORTANCE]);
    let tensors = files.filter_map(|file| fs::read(checkpoint.join(file)).ok()).collect();
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let metrics = metrics.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        let fields = line.as_object_mut().unwrap();
        fields.remove("images_per_second");
        fields.remove("data_wait");
        fields.remove("data");
        line
    });
    (tensors, metrics.collect())
}

#[track_caller]
pub fn assert_same(found: &Path, expected: &Path) {
    let (found, expected) = (result(found), result(expected));
    assert_eq!(found.0.len(), expected.0.len());
    assert!(found.0 == expected.0, "the tensors differ");
    assert_eq!(found.1, expected.1, "the metrics differ");
}

fn whole_run(workspace: &Workspace, changes: &[&str]) {
    let mut arguments = vec!["train", "experiment.ron", "--set", "output=whole"];
    arguments.extend(changes);
    vitral(workspace.path(), &arguments).succeeded();
}

#[test]
fn resumed_run_equals_uninterrupted_run_for_every_optimizer() {
    for optimizer in ["AdamW()", "Sgd(nesterov: true)", "Lion()", "Lamb()", "Muon()"] {
        let workspace = Workspace::new();
        let optimizer = format!("train.optimizer={optimizer}");
        whole_run(&workspace, &["--set", &optimizer]);
        // From the middle of the second epoch, which ends the first third of the run.
        let checkpoint = "whole/checkpoints/step-00000006";
        copy_folder(&workspace.join("whole"), &workspace.join("resumed"));
        let checkpoint = checkpoint.replace("whole", "resumed");
        vitral(workspace.path(), &["train", "--resume", &checkpoint]).succeeded();
        assert_same(&workspace.join("resumed"), &workspace.join("whole"));
        // The same from inside of the run's folder.
        let inside = workspace.join("resumed/checkpoints");
        vitral(&inside, &["train", "--resume", "step-00000009"]).succeeded();
        assert_same(&workspace.join("resumed"), &workspace.join("whole"));
    }
}

/// Weights are rounded anew in every step from those in `f32`, which are what is saved.
#[test]
fn resumed_run_in_bf16_equals_uninterrupted_run() {
    let workspace = Workspace::new();
    whole_run(&workspace, &["--set", "train.precision=BF16"]);
    for step in [3, 6] {
        let resumed = workspace.join(&format!("resumed-{step}"));
        copy_folder(&workspace.join("whole"), &resumed);
        let checkpoint = format!("resumed-{step}/checkpoints/step-{step:08}");
        vitral(workspace.path(), &["train", "--resume", &checkpoint]).succeeded();
        assert_same(&resumed, &workspace.join("whole"));
    }
    // It was computed in another type than a run in f32.
    vitral(workspace.path(), &["train", "experiment.ron"]).succeeded();
    assert!(result(&workspace.join("run")).0 != result(&workspace.join("whole")).0);
}

/// The loss scale falls from where every step is skipped, then rises every second step and falls
/// again; its place is in the metrics, and decides which steps change the weights.
#[test]
fn resumed_run_in_f16_goes_on_with_the_same_loss_scale() {
    let workspace = Workspace::new();
    let precision = "train.precision=F16(initial_scale: 4194304, growth_interval: 2)";
    whole_run(&workspace, &["--set", precision, "--set", "train.steps=24"]);
    let skipped = |step: usize| {
        let found = &result(&workspace.join("whole")).1;
        let mut steps = found.iter().filter(|line| line["kind"] == "step");
        steps.find(|line| line["step"] == step).unwrap()["skipped_steps"].as_u64().unwrap()
    };
    println!("{} steps skipped until 12, {} until 24", skipped(12), skipped(24));
    assert!(skipped(12) > 0 && skipped(24) > skipped(12));
    for step in ["step-00000003", "step-00000012", "step-00000018"] {
        copy_folder(&workspace.join("whole"), &workspace.join(step));
        let checkpoint = format!("{step}/checkpoints/{step}");
        vitral(workspace.path(), &["train", "--resume", &checkpoint]).succeeded();
        assert_same(&workspace.join(step), &workspace.join("whole"));
    }
}

/// 72 images in batches of 16 are 4 steps an epoch, so that the sizes change after steps 4 and 8.
#[test]
fn run_on_growing_images_resumes_across_a_change_of_size() {
    let workspace = Workspace::new();
    let sizes = "train.image_size=[(until_epoch: 1, size: 4), (until_epoch: 2, size: 6)]";
    let merging = "model.token_merging=(r: Constant(2))";
    whole_run(&workspace, &["--set", sizes, "--set", merging]);
    for step in [3, 6] {
        let resumed = workspace.join(&format!("resumed-{step}"));
        copy_folder(&workspace.join("whole"), &resumed);
        let checkpoint = format!("resumed-{step}/checkpoints/step-{step:08}");
        vitral(workspace.path(), &["train", "--resume", &checkpoint]).succeeded();
        assert_same(&resumed, &workspace.join("whole"));
    }
    // The sizes have had a say, and all that is evaluated has the full one.
    vitral(workspace.path(), &["train", "experiment.ron", "--set", merging]).succeeded();
    assert!(result(&workspace.join("run")).0 != result(&workspace.join("whole")).0);
    let said = vitral(workspace.path(), &["eval", "whole", "--json"]).succeeded().stdout;
    let found: serde_json::Value = serde_json::from_str(&said).unwrap();
    let metrics = fs::read_to_string(workspace.join("whole/metrics.jsonl")).unwrap();
    let last = metrics.lines().rfind(|line| line.contains("\"kind\":\"eval\"")).unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(found["loss"], last["loss"]);
    let text = fs::read_to_string(workspace.join("whole/config.ron")).unwrap();
    assert!(text.contains("until_epoch: 2"), "{text}");
}

/// As above: patches are dropped until step 6.
#[test]
fn run_resumes_across_the_end_of_patch_dropout() {
    let workspace = Workspace::new();
    let dropout = ["--set", "model.patch_dropout=0.5"];
    let tuned = [&dropout[..], &["--set", "train.patch_dropout_epochs=1.5"]].concat();
    whole_run(&workspace, &tuned);
    for step in [3, 6] {
        let resumed = workspace.join(&format!("resumed-{step}"));
        copy_folder(&workspace.join("whole"), &resumed);
        let checkpoint = format!("resumed-{step}/checkpoints/step-{step:08}");
        vitral(workspace.path(), &["train", "--resume", &checkpoint]).succeeded();
        assert_same(&resumed, &workspace.join("whole"));
    }
    let to_the_end = [&["train", "experiment.ron"], &dropout[..]].concat();
    vitral(workspace.path(), &to_the_end).succeeded();
    assert!(result(&workspace.join("run")).0 != result(&workspace.join("whole")).0);
}

#[test]
fn run_resumed_at_its_end_is_evaluated_once() {
    let workspace = Workspace::new();
    // Which notes a figure of each evaluation that it is told of.
    let monitor = r#"monitors=[(name: "early-stop", settings: {"patience": 50})]"#;
    whole_run(&workspace, &["--set", monitor]);
    copy_folder(&workspace.join("whole"), &workspace.join("again"));
    vitral(workspace.path(), &["train", "--resume", "again"]).succeeded();
    assert_same(&workspace.join("again"), &workspace.join("whole"));
}

#[test]
fn images_of_the_models_own_size_change_no_byte() {
    let workspace = Workspace::new();
    whole_run(&workspace, &["--set", "train.image_size=[(until_epoch: 2, size: 8)]"]);
    vitral(workspace.path(), &["train", "experiment.ron"]).succeeded();
    assert_same(&workspace.join("run"), &workspace.join("whole"));
}

#[test]
fn sizes_that_patches_do_not_fill_are_pointed_at() {
    let workspace = Workspace::new();
    let sizes = "train.image_size=[(until_epoch: 1, size: 5)]";
    let said = vitral(workspace.path(), &["train", "experiment.ron", "--set", sizes]);
    assert!(!said.status.success());
    for words in ["patches of 2 px do not fill an image of 5 px", "4 or 6 px"] {
        assert!(said.stderr.contains(words), "{}", said.stderr);
    }
}

#[test]
fn the_number_of_workers_changes_nothing() {
    let workspace = Workspace::new();
    whole_run(&workspace, &["--set", "data.workers=1"]);
    vitral(workspace.path(), &["train", "experiment.ron", "--set", "data.workers=5"]).succeeded();
    let last = "checkpoints/step-00000012";
    for file in FILES {
        let read = |run: &str| fs::read(workspace.join(run).join(last).join(file)).unwrap();
        assert!(read("run") == read("whole"), "{file} differs");
    }
}

#[test]
fn another_seed_gives_another_model() {
    let workspace = Workspace::new();
    whole_run(&workspace, &[]);
    vitral(workspace.path(), &["train", "experiment.ron", "--set", "seed=1"]).succeeded();
    assert!(result(&workspace.join("run")).0 != result(&workspace.join("whole")).0);
}

/// Checkpoints after every step make a kill in the middle of writing likely.
#[test]
fn killed_run_resumes_from_its_newest_whole_checkpoint() {
    let workspace = Workspace::new();
    let often = [
        "--set",
        "train.steps=150",
        "--set",
        "checkpoints.every=Steps(1)",
        "--set",
        "checkpoints.keep=3",
    ];
    whole_run(&workspace, &often);
    let mut rng = Seed::new(0).named("kill").rng();
    let run = workspace.join("run");
    let mut arguments = vec!["train", "experiment.ron"];
    arguments.extend(often);
    let (mut kills, mut half_written) = (0, 0);
    loop {
        let mut child = start(workspace.path(), &arguments);
        // Longer and longer, so that a slow machine gets somewhere, too.
        thread::sleep(Duration::from_millis(rng.random_range(20..120 + 4 * kills)));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "a resumed run failed: {:?}", child.wait_with_output());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        assert!(kills < 500, "the run never ends");
        if let Ok(entries) = fs::read_dir(run.join("checkpoints")) {
            let unfinished =
                |name: &str| name.starts_with(".writing") || name.starts_with(".removing");
            half_written +=
                entries.flatten().filter(|e| unfinished(&e.file_name().to_string_lossy())).count();
        }
        if run.join("last").exists() {
            arguments = vec!["train", "--resume", "run"];
        } else if run.exists() {
            fs::remove_dir_all(&run).unwrap();
        }
    }
    println!("{kills} kills, {half_written} in the middle of writing a checkpoint");
    assert!(kills >= 2, "the run was too short to be killed");
    assert_same(&run, &workspace.join("whole"));
    let left: Vec<_> =
        fs::read_dir(run.join("checkpoints")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().starts_with("step-")), "{left:?}");
}

/// Ctrl-C, what a cluster's scheduler sends, and what it sends some time before.
#[cfg(unix)]
#[test]
fn interrupted_run_writes_a_checkpoint_and_goes_on() {
    // The number of this signal is another on other systems.
    let warning = 128 + signal_hook::consts::SIGUSR1;
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-USR1", warning)] {
        let workspace = Workspace::new();
        let long = ["--set", "train.steps=300", "--set", "checkpoints.every=Steps(1000)"];
        whole_run(&workspace, &long);
        let mut arguments = vec!["train", "experiment.ron"];
        arguments.extend(long);
        let child = start(workspace.path(), &arguments);
        let metrics = workspace.join("run/metrics.jsonl");
        while fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) < 5 {
            thread::sleep(Duration::from_millis(5));
        }
        let pid = child.id().to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("train --resume run"), "{said}");
        let last = fs::read_to_string(workspace.join("run/last")).unwrap();
        assert!(!last.contains("step-00000300"), "it was not interrupted: {last}");
        vitral(workspace.path(), &["train", "--resume", "run"]).succeeded();
        // The best checkpoints differ in number only by what was added then; the results do not.
        assert_same(&workspace.join("run"), &workspace.join("whole"));
    }
}

/// What a scheduler starts again and again, until it is done.
#[cfg(unix)]
#[test]
fn one_command_starts_a_run_and_goes_on_with_it() {
    let workspace = Workspace::new();
    let long = ["--set", "train.steps=100", "--set", "checkpoints.every=Steps(25)"];
    whole_run(&workspace, &long);
    let command = [&["train", "experiment.ron", "--resume-if-any"][..], &long].concat();
    let mut child = start(workspace.path(), &command);
    while !workspace.join("run/checkpoints/step-00000025").exists() {
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it was done before it was ended");
    // Also from elsewhere, where the same files have other names.
    fs::create_dir(workspace.join("elsewhere")).unwrap();
    let mut elsewhere = [&command[..], &["--set", "output=../run"]].concat();
    elsewhere[1] = "../experiment.ron";
    let said = vitral(&workspace.join("elsewhere"), &elsewhere).succeeded().stderr;
    assert!(said.contains("checkpoints/step-000000"), "it did not go on: {said}");
    assert_same(&workspace.join("run"), &workspace.join("whole"));
    // Once it is done, nothing is left to do.
    let said = vitral(workspace.path(), &command).succeeded().stderr;
    assert!(said.contains("nothing left to do"), "{said}");
    assert_same(&workspace.join("run"), &workspace.join("whole"));
    assert!(!workspace.join("run-2").exists());
    // What was changed since would have no effect.
    let other = [&command[..], &["--set", "train.learning_rate=1e-2"]].concat();
    let said = vitral(workspace.path(), &other).failed_with(2).stderr;
    assert!(said.contains("`train.learning_rate` is 0.01, and 0.002 in the run"), "{said}");
    assert!(said.contains("train --resume"), "{said}");
    assert_same(&workspace.join("run"), &workspace.join("whole"));
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
