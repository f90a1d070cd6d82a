//! Classes are names and never positions: wherever two sets of classes meet, they are matched by name, or
//! refused with both shown.

use std::{
    fs::{self, File},
    path::Path,
};

use image::{GrayImage, Luma};
use serde_json::Value;
use tempfile::TempDir;
use vitral_interchange::{Hints, Pretrained};
use vitral_train::open_pretrained;

use crate::support::program::{Finished, vitral};

/// An image of a kind that a tiny model learns within a few steps: one of 16 patches is bright.
fn picture(kind: u32, number: u32) -> GrayImage {
    GrayImage::from_fn(8, 8, |x, y| {
        Luma([if y / 2 * 4 + x / 2 == kind { 220 + number as u8 } else { 20 + number as u8 }])
    })
}

/// Folders of images, each of its own kind.
fn write_folders(folder: &Path, classes: &[(&str, u32)], images: u32) {
    for (name, kind) in classes {
        fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..images {
            picture(*kind, number).save(folder.join(name).join(format!("{number}.png"))).unwrap();
        }
    }
}

const ANIMALS: [(&str, u32); 3] = [("cat", 0), ("dog", 5), ("emu", 10)];

/// A folder with an experiment, and images of these classes.
fn workspace(classes: &[(&str, u32)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    write_folders(&folder.path().join("train"), classes, 6);
    write_folders(&folder.path().join("val"), classes, 2);
    let experiment = r#"(
        output: "run",
        device: "cpu",
        model: (image_size: 8, channels: 1, patch_size: 2, width: 32, depth: 1, heads: 2, mlp_ratio: 2.0),
        data: (train: ImageFolder(path: "train"), val: ImageFolder(path: "val"), workers: 1),
        train: (steps: 60, batch: 12, learning_rate: 5e-3, warmup_steps: 5),
    )"#;
    fs::write(folder.path().join("experiment.ron"), experiment).unwrap();
    folder
}

/// The workspace's classes in another order than their names have.
const OTHER_ORDER: &str =
    r#"data.train=ImageFolder(path: "train", classes: ["emu", "cat", "dog"])"#;

fn train(folder: &TempDir, set: &[&str]) -> Finished {
    let set = set.iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<&str> = ["train", "experiment.ron"].into_iter().chain(set).collect();
    vitral(folder.path(), &arguments)
}

/// What `eval` finds, and what it says on the way.
fn eval(folder: &TempDir, model: &str, set: &[&str]) -> (Value, String) {
    let set = set.iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<&str> = ["eval", model, "--json"].into_iter().chain(set).collect();
    let said = vitral(folder.path(), &arguments).succeeded();
    (serde_json::from_str(&said.stdout).unwrap(), said.stderr)
}

fn open(folder: &TempDir, model: &str) -> Pretrained {
    open_pretrained(&folder.path().join(model), &Hints::default()).unwrap()
}

/// `data.val` with the path written out.
fn val_set(folder: &TempDir, name: &str) -> String {
    format!("data.val=ImageFolder(path: {:?})", folder.path().join(name).display().to_string())
}

#[test]
fn evaluation_counts_by_name_in_whatever_order_the_model_has_its_classes() {
    let folder = workspace(&ANIMALS);
    let said = train(&folder, &[OTHER_ORDER]).succeeded();
    assert!(said.stderr.contains("3 classes: emu, cat, dog"), "{}", said.stderr);
    assert!(said.stdout.contains("100.00% of 6 validation images"), "{}", said.stdout);
    // The checkpoint has the names, so the training images are not needed.
    fs::rename(folder.path().join("train"), folder.path().join("elsewhere")).unwrap();
    let val = val_set(&folder, "val");
    vitral(folder.path(), &["export", "run", "--format", "timm", "--out", "timm"]).succeeded();
    let imported = vitral(folder.path(), &["import", "timm", "--out", "imported"]).succeeded();
    assert!(imported.stdout.contains("3 classes (emu, cat, dog)"), "{}", imported.stdout);
    for (model, set) in [("run", &[][..]), ("run", &[&*val][..]), ("imported", &[&*val][..])] {
        let (found, _) = eval(&folder, model, set);
        assert_eq!(found["top1"], 1.0, "{model}: {found}");
        let names: Vec<&Value> =
            found["classes"].as_array().unwrap().iter().map(|class| &class["name"]).collect();
        assert_eq!(names, ["emu", "cat", "dog"]);
    }
    let predicted =
        vitral(folder.path(), &["predict", "imported", "val/cat/0.png", "--top", "1"]).succeeded();
    assert!(predicted.stdout.contains("%  cat"), "{}", predicted.stdout);
    // A class that the model does not know is named, with both lists.
    write_folders(&folder.path().join("more"), &[("cat", 0), ("fox", 3)], 1);
    let more = val_set(&folder, "more");
    let said = vitral(folder.path(), &["eval", "run", "--set", &more]).failed_with(1).stderr;
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("lacks: fox"), "{said}");
    assert!(said.contains("emu, cat, dog") && said.contains("cat, fox"), "{said}");
}

