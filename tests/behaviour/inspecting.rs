//! `inspect`: layers, parameters, operations and memory of models and experiments.

use serde_json::Value;

use crate::support::{images::Workspace, program::vitral};

fn inspect(workspace: &Workspace, arguments: &[&str]) -> Value {
    let arguments = [&["inspect"], arguments, &["--json"]].concat();
    serde_json::from_str(&vitral(workspace.path(), &arguments).succeeded().stdout).unwrap()
}

#[test]
fn an_experiment_a_run_and_an_export_are_the_same_model() {
    let workspace = Workspace::new();
    let train = ["train", "experiment.ron", "--set", "train.steps=1"];
    let said = vitral(workspace.path(), &train).succeeded();
    let export = ["export", "run", "--format", "timm", "--out", "timm"];
    vitral(workspace.path(), &export).succeeded();
    let [mut experiment, run, timm] =
        ["experiment.ron", "run", "timm"].map(|model| inspect(&workspace, &[model]));
    for other in [&run, &timm] {
        assert_eq!(other["layers"], experiment["layers"]);
        assert_eq!(other["forward_flops"], experiment["forward_flops"]);
    }
    let parameters = experiment["parameters"].as_u64().unwrap();
    let digits = |text: &str| text.replace(',', "").contains(&format!("{parameters} parameters"));
    assert!(digits(&said.stderr), "{parameters} is not in {}", said.stderr);
    let layers = experiment["layers"].as_array().unwrap();
    let sum: u64 = layers.iter().map(|layer| layer["parameters"].as_u64().unwrap()).sum();
    assert_eq!(sum, parameters);
    // AdamW, a moving average, and micro-batches of 8 of 16 images.
    let memory = experiment["training_memory"].take();
    let bytes = |part: &str| memory[part].as_f64().unwrap();
    assert_eq!(bytes("weights"), 4.0 * parameters as f64);
    assert_eq!(bytes("optimizer"), 2.0 * bytes("weights"));
    assert_eq!([bytes("average"), bytes("gradients")], [bytes("weights"); 2]);
    assert_eq!(memory["micro_batch"], 8);
    let twice = inspect(&workspace, &["experiment.ron", "--batch", "32"])["training_memory"].take();
    assert_eq!(twice["activations"].as_f64().unwrap(), 2.0 * bytes("activations"));
    let table = vitral(workspace.path(), &["inspect", "run"]).succeeded().stdout;
    assert!(table.contains("blocks.0 to 1, each") && table.contains("  head "), "{table}");
    assert!(table.contains("training with 8 images at once"), "{table}");
}

#[test]
fn data_is_not_needed_where_the_classes_are_given_and_a_wrong_path_is_told() {
    let workspace = Workspace::new();
    std::fs::remove_file(workspace.join("train-images")).unwrap();
    let said = vitral(workspace.path(), &["inspect", "experiment.ron"]).failed_with(1).stderr;
    assert!(said.contains("`--classes` sets it as well"), "{said}");
    let found = inspect(&workspace, &["experiment.ron", "--classes", "7"]);
    assert_eq!(found["classes"], 7);
    let deeper = ["experiment.ron", "--classes", "7", "--set", "model.depth=3"];
    let deeper = inspect(&workspace, &deeper);
    assert!(deeper["parameters"].as_u64() > found["parameters"].as_u64());
    vitral(workspace.path(), &["inspect", "nothing"]).failed_with(1);
}
