//! `eval` with all its figures, and `average`.

use std::fs;

use serde_json::Value;

use crate::support::{
    images::{VAL_IMAGES, Workspace},
    program::vitral,
};

/// A workspace with a run that has learned a little, and checkpoints of steps 10, 20 and 30.
fn workspace() -> Workspace {
    let workspace = Workspace::new();
    let sets = ["train.steps=30", "checkpoints.every=Steps(10)", "train.mix=()", "train.ema=None"];
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<&str> = ["train", "experiment.ron"].into_iter().chain(sets).collect();
    vitral(workspace.path(), &arguments).succeeded();
    workspace
}

fn checkpoint(step: u32) -> String {
    format!("run/checkpoints/step-{step:08}")
}

/// What `eval --json` says of each checkpoint.
fn eval(workspace: &Workspace, arguments: &[&str]) -> Vec<Value> {
    let said = vitral(workspace.path(), &[&["eval", "--json"], arguments].concat()).succeeded();
    said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn figures_of_an_evaluation_agree_with_each_other() {
    let workspace = workspace();
    let found = eval(&workspace, &["run", "--top-k", "1,2,4"]).remove(0);
    let number = |value: &Value| value.as_f64().unwrap();
    assert_eq!(found["top_k"]["1"], found["top1"]);
    assert!(number(&found["top_k"]["2"]) >= number(&found["top1"]));
    assert_eq!(found["top_k"]["4"], 1.0);
    let confusion = found["confusion"].as_array().unwrap();
    let images = |wanted: &dyn Fn(&Value) -> bool| -> u64 {
        let pairs = confusion.iter().filter(|pair| wanted(pair));
        pairs.map(|pair| pair["images"].as_u64().unwrap()).sum()
    };
    assert_eq!(images(&|_| true), VAL_IMAGES as u64);
    let right = images(&|pair| pair["class"] == pair["predicted"]);
    assert!((right as f64 / VAL_IMAGES as f64 - number(&found["top1"])).abs() < 1e-12);
    for (index, class) in found["classes"].as_array().unwrap().iter().enumerate() {
        assert_eq!(class["images"], images(&|pair| pair["class"] == index));
        assert_eq!(class["predicted"], images(&|pair| pair["predicted"] == index));
        assert_eq!(class["name"], index.to_string());
    }
    let bins = found["calibration"].as_array().unwrap();
    let in_bins: u64 = bins.iter().map(|bin| bin["images"].as_u64().unwrap()).sum();
    assert_eq!((bins.len(), in_bins), (15, VAL_IMAGES as u64));
    // Mirror images have a say, and one that is mirrored again has the same.
    let flips = eval(&workspace, &["run", "--flips"]).remove(0);
    assert_ne!(flips["loss"], found["loss"]);
    assert_eq!(flips["flips"], true);
}

#[test]
fn several_checkpoints_come_in_one_table_and_one_page() {
    let workspace = workspace();
    let steps = [10, 20, 30].map(checkpoint);
    let three = [&*steps[0], &*steps[1], &*steps[2]];
    let more = ["--top-k", "2", "--confusion", "--html", "page.html"];
    let said = vitral(workspace.path(), &[&["eval"], &three[..], &more].concat()).succeeded();
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert!(lines[0].starts_with("checkpoint ") && lines[0].contains("top-2"), "{}", said.stdout);
    for (step, line) in steps.iter().zip(&lines[1..]) {
        assert!(line.starts_with(step.as_str()) && line.contains('%'), "{line}");
    }
    assert_eq!(*lines.last().unwrap(), "page.html");
    let page = fs::read_to_string(workspace.join("page.html")).unwrap();
    for step in &steps {
        assert!(page.contains(step.as_str()), "{step} is not on the page");
    }
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.matches(" src=\"data:image/jpeg;base64,").count() >= 3 * 24);
    assert_eq!(page.matches("class=\"matrix\"").count(), 3);
    let sources = page.matches(" src=").count();
    assert_eq!(page.matches(" src=\"data:").count(), sources, "it needs nothing beside it");
    assert!(!page.contains("<link") && !page.contains("<script"));
    // Merged tokens are no patches of which there could be a map; the images are there without.
    let merged = ["eval", three[2], "--token-merging", "2", "--html", "merged.html"];
    vitral(workspace.path(), &merged).succeeded();
    let merged = fs::read_to_string(workspace.join("merged.html")).unwrap();
    assert!(merged.contains("Without maps of attention: the model merges tokens"), "{merged}");
    assert!(merged.matches("<div class=\"one\"><img ").count() >= 12);
    // One line of JSON each, whose figures are those of one alone.
    let all = eval(&workspace, &three);
    assert_eq!(all.len(), 3);
    assert_eq!(all[1], eval(&workspace, &[three[1]])[0]);
    let one = vitral(workspace.path(), &["eval", three[2], "--confusion"]).succeeded().stdout;
    assert!(one.contains("F1      0.") && one.contains("predicted classes in columns"), "{one}");
}

#[test]
fn checkpoints_are_averaged_all_or_those_that_help() {
    let workspace = workspace();
    let steps = [10, 20, 30].map(checkpoint);
    let average = |more: &[&str]| {
        let given: Vec<&str> = steps.iter().map(String::as_str).collect();
        vitral(workspace.path(), &[&["average"], &given[..], more].concat())
    };
    average(&["--output", "mean"]).succeeded();
    let weights = |folder: &str| {
        let bytes = fs::read(workspace.join(folder).join("model.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensor = tensors.tensor("head.weight").unwrap();
        let values = tensor.data().as_chunks::<4>().0.iter();
        values.map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect::<Vec<f64>>()
    };
    let (mean, parts) = (weights("mean"), steps.each_ref().map(|step| weights(step)));
    for (index, mean) in mean.iter().enumerate() {
        let expected = parts.iter().map(|part| part[index]).sum::<f64>() / 3.0;
        assert!((mean - expected).abs() < 1e-7, "{mean} is not {expected}");
    }
    eval(&workspace, &["mean"]);
    let said = average(&["--output", "soup", "--greedy"]).succeeded().stdout;
    let top1 = |model: &str| eval(&workspace, &[model])[0]["top1"].as_f64().unwrap();
    let best = steps.iter().map(|step| top1(step)).fold(0.0, f64::max);
    assert!(top1("soup") >= best, "{said}");
    assert!(said.contains("best first:") && said.contains("  taken"), "{said}");
    // What is there stays, one is not counted twice, and models of other kinds are none of it.
    let again = average(&["--output", "soup"]).failed_with(1).stderr;
    assert!(again.contains("soup"), "{again}");
    let twice = ["average", &steps[0], &steps[0], "--output", "other"];
    vitral(workspace.path(), &twice).failed_with(2);
    let train = ["train", "experiment.ron", "--set", "model.heads=4", "--set", "output=four"];
    vitral(workspace.path(), &[&train[..], &["--set", "train.steps=1"]].concat()).succeeded();
    let said = vitral(workspace.path(), &["average", "run", "four", "--output", "other"]);
    let said = said.failed_with(1).stderr;
    assert!(said.contains("cannot be averaged") && said.contains("kind of model"), "{said}");
    assert!(!workspace.join("other").exists());
}