#[test]
fn an_initial_head_follows_the_names_of_its_classes() {
    let folder = workspace(&ANIMALS);
    train(&folder, &[OTHER_ORDER, "output=\"before\""]).succeeded();
    let start = |output: &str, set: &[&str]| {
        let output = format!("output={output:?}");
        let init = r#"init=Pretrained(path: "before/last")"#;
        let base = [init, "train.learning_rate=0", "train.steps=1", &*output];
        train(&folder, &[&base[..], set].concat()).succeeded()
    };
    let said = start("moved", &[]);
    assert!(said.stderr.contains("0 are kept, 3 moved and 0 new"), "{}", said.stderr);
    assert!(said.stdout.contains("100.00% of 6 validation images"), "{}", said.stdout);
    let said = start("same", &[OTHER_ORDER]);
    assert!(said.stderr.contains("3 are kept, 0 moved and 0 new"), "{}", said.stderr);

    for split in ["train", "val"] {
        write_folders(&folder.path().join(split), &[("cow", 3)], 6);
        fs::remove_dir_all(folder.path().join(split).join("emu")).unwrap();
    }
    let said = start("other", &["model.init=Timm"]);
    for words in ["1 are kept, 1 moved and 1 new (cow)", "1 of the initial model's are left out"] {
        assert!(!said.stderr.is_empty() && said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    let (before, after) = (open(&folder, "before/last"), open(&folder, "other/last"));
    assert_eq!(after.class_names, ["cat", "cow", "dog"]);
    let column = |model: &Pretrained, class: usize| -> Vec<f32> {
        let head = &model.tensors["head.weight"];
        head.values.chunks(head.shape[1]).map(|row| row[class]).collect()
    };
    assert_eq!(column(&after, 0), column(&before, 1));
    assert_eq!(column(&after, 2), column(&before, 2));
    // A new class starts as a new head does; timm's is not zero, but small.
    let new = column(&after, 1);
    assert!(new.iter().all(|weight| weight.abs() < 0.2) && new.iter().any(|weight| *weight != 0.0));
}

#[test]
fn an_initial_head_that_knows_no_class_or_has_no_names_is_told() {
    let folder = workspace(&ANIMALS);
    train(&folder, &["train.steps=1", "output=\"before\""]).succeeded();
    let fruit = workspace(&[("apple", 1), ("fig", 6), ("kiwi", 11)]);
    let init = |model: &str| {
        let path = folder.path().join(model).display().to_string();
        let init = format!("init=Pretrained(path: {path:?})");
        train(&fruit, &[&init, "train.steps=1"]).succeeded().stderr
    };
    let said = init("before");
    assert!(said.contains("knows none of the classes (apple, fig, kiwi)"), "{said}");
    assert!(said.contains("(cat, dog, emu): the head starts afresh"), "{said}");
    let export = ["export", "before", "--format", "npz", "--out", "before.npz"];
    let said = vitral(folder.path(), &export).succeeded().stdout;
    assert!(said.contains("no place for the names of the classes"), "{said}");
    let said = init("before.npz");
    assert!(said.contains("kept by position: its class 0 is taken for `apple`"), "{said}");
    let nameless = ["import", "before.npz", "--out", "nameless"];
    let said = vitral(folder.path(), &nameless).succeeded().stdout;
    assert!(said.contains("3 classes (without names)"), "{said}");
    let (_, said) = eval(&folder, "nameless", &[&val_set(&folder, "val")]);
    assert!(said.contains("matched by position: its class 0 is taken for `cat`"), "{said}");
}

#[test]
fn folders_that_are_numbers_are_matched_with_integer_labels_by_value() {
    let names: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    let numbers: Vec<(&str, u32)> = names.iter().map(String::as_str).zip(0..).collect();
    let folder = workspace(&numbers);
    let mut tar = tar::Builder::new(File::create(folder.path().join("val.tar")).unwrap());
    let mut add = |name: String, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content).unwrap();
    };
    for (name, _) in &numbers {
        let image = fs::read(folder.path().join(format!("val/{name}/0.png"))).unwrap();
        add(format!("{name}.png"), &image);
        add(format!("{name}.cls"), name.as_bytes());
    }
    tar.finish().unwrap();
    let shards = r#"data.val=WebDataset(shards: ["val.tar"])"#;
    let said = train(&folder, &[shards, "train.steps=150"]).succeeded();
    assert!(said.stdout.contains("100.00% of 12 validation images"), "{}", said.stdout);
    // Numbers and words have nothing in common.
    let words = workspace(&ANIMALS);
    fs::copy(folder.path().join("val.tar"), words.path().join("val.tar")).unwrap();
    let said = train(&words, &[shards]).failed_with(1).stderr;
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("cat, dog, emu; of the validation data: 0, 1, 2"), "{said}");
}

