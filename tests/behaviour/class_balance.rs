//! Rare classes: weights in the loss, and epochs with as many images of each class.

use std::fs;

use serde_json::Value;

use crate::{
    resume::assert_same,
    support::{
        images::{Workspace, write_image_folder},
        program::vitral,
    },
};

/// The loss of the first step.
fn first_loss(workspace: &Workspace, run: &str, changes: &[&str]) -> f64 {
    let output = format!("output={run}");
    let mut arguments = vec!["train", "experiment.ron", "--set", "train.steps=1", "--set", &output];
    changes.iter().for_each(|change| arguments.extend(["--set", change]));
    vitral(workspace.path(), &arguments).succeeded();
    let metrics = fs::read_to_string(workspace.join(run).join("metrics.jsonl")).unwrap();
    let mut lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.find(|line| line["kind"] == "step").unwrap()["loss"].as_f64().unwrap()
}

#[test]
fn images_count_by_the_weights_of_their_classes_in_every_loss() {
    let workspace = Workspace::new();
    for loss in ["Softmax", "Sigmoid", "SigmoidMean"] {
        let of = |run: &str, weights: &str| {
            let changes = [format!("train.loss={loss}"), format!("train.class_weights={weights}")];
            first_loss(&workspace, &format!("{loss}-{run}"), &[&changes[0], &changes[1]])
        };
        let (plain, doubled) = (of("plain", "None"), of("doubled", "[2, 2, 2, 2]"));
        assert!((doubled / plain - 2.0).abs() < 1e-5, "{loss}: {doubled} and {plain}");
        // Of 72 images, each class has a quarter.
        let balanced = of("balanced", "Balanced");
        assert!((balanced / plain - 1.0).abs() < 1e-5, "{loss}: {balanced} and {plain}");
        // Together they are the whole.
        let parts = ["[1, 0, 0, 0]", "[0, 1, 1, 1]"].map(|weights| of(&weights[1..2], weights));
        assert!((parts[0] + parts[1] - plain).abs() < 1e-5, "{loss}: {parts:?} and {plain}");
        assert!(parts[0] > 0.0 && parts[1] > parts[0], "{loss}: {parts:?}");
    }
    let wrong = ["train", "experiment.ron", "--set", "train.class_weights=[1, 2]"];
    let said = vitral(workspace.path(), &wrong).failed_with(2).stderr;
    assert!(said.contains("there are 2 weights, and 4 classes"), "{said}");
}

#[test]
fn balanced_epochs_go_on_where_they_were() {
    let workspace = Workspace::new();
    write_image_folder(&workspace.join("photos"), 12);
    for image in 3..12 {
        fs::remove_file(workspace.join(&format!("photos/class_1/{image:03}.png"))).unwrap();
    }
    let set = [
        "data.train=ImageFolder(path: \"photos\")",
        "data.val=ImageFolder(path: \"photos\")",
        "data.sampling=Balanced",
        "train.class_weights=Balanced",
        "output=whole",
    ];
    let mut arguments = vec!["train", "experiment.ron"];
    set.iter().for_each(|change| arguments.extend(["--set", change]));
    vitral(workspace.path(), &arguments).succeeded();
    let whole = workspace.join("whole");
    let before = workspace.join("before");
    fs::rename(&whole, &before).unwrap();
    let mut arguments = arguments.clone();
    arguments.extend(["--set", "data.workers=1"]);
    vitral(workspace.path(), &arguments).succeeded();
    vitral(workspace.path(), &["train", "--resume", "whole/checkpoints/step-00000006"]).succeeded();
    assert_same(&whole, &before);
    // It is another run than one with each image once.
    arguments.extend(["--set", "data.sampling=Shuffled", "--set", "output=shuffled"]);
    vitral(workspace.path(), &arguments).succeeded();
    let metrics =
        |run: &str| fs::read_to_string(workspace.join(run).join("metrics.jsonl")).unwrap();
    let losses = |run: &str| -> Vec<Value> {
        let lines = metrics(run);
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["kind"] == "step").map(|line| line["loss"].clone()).collect()
    };
    assert_ne!(losses("shuffled"), losses("whole"));
}
