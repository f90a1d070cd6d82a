//! Runs that go on with another experiment, or other data, than they were interrupted with: the place in
//! the data stays, and what changes is told.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    resume::{assert_same, copy_folder},
    support::{
        images::{Workspace, write_image_folder},
        program::{Finished, vitral},
    },
};

/// 72 images in batches of 16 are 4 steps an epoch.
const EPOCHS: [&str; 5] = [
    "train.steps=None",
    "train.warmup_steps=None",
    "train.epochs=3",
    "checkpoints.every=Epochs(1)",
    "train.eval_every=Epochs(1)",
];

fn run(workspace: &Workspace, start: &[&str], changes: &[&str]) -> Finished {
    let mut arguments = vec!["train"];
    arguments.extend(start);
    arguments.extend(changes.iter().flat_map(|change| ["--set", change]));
    vitral(workspace.path(), &arguments)
}

/// A run of three epochs with a checkpoint after each.
fn of_epochs(changes: &[&str]) -> Workspace {
    let workspace = Workspace::new();
    run(&workspace, &["experiment.ron"], &[&EPOCHS[..], changes].concat()).succeeded();
    workspace
}

/// Resumes a copy of the run from a step, and gives what was said, and the copy's folder.
fn go_on(workspace: &Workspace, step: u64, changes: &[&str]) -> (String, std::path::PathBuf) {
    copy_folder(&workspace.join("run"), &workspace.join("copy"));
    let checkpoint = format!("copy/checkpoints/step-{step:08}");
    let said = run(workspace, &["--resume", &checkpoint], changes).succeeded().stderr;
    (said, workspace.join("copy"))
}

fn evaluations(run: &Path) -> Vec<(u64, f64)> {
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let evaluations = lines.filter(|line| line["kind"] == "eval");
    let place = |line: Value| (line["step"].as_u64().unwrap(), line["epoch"].as_f64().unwrap());
    evaluations.map(place).collect()
}

