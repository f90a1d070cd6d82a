//! Runs whose JPEG files are decoded in part on the device.

use std::fs;

use crate::{
    resume::{assert_same, copy_folder},
    support::{
        images::{Workspace, write_jpeg_folder},
        program::{Finished, vitral},
    },
};

/// An experiment's changes for JPEG files.
const JPEG: [&str; 4] = [
    r#"data.train=ImageFolder(path: "train")"#,
    r#"data.val=ImageFolder(path: "train")"#,
    "data.augment=[RandomResizedCrop(scale: (0.3, 1.0)), HorizontalFlip()]",
    "data.on_error=Skip",
];

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    write_jpeg_folder(&workspace.join("train"), 18);
    workspace
}

fn train(workspace: &Workspace, changes: &[&str]) -> Finished {
    let mut arguments = vec!["train", "experiment.ron"];
    arguments.extend(JPEG.iter().chain(changes).flat_map(|set| ["--set", set]));
    vitral(workspace.path(), &arguments)
}

#[test]
fn a_run_learns_what_it_learns_with_the_processors_decoder_and_resumes() {
    let workspace = workspace();
    let longer = ["train.steps=60", "train.eval_every=Steps(60)", "checkpoints.every=Steps(30)"];
    let mut losses = Vec::new();
    for decoder in ["Cpu", "Hybrid"] {
        let own = [format!("data.decoder={decoder}"), format!("output={decoder}")];
        let own = own.each_ref().map(String::as_str);
        train(&workspace, &[&longer[..], &own].concat()).succeeded();
        let metrics = fs::read_to_string(workspace.join(decoder).join("metrics.jsonl")).unwrap();
        let lines = metrics.lines().map(|line| serde_json::from_str(line).unwrap());
        // In the first steps every class is as likely.
        let fifth = lines.map(|line: serde_json::Value| line["loss"].as_f64()).nth(4);
        losses.push(fifth.flatten().expect("every step is logged"));
        if decoder == "Hybrid" {
            copy_folder(&workspace.join("Hybrid"), &workspace.join("resumed"));
            let checkpoint = "resumed/checkpoints/step-00000030";
            vitral(workspace.path(), &["train", "--resume", checkpoint]).succeeded();
            assert_same(&workspace.join("resumed"), &workspace.join("Hybrid"));
        }
    }
    // The same images, but for less than a grey level.
    let difference = (losses[0] - losses[1]).abs();
    assert!(difference > 0.0 && difference < 0.02, "{losses:?}");
}

#[test]
fn damaged_files_are_left_out_or_stop_the_run() {
    let workspace = workspace();
    let damaged = workspace.join("train/class_1/004.jpg");
    let whole = fs::read(&damaged).unwrap();
    fs::write(&damaged, &whole[..whole.len() / 2]).unwrap();
    let said = train(&workspace, &["data.decoder=Hybrid"]).succeeded();
    assert!(said.stderr.contains("class_1/004.jpg: "), "{}", said.stderr);
    let said = train(&workspace, &["data.decoder=Hybrid", "data.on_error=Stop", "output=stop"]);
    let said = said.failed_with(1).stderr;
    assert!(said.contains("class_1/004.jpg") && said.contains("cut short"), "{said}");
}

#[test]
fn stages_that_need_pixels_are_refused_before_the_run() {
    let workspace = workspace();
    let said =
        train(&workspace, &["data.decoder=Hybrid", "data.augment=[Resize(), PadCrop(padding: 1)]"]);
    let said = said.failed_with(2).stderr;
    assert!(said.contains("augment[1]: `PadCrop` needs pixels"), "{said}");
    assert!(!workspace.join("run").exists());
}

#[test]
fn auto_is_the_processors_decoder_on_the_processor() {
    let workspace = workspace();
    for (decoder, output) in [("Cpu", "cpu"), ("Auto", "auto")] {
        let own = [format!("data.decoder={decoder}"), format!("output={output}")];
        train(&workspace, &own.each_ref().map(String::as_str)).succeeded();
    }
    assert_same(&workspace.join("auto"), &workspace.join("cpu"));
}

/// What is found is told, kept in checkpoints, and not looked for again.
#[cfg(feature = "gpu-tests")]
#[test]
fn auto_times_both_decoders_on_a_gpu_once() {
    let workspace = workspace();
    let short = ["data.decoder=Auto", "device=wgpu", "train.steps=6", "checkpoints.every=Steps(3)"];
    let said = train(&workspace, &short).succeeded().stderr;
    assert!(said.contains("decoder: ") && said.contains("Cpu would take"), "{said}");
    let checkpoint = "run/checkpoints/step-00000003";
    let state = fs::read_to_string(workspace.join(checkpoint).join("state.ron")).unwrap();
    let line = state.lines().find(|line| line.trim().starts_with("decoder:"));
    let decoder = line.expect("the state has the decoder");
    assert!(decoder.contains("Some(Cpu)") || decoder.contains("Some(Hybrid)"), "{decoder}");
    let said = vitral(workspace.path(), &["train", "--resume", checkpoint]).succeeded().stderr;
    assert!(!said.contains("would take"), "{said}");
}
