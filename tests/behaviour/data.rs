//! Image files on their way into a run: class names from folders, damaged files under each policy.

use std::fs;

use crate::support::{
    images::{Workspace, write_image_folder},
    program::vitral,
};

const IMAGE_FOLDERS: [&str; 4] = [
    "--set",
    "data.train=ImageFolder(path: \"train\")",
    "--set",
    "data.val=ImageFolder(path: \"val\")",
];

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    write_image_folder(&workspace.join("train"), 12);
    write_image_folder(&workspace.join("val"), 3);
    workspace
}

#[test]
fn classes_are_named_by_their_folders() {
    let workspace = workspace();
    let mut arguments = vec!["train", "experiment.ron"];
    arguments.extend(IMAGE_FOLDERS);
    vitral(workspace.path(), &arguments).succeeded();
    let table = vitral(workspace.path(), &["eval", "run"]).succeeded().stdout;
    assert!(table.contains("class_0") && table.contains("class_3"), "{table}");
}

#[test]
fn a_damaged_image_stops_the_run_by_name_or_is_left_out_and_counted() {
    let workspace = workspace();
    fs::write(workspace.join("train/class_1/004.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    let mut arguments = vec!["train", "experiment.ron"];
    arguments.extend(IMAGE_FOLDERS);
    let said = vitral(workspace.path(), &arguments).failed_with(1).stderr;
    assert!(said.contains("004.png"), "{said}");
    arguments.extend(["--set", "data.on_error=Skip"]);
    let said = vitral(workspace.path(), &arguments).succeeded();
    assert!(said.stderr.contains("left out") && said.stderr.contains("004.png"), "{}", said.stderr);
    assert!(said.stdout.contains("could not be read"), "{}", said.stdout);
}

#[test]
fn a_data_set_that_is_not_there_is_named() {
    let workspace = Workspace::new();
    let arguments = ["train", "experiment.ron", "--set", "data.train.images=\"nowhere.gz\""];
    let said = vitral(workspace.path(), &arguments).failed_with(2).stderr;
    assert!(said.contains("nowhere.gz") && said.contains("experiment.ron with --set"), "{said}");
}