fn assert_told(said: &str, words: &[&str]) {
    for words in words {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
}

/// 2 steps an epoch with twice the batch, and 9 with half of it.
#[test]
fn another_batch_goes_on_in_the_same_epoch_and_ends_with_the_same() {
    for (batch, per_epoch) in [(32, 2), (8, 9)] {
        let workspace = of_epochs(&[]);
        let (said, run) = go_on(&workspace, 4, &[&format!("train.batch={batch}")]);
        assert_told(
            &said,
            &[
                &format!("`train.batch` is {batch}, and was 16"),
                &format!("an epoch is now {per_epoch} steps, not 4"),
                &format!("after 1 of 3 epochs, with {} steps to make", 2 * per_epoch),
            ],
        );
        assert!(!said.contains("jumps"), "the schedule follows the images: {said}");
        let ends = [(4, 1.0), (4 + per_epoch, 2.0), (4 + 2 * per_epoch, 3.0)];
        assert_eq!(evaluations(&run), ends);
        // The run that has changed is itself resumed to the same bytes, without a word.
        copy_folder(&run, &workspace.join("again"));
        let checkpoint = format!("again/checkpoints/step-{:08}", 4 + per_epoch);
        let said = vitral(workspace.path(), &["train", "--resume", &checkpoint]).succeeded();
        assert!(!said.stderr.contains("resume: "), "{}", said.stderr);
        assert_same(&workspace.join("again"), &run);
    }
}

#[test]
fn data_that_has_grown_or_shrunk_is_told_and_keeps_the_epoch() {
    for (images, per_epoch) in [(32, 8), (8, 2)] {
        let workspace = Workspace::new();
        write_image_folder(&workspace.join("train"), 4);
        let folders =
            ["data.train=ImageFolder(path: \"train\")", "data.val=ImageFolder(path: \"train\")"];
        let changes = [&EPOCHS[..], &folders, &["train.batch=4"]].concat();
        run(&workspace, &["experiment.ron"], &changes).succeeded();
        fs::remove_dir_all(workspace.join("train")).unwrap();
        write_image_folder(&workspace.join("train"), images / 4);
        let (said, run) = go_on(&workspace, 4, &[]);
        assert_told(
            &said,
            &[
                &format!("`data.train` has {images} images, but had 16 before"),
                &format!("after 1 of 3 epochs, with {} steps to make", 2 * per_epoch),
            ],
        );
        let ends = [(4, 1.0), (4 + per_epoch, 2.0), (4 + 2 * per_epoch, 3.0)];
        assert_eq!(evaluations(&run), ends);
    }
}

/// As many images of the same classes: only what tells the data apart can notice.
#[test]
fn other_images_are_told_and_the_run_goes_on_with_them() {
    let workspace = of_epochs(&[]);
    let change = |file: &str| {
        let mut bytes = fs::read(workspace.join(file)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(workspace.join(file), bytes).unwrap();
    };
    change("train-images");
    let (said, run) = go_on(&workspace, 4, &[]);
    assert_told(
        &said,
        &["resume: `data.train` has changed since the checkpoint was written", "72 images"],
    );
    assert!(!said.contains("`data.val`"), "{said}");
    // From then on, this is the run's data.
    let checkpoint = format!("{}/checkpoints/step-00000008", run.display());
    let said = vitral(workspace.path(), &["train", "--resume", &checkpoint]).succeeded().stderr;
    assert!(!said.contains("resume: "), "{said}");
    change("val-labels");
    fs::remove_dir_all(&run).unwrap();
    let (said, run) = go_on(&workspace, 8, &[]);
    assert_told(
        &said,
        &["`data.val` has changed", "still has 37 images, but their classes differ"],
    );
    fs::remove_dir_all(&run).unwrap();
    let set = r#"data.val=Idx(images: "train-images", labels: "train-labels")"#;
    let (said, _) = go_on(&workspace, 8, &[set]);
    assert_told(&said, &["resume: `data.val` has 72 images, but had 37 before"]);
}

#[test]
fn a_longer_run_tells_what_the_learning_rate_does() {
    let workspace = of_epochs(&[]);
    let (said, run) = go_on(&workspace, 12, &["train.epochs=5"]);
    assert_told(
        &said,
        &["`train.epochs` is 5, and was 3", "the learning rate jumps from 1.00e-6 to 1.0"],
    );
    assert_eq!(evaluations(&run).last(), Some(&(20, 5.0)));
}

#[test]
fn a_run_at_its_end_says_that_nothing_is_left_and_one_beyond_it_is_refused() {
    let workspace = of_epochs(&[]);
    let (said, _) = go_on(&workspace, 12, &[]);
    assert_told(&said, &["nothing left to do: all 12 steps (3 epochs) are made", "`train.epochs`"]);
    let before = fs::read_to_string(workspace.join("run/config.ron")).unwrap();
    let refused = run(&workspace, &["--resume", "run"], &["train.epochs=2"]).failed_with(2).stderr;
    assert_told(&refused, &["nothing left to do: `train.epochs` is 2, but the run has made 3"]);
    assert_eq!(fs::read_to_string(workspace.join("run/config.ron")).unwrap(), before);
}

/// What a run is told to try next leads on, too.
#[test]
fn a_run_of_steps_is_made_longer_by_steps() {
    let workspace = Workspace::new();
    let said = run(&workspace, &["experiment.ron"], &[]).succeeded().stdout;
    assert_told(&said, &["--set train.steps=..."]);
    let refused = run(&workspace, &["--resume", "run"], &["train.epochs=9"]).failed_with(2).stderr;
    assert_told(&refused, &["train.steps", "train.epochs", "no effect"]);
    let (said, run) = go_on(&workspace, 6, &["train.steps=14", "train.batch=32"]);
    assert_told(&said, &["`train.steps` is 14, and was 12", "with 8 steps to make"]);
    assert_eq!(evaluations(&run).last(), Some(&(14, 1.5 + 8.0 / 2.0)));
}

/// The fields are taken out of a checkpoint, as if it had been written before there were any.
#[test]
fn older_checkpoints_that_do_not_know_their_place_go_on() {
    let workspace = of_epochs(&[]);
    let forget = |run: &str, step: u64| {
        let folder = workspace.join(&format!("{run}/checkpoints/step-{step:08}"));
        let state = fs::read_to_string(folder.join("state.ron")).unwrap();
        let (start, rest) = state.split_once("    place: ").unwrap();
        let (_, rest) = rest.split_once("    best: ").unwrap();
        fs::write(folder.join("state.ron"), format!("{start}    best: {rest}")).unwrap();
        let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
        let names: Vec<&str> = sums.lines().map(|line| line.split_once("  ").unwrap().1).collect();
        let sums = Command::new("sha256sum").args(names).current_dir(&folder).output().unwrap();
        fs::write(folder.join("SHA256SUMS"), sums.stdout).unwrap();
    };
    copy_folder(&workspace.join("run"), &workspace.join("older"));
    forget("older", 4);
    let checkpoint = "older/checkpoints/step-00000004";
    vitral(workspace.path(), &["train", "--resume", checkpoint]).succeeded();
    assert_same(&workspace.join("older"), &workspace.join("run"));
    let said = run(&workspace, &["--resume", checkpoint], &["train.batch=32"]).succeeded().stderr;
    assert_told(&said, &["`train.batch` is 32, and was 16", "after 1 of 3 epochs"]);
    assert_eq!(evaluations(&workspace.join("older")).last(), Some(&(8, 3.0)));
}

#[test]
fn monitors_get_their_own_states_back_wherever_they_stand() {
    let monitors = |list: &str| format!("monitors=[{list}]");
    let (stop, memory) = (
        r#"(name: "early-stop", settings: {"patience": 50})"#,
        r#"(name: "memory", settings: {"every": 4})"#,
    );
    let workspace = of_epochs(&[&monitors(stop)]);
    let (said, run) = go_on(&workspace, 4, &[&monitors(&format!("{memory}, {stop}"))]);
    assert_told(&said, &["monitor `memory` starts afresh"]);
    let states = |run: &Path, monitor: u32| {
        let name = format!("checkpoints/step-00000012/monitor-{monitor}.state");
        fs::read(run.join(name)).unwrap()
    };
    assert_eq!(states(&run, 1), states(&workspace.join("run"), 0), "early-stop has missed nothing");
    fs::remove_dir_all(&run).unwrap();
    let (said, _) = go_on(&workspace, 4, &["monitors=[]"]);
    assert_told(&said, &["monitor `early-stop` is no longer in use"]);
}

#[test]
fn what_is_most_likely_not_meant_is_told_or_refused_before_the_first_step() {
    let workspace = Workspace::new();
    for (changes, words) in [
        (&["train.warmup_steps=None", "train.warmup_epochs=30"][..], "`train.warmup_epochs` is 30"),
        (&["train.batch=100", "train.accum_steps=1"], "there are 72 training images"),
        (&["train.epochs=7", "train.steps=4"], "`train.steps` is 4, so `train.epochs`"),
        (
            &["train.warmup_epochs=0.5", "train.warmup_steps=2"],
            "`train.warmup_steps` is 2, so `train.warmup_epochs`",
        ),
    ] {
        let said = run(&workspace, &["experiment.ron"], changes).succeeded().stderr;
        assert_told(&said, &[words]);
        let before = said.find(words).unwrap();
        assert!(before < said.find("top-1").unwrap(), "{said}");
    }
    for epochs in ["train.epochs=0", "train.epochs=0.01"] {
        let changes = ["train.steps=None", epochs, "output=none"];
        let said = run(&workspace, &["experiment.ron"], &changes).failed_with(2).stderr;
        assert_told(&said, &["are less than one step"]);
        assert!(!workspace.join("none").exists());
    }
}

/// The cool-down of a long run's checkpoint is that of a run which was as short from the start.
#[test]
fn a_run_cools_down_from_any_checkpoint_of_another_which_stays_as_it_is() {
    let decay = "train.decay=WarmupStableDecay(epochs: 1)";
    let workspace = of_epochs(&["train.epochs=5", decay]);
    let short = [&EPOCHS[..], &["output=short", decay]].concat();
    run(&workspace, &["experiment.ron"], &short).succeeded();
    copy_folder(&workspace.join("run"), &workspace.join("before"));
    let changes = ["output=cooled", "train.epochs=3"];
    let start = ["--resume", "run/checkpoints/step-00000008"];
    let said = run(&workspace, &start, &changes).succeeded().stderr;
    assert_told(&said, &["`train.epochs` is 3, and was 5", "a run of its own from"]);
    assert!(!said.contains("jumps"), "{said}");
    assert_eq!(evaluations(&workspace.join("cooled")), [(4, 1.0), (8, 2.0), (12, 3.0)]);
    assert_same(&workspace.join("cooled"), &workspace.join("short"));
    assert_same(&workspace.join("run"), &workspace.join("before"));
    for name in ["best", "last"] {
        vitral(workspace.path(), &["eval", &format!("cooled/{name}")]).succeeded();
    }
    // It is a run like any other, and neither is replaced by one that branches off later.
    vitral(workspace.path(), &["train", "--resume", "cooled"]).succeeded();
    let said = run(&workspace, &start, &changes).succeeded().stderr;
    assert_told(&said, &["cooled already holds a run; this one goes to", "cooled-2"]);
}

#[test]
fn every_change_is_told_once() {
    let workspace = of_epochs(&[]);
    let changes = ["seed=5", "train.label_smoothing=0.2", "train.epochs=4", "train.log_every=1"];
    let (said, _) = go_on(&workspace, 8, &changes);
    assert_told(&said, &["`seed` is 5, and was ", "`train.label_smoothing` is 0.2, and was "]);
    assert_eq!(said.matches("`train.epochs` is").count(), 1, "{said}");
    let (said, _) = go_on(&workspace, 8, &["seed=5"]);
    assert_eq!(said.matches("changed: ").count(), 1, "{said}");
    let (said, _) = go_on(&workspace, 8, &["train.epochs=3"]);
    assert_told(&said, &["unchanged: `train.epochs` had this value before"]);
}