#[test]
fn train_and_val_are_not_classes_and_one_class_is_a_warning() {
    let folder = workspace(&ANIMALS);
    let parts = folder.path().display().to_string();
    let said = vitral(folder.path(), &["data", "info", &parts]).failed_with(1).stderr;
    assert!(said.contains("`train` and `val`") && said.contains("/train"), "{said}");
    let set = [r#"data.train=ImageFolder(path: ".")"#];
    let said = train(&folder, &set).failed_with(1).stderr;
    assert!(said.contains("`train` and `val`"), "{said}");
    assert!(!folder.path().join("run").exists());

    let one = workspace(&ANIMALS[..1]);
    let said = train(&one, &["train.steps=1"]).succeeded().stderr;
    assert!(said.contains("1 class: cat") && said.contains("only one class, `cat`"), "{said}");
    let said = vitral(one.path(), &["data", "info", "train"]).succeeded().stdout;
    assert!(said.contains("only one class"), "{said}");
}

#[test]
fn a_resumed_run_keeps_the_order_of_its_classes() {
    let folder = workspace(&ANIMALS);
    train(&folder, &[OTHER_ORDER, "train.steps=30"]).succeeded();
    let train_set = format!(
        "data.train=ImageFolder(path: {:?})",
        folder.path().join("train").display().to_string()
    );
    let resume = ["train", "--resume", "run", "--set", &train_set, "--set", "train.steps=60"];
    let said = vitral(folder.path(), &resume).succeeded();
    assert!(said.stderr.contains("3 classes: emu, cat, dog"), "{}", said.stderr);
    assert!(said.stdout.contains("100.00% of 6 validation images"), "{}", said.stdout);
    fs::remove_dir_all(folder.path().join("train/dog")).unwrap();
    fs::remove_dir_all(folder.path().join("val/dog")).unwrap();
    let resume = ["train", "--resume", "run", "--set", &train_set, "--set", "train.steps=70"];
    let said = vitral(folder.path(), &resume).failed_with(1).stderr;
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("lacks classes of the run: dog"), "{said}");
}

#[test]
fn a_model_may_have_more_classes_than_the_data_names() {
    let folder = workspace(&ANIMALS);
    train(&folder, &["model.classes=5"]).succeeded();
    let (found, _) = eval(&folder, "run", &[]);
    assert_eq!((&found["top1"], found["classes"].as_array().unwrap().len()), (&1.0.into(), 3));
    assert_eq!(open(&folder, "run").class_names, ["cat", "dog", "emu", "3", "4"]);
    vitral(folder.path(), &["export", "run", "--format", "onnx", "--out", "run.onnx"]).succeeded();
}

#[test]
fn classes_that_no_image_is_of_are_a_warning() {
    let folder = workspace(&ANIMALS);
    let said = |classes| train(&folder, &["train.steps=1", classes]).succeeded().stderr;
    let more = said("model.classes=5");
    assert!(more.contains("the model has 5 classes and the data 3"), "{more}");
    assert!(!said("model.classes=3").contains("no image is of"));
}
