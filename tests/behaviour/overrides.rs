//! Changes on the command line: they have an effect, or are refused.

use std::fs;

use crate::support::{
    images::{VAL_IMAGES, Workspace, write_image_folder},
    program::{Finished, vitral},
};

fn trained() -> Workspace {
    let workspace = Workspace::new();
    vitral(workspace.path(), &["train", "experiment.ron", "--set", "train.steps=6"]).succeeded();
    workspace
}

fn eval(workspace: &Workspace, arguments: &[&str]) -> Finished {
    vitral(workspace.path(), &[&["eval", "run", "--json"], arguments].concat())
}

fn loss(said: Finished) -> f64 {
    let found: serde_json::Value = serde_json::from_str(&said.succeeded().stdout).unwrap();
    found["loss"].as_f64().unwrap()
}

#[test]
fn changes_that_eval_makes_nothing_of_are_refused() {
    let workspace = trained();
    for (set, field) in [
        ("model.pool=Mean", "model.pool"),
        ("model.image_size=128", "model.image_size"),
        ("model.mlp=GeluTanh", "model.mlp"),
        ("train.learning_rate=0.1", "train.learning_rate"),
        ("data.augment=[]", "data.augment"),
        ("output=\"elsewhere\"", "output"),
    ] {
        let said = eval(&workspace, &["--set", set]).failed_with(2).stderr;
        for words in [field, "effect", "data.val"] {
            assert!(said.contains(words), "{set}: {said}");
        }
    }
}

#[test]
fn changes_that_eval_can_make_are_made() {
    let workspace = trained();
    let plain = loss(eval(&workspace, &[]));
    for set in
        ["train.precision=BF16", "data.normalize=ImageNet", "model.token_merging=(r: Constant(4))"]
    {
        assert_ne!(loss(eval(&workspace, &["--set", set])), plain, "{set}");
    }
    for set in ["train.batch=5", "data.workers=1", "device=cpu"] {
        let found = loss(eval(&workspace, &["--set", set]));
        assert!((found - plain).abs() < 1e-5, "{set}: {found}, not {plain}");
    }
    let said = eval(&workspace, &["--set", "device=tpu"]).failed_with(2).stderr;
    assert!(said.contains("unknown device `tpu`"), "{said}");
}

#[test]
fn changes_that_a_resumed_run_makes_nothing_of_are_refused() {
    let workspace = trained();
    let before = fs::read_to_string(workspace.join("run/config.ron")).unwrap();
    for set in ["init=Fresh", "model.init=Timm"] {
        let said = vitral(workspace.path(), &["train", "--resume", "run", "--set", set]);
        let said = said.failed_with(2).stderr;
        assert!(said.contains("has no effect on a resumed run"), "{set}: {said}");
    }
    assert_eq!(fs::read_to_string(workspace.join("run/config.ron")).unwrap(), before);
}

#[test]
fn a_model_runs_on_the_device_of_its_experiment() {
    let workspace = trained();
    write_image_folder(&workspace.join("photos"), 1);
    let run = |arguments: &[&str]| vitral(workspace.path(), arguments);
    run(&["export", "run", "--format", "npz", "--out", "run.npz"]).succeeded();
    let set = ["--set", "device=\"cuda:7\""];
    let import = ["import", "run.npz", "--heads", "2", "--out", "model"];
    run(&[&import[..], &set].concat()).succeeded();
    let predict = ["predict", "model", "photos/class_0/000.png"];
    let said = run(&predict).failed_with(2).stderr;
    assert!(said.contains("cuda") && said.contains("--device cpu"), "{said}");
    run(&[&predict[..], &["--device", "cpu"]].concat()).succeeded();
    let said = run(&["eval", "model"]).failed_with(2).stderr;
    assert!(said.contains("cuda"), "{said}");
}

#[test]
fn eval_takes_other_images_by_their_place() {
    let workspace = trained();
    write_image_folder(&workspace.join("photos"), 3);
    for class in 0..4 {
        let folder = |name: String| workspace.join("photos").join(name);
        fs::rename(folder(format!("class_{class}")), folder(class.to_string())).unwrap();
    }
    let images = |arguments: &[&str]| {
        let said = eval(&workspace, arguments).succeeded().stdout;
        let found: serde_json::Value = serde_json::from_str(&said).unwrap();
        found["images"].as_u64().unwrap()
    };
    assert_eq!(images(&["--data", "photos"]), 12);
    assert_eq!(images(&["--data", "experiment.ron"]), VAL_IMAGES as u64);
    assert_eq!(images(&["--data", r#"Idx(images: "train-images", labels: "train-labels")"#]), 72);
    let said = eval(&workspace, &["--data", "nowhere"]).failed_with(1).stderr;
    assert!(said.contains("nowhere is not a data set"), "{said}");
    let twice = ["--data", "photos", "--set", "data.val=ImageFolder(path: \"photos\")"];
    let said = eval(&workspace, &twice).failed_with(1).stderr;
    assert!(said.contains("give only one"), "{said}");
}
