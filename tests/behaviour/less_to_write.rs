//! Experiments on top of others, and what differs between two.

use std::fs;

use crate::support::{
    images::{Workspace, write_image_folder},
    program::vitral,
};

fn resolved(workspace: &Workspace, experiment: &str) -> String {
    vitral(workspace.path(), &["config", "resolved", experiment]).succeeded().stdout
}

fn diff(workspace: &Workspace, first: &str, second: &str) -> Vec<String> {
    let said = vitral(workspace.path(), &["config", "diff", first, second]).succeeded();
    said.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn an_experiment_changes_its_base() {
    let workspace = Workspace::new();
    fs::create_dir(workspace.join("mine")).unwrap();
    let changes = r#"(
        base: "../experiment.ron",
        output: "changed",
        model: (depth: 3),
        train: (steps: 2, mix: (mixup: 0.4)),
    )"#;
    workspace.write("mine/changed.ron", changes);
    // The same files by another way are no difference.
    let found = diff(&workspace, "experiment.ron", "mine/changed.ron");
    let expected = [
        r#"output: "run" -> "changed""#,
        "model.depth: 2 -> 3",
        "train.steps: 12 -> 2",
        "train.mix.mixup: 0.2 -> 0.4",
    ];
    assert_eq!(found, expected);
    // The base's paths start at its own folder, and a base may have one of its own.
    workspace.write("again.ron", r#"(base: "mine/changed.ron", train: (learning_rate: 1e-3))"#);
    vitral(workspace.path(), &["train", "again.ron"]).succeeded();
    let run = diff(&workspace, "again.ron", "changed");
    assert!(run.iter().all(|line| line.starts_with("model.classes")), "{run:?}");
    assert!(!resolved(&workspace, "again.ron").contains("base:"));
}

#[test]
fn a_base_that_is_wrong_is_told_at_its_line() {
    let workspace = Workspace::new();
    let check = |text: &str, words: &[&str]| {
        workspace.write("own.ron", text);
        let said = vitral(workspace.path(), &["config", "resolved", "own.ron"]).failed_with(2);
        let said = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    check(r#"(base: "missing.ron")"#, &["missing.ron", "own.ron:1:8"]);
    check(r#"(base: "own.ron")"#, &["more than 16 bases"]);
    check(
        r#"(base: "experiment.ron", train: (step: 3))"#,
        &["`step`", "`steps`", "experiment.ron"],
    );
    check(r#"(base: "experiment.ron", train: (steps: 3, steps: 4))"#, &["`steps` is given twice"]);
    check(r#"(base: "experiment.ron", train: (steps: 3)"#, &["own.ron"]);
}

/// Trains on what `data` says, and returns what is said of the images and the names of those of validation.
fn images(workspace: &Workspace, output: &str, data: &str) -> String {
    let text = format!(
        r#"(
            output: "{output}",
            device: "cpu",
            model: (image_size: 8, channels: 1, patch_size: 4, width: 16, depth: 1, heads: 2),
            data: {data},
            train: (steps: 2, batch: 4, warmup_steps: 0),
        )"#
    );
    workspace.write("folder.ron", &text);
    vitral(workspace.path(), &["train", "folder.ron"]).succeeded().stderr
}

#[test]
fn a_folder_and_a_share_stand_for_images() {
    let workspace = Workspace::new();
    write_image_folder(&workspace.join("parts/train"), 5);
    write_image_folder(&workspace.join("parts/val"), 2);
    write_image_folder(&workspace.join("classes"), 10);
    let said = images(&workspace, "parts-run", r#"Folder("parts")"#);
    assert!(said.contains("20 training and 8 validation images"), "{said}");
    let data = r#"Folder(path: "classes", augment: [HorizontalFlip()])"#;
    let said = images(&workspace, "classes-run", data);
    assert!(said.contains("36 training and 4 validation images"), "{said}");
    assert!(resolved(&workspace, "folder.ron").contains("HorizontalFlip"));
    let data = r#"(train: ImageFolder(path: "classes"), val: Split(0.25))"#;
    let said = images(&workspace, "split", data);
    assert!(said.contains("28 training and 12 validation images"), "{said}");
    // The run keeps it, goes on with it, and is evaluated on the same images.
    let text = fs::read_to_string(workspace.join("split/config.ron")).unwrap();
    assert!(text.contains("Split(0.25)"), "{text}");
    let resume = ["train", "--resume", "split", "--set", "train.steps=4"];
    let said = vitral(workspace.path(), &resume).succeeded().stderr;
    assert!(!said.contains("data.val") && !said.contains("data.train"), "{said}");
    let loss = |arguments: &[&str]| {
        let said = vitral(workspace.path(), &[&["eval", "--json"], arguments].concat());
        let found: serde_json::Value = serde_json::from_str(&said.succeeded().stdout).unwrap();
        assert_eq!(found["images"], 12);
        found["loss"].clone()
    };
    assert_eq!(loss(&["split"]), loss(&["split", "--data", "folder.ron"]));
    let predicted = ["predict", "split", "folder.ron", "--json"];
    let predicted = vitral(workspace.path(), &predicted).succeeded().stdout;
    assert_eq!(predicted.lines().count(), 12);
    let other = ["train", "folder.ron", "--set", "seed=7", "--set", "output=other"];
    vitral(workspace.path(), &other).succeeded();
    let again = ["predict", "other", "folder.ron", "--json"];
    let again = vitral(workspace.path(), &again).succeeded().stdout;
    let names = |lines: &str| -> Vec<String> {
        let name = |line: &str| line.split("\"image\":").nth(1).unwrap().to_owned();
        lines.lines().map(name).collect()
    };
    assert_eq!(names(&predicted), names(&again));
}

#[test]
fn a_folder_without_images_to_train_with_is_told_at_its_line() {
    let workspace = Workspace::new();
    fs::create_dir_all(workspace.join("half/val/a")).unwrap();
    for (data, words) in [
        (r#"Folder("half")"#, "no folder `train` beside it"),
        (r#"Folder("nothing")"#, "nothing"),
        (r#"Folder(augment: [])"#, "`Folder` is of a path"),
    ] {
        workspace.write("folder.ron", &format!("(data: {data})"));
        let said = vitral(workspace.path(), &["config", "resolved", "folder.ron"]).failed_with(2);
        assert!(
            said.stderr.contains(words) && said.stderr.contains("folder.ron:1"),
            "{}",
            said.stderr
        );
    }
    let split = r#"(data: (train: Split(0.1), val: Split(0.1)))"#;
    workspace.write("folder.ron", split);
    let said = vitral(workspace.path(), &["data", "info", "folder.ron"]).failed_with(1).stderr;
    assert!(said.contains("only works in `data.val`"), "{said}");
}

/// What is wrong is shown in the file and the line in which it was written, whatever was put in its place.
#[test]
fn mistakes_are_shown_where_they_were_written() {
    let workspace = Workspace::new();
    write_image_folder(&workspace.join("photos"), 4);
    let rest = "model: (image_size: 32, patch_size: 8, width: 16, depth: 1, heads: 2)";
    let complaint = |name: &str| {
        let said = vitral(workspace.path(), &["config", "resolved", name]).failed_with(2).stderr;
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (data, words) in [
        // Of a path without its name nothing more would be read.
        (
            "Folder(\"photos\", val: Split(0.2))",
            ["own.ron:2:7", "`Folder(path: \"photos\", val: Split(0.2))`"],
        ),
        ("Folder(path: \"photos\", nonsense: 3)", ["own.ron:2:30", "unknown field `nonsense`"]),
        ("Folder(\"photos\"), device: 7", ["own.ron:2:33", "expected a string"]),
        ("Folder(\"photos\"), modl: (", ["own.ron:2:25", "the brackets in this text do not match"]),
    ] {
        workspace.write("own.ron", &format!("(\ndata: {data},\n{rest},\n)"));
        let said = complaint("own.ron");
        assert!(words.iter().all(|word| said.contains(word)), "{data}: {said}");
    }
    workspace.write(
        "base.ron",
        &format!("(\ndata: Folder(\"photos\"),\n{rest},\ntrain: (epoch: 3),\n)"),
    );
    workspace.write("own.ron", "(base: \"base.ron\",\n  seed: 3,\n  model: (dept: 2),\n)");
    let said = complaint("own.ron");
    for words in ["own.ron:3:11", "`depth`", "base.ron:4:9", "`epochs`", "2 mistakes"] {
        assert!(said.contains(words), "`{words}` is not in {said}");
    }
}
