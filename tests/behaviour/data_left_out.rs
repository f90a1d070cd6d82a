//! Nothing is left out in silence: files that are not read, shards that are damaged, labels that are not
//! found, and what a run that failed leaves.

use std::{
    fs::{self, File},
    path::Path,
};

use serde_json::Value;

use crate::support::{
    images::{Workspace, write_image_folder},
    program::{Finished, vitral},
};

/// A training set of 40 images in 4 folders, `train`, with this experiment: the data, and 4 steps.
fn workspace(train: &str, more: &str) -> Workspace {
    let workspace = Workspace::new();
    write_image_folder(&workspace.join("train"), 10);
    let experiment = format!(
        r#"(
            output: "run", device: "cpu",
            model: (image_size: 8, patch_size: 4, width: 8, depth: 1, heads: 1, mlp_ratio: 1.0),
            data: (train: {train}, val: ImageFolder(path: "train"), workers: 1{more}),
            train: (steps: 4, batch: 10, learning_rate: 1e-3),
        )"#
    );
    workspace.write("left-out.ron", &experiment);
    workspace
}

const FOLDER: &str = r#"ImageFolder(path: "train")"#;

fn train(workspace: &Workspace) -> Finished {
    vitral(workspace.path(), &["train", "left-out.ron"])
}

fn info(workspace: &Workspace, arguments: &[&str]) -> Finished {
    let mut all = vec!["data", "info"];
    all.extend(arguments);
    vitral(workspace.path(), &all)
}

/// The images of `train` as a shard, each with such an entry beside it.
fn write_shard(
    workspace: &Workspace,
    name: &str,
    beside: impl Fn(usize) -> (&'static str, String),
) {
    let mut tar = tar::Builder::new(File::create(workspace.join(name)).unwrap());
    for index in 0..40 {
        let image = format!("train/class_{}/{:03}.png", index % 4, index / 4);
        let (extension, text) = beside(index % 4);
        let entries =
            [("png", fs::read(workspace.join(&image)).unwrap()), (extension, text.into_bytes())];
        for (extension, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, format!("{index:04}.{extension}"), &*content).unwrap();
        }
    }
    tar.finish().unwrap();
}

fn cut(path: &Path, bytes: u64) {
    File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn files_that_are_not_read_are_told_by_info_and_train() {
    let workspace = workspace(FOLDER, "");
    for number in 0..20 {
        fs::write(workspace.join(&format!("train/class_0/b{number}.bmp")), "BM").unwrap();
    }
    let photo = image::RgbImage::new(8, 8);
    let jfif = workspace.join("train/class_1/x.jfif");
    photo.save_with_format(jfif, image::ImageFormat::Jpeg).unwrap();
    photo.save(workspace.join("train/stray.png")).unwrap();
    let parts = ["20 files: 20 .bmp (class_0/b", "1 image is in no class's folder", ": stray.png"];

    let said = info(&workspace, &["train"]).succeeded().stdout;
    assert!(said.contains("41 images, 4 classes"), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part}: {said}");
    }
    let json = info(&workspace, &["train", "--json"]).succeeded().stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["notes"].as_array().unwrap().len(), 2, "{json}");
    let said = train(&workspace).succeeded().stderr;
    for part in parts {
        for set in ["data.train: ", "data.val: "] {
            let told = |line: &str| line.starts_with(set) && line.contains(part);
            assert!(said.lines().any(told), "{set}{part}: {said}");
        }
    }
}

#[test]
fn check_names_every_damaged_file_in_json_and_counts_them_in_text() {
    let workspace = workspace(FOLDER, "");
    for number in 0..9 {
        for class in [0, 2] {
            let path = format!("train/class_{class}/{number:03}.png");
            fs::write(workspace.join(&path), b"\x89PNG\r\n\x1a\nbroken").unwrap();
        }
    }
    let said = info(&workspace, &["train", "--check"]).failed_with(1).stdout;
    assert!(said.contains("damaged   18"), "{said}");
    assert!(said.contains("class_0/008.png: ") && said.contains("and 8 more (`--json`"), "{said}");
    let json = info(&workspace, &["train", "--check", "--json"]).failed_with(1).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    let named = json["damaged"].as_array().unwrap();
    assert!(json["damaged_images"] == 18 && named.len() == 18, "{json}");
    assert!(named[17].as_str().unwrap().contains("class_2/008.png"), "{json}");
}

#[test]
fn a_shard_that_is_cut_short_stops_a_run_or_the_rest_of_it_is_left_out() {
    let shards = r#"WebDataset(shards: ["a.tar", "b.tar"])"#;
    for on_error in ["Stop", "Skip"] {
        let workspace = workspace(shards, &format!(", on_error: {on_error}"));
        for name in ["a.tar", "b.tar"] {
            let label = |class| ("json", format!(r#"{{"label": "class_{class}"}}"#));
            write_shard(&workspace, name, label);
        }
        cut(&workspace.join("b.tar"), 20 * 2048 + 532);
        let said = train(&workspace);
        let problem = "b.tar is cut short: its entry 0020.png goes beyond the file's end";
        if on_error == "Stop" {
            let said = said.failed_with(1).stderr;
            assert!(said.contains(&problem.replace("b.tar is", "b.tar: is")), "{said}");
            assert!(said.contains("with `data.on_error: Skip`"), "{said}");
        } else {
            let said = said.succeeded().stderr;
            let told = format!("{problem}; only its first 20 samples are read");
            assert!(said.contains(&told) && said.contains("60 training"), "{said}");
        }
        let said = info(&workspace, &["b.tar"]).failed_with(1).stdout;
        assert!(said.contains("20 images") && said.contains(problem), "{said}");
    }
}

#[test]
fn labels_under_another_key_and_captions_are_asked_for() {
    let workspace = workspace(r#"WebDataset(shards: ["a.tar"])"#, "");
    write_shard(&workspace, "a.tar", |class| ("json", format!(r#"{{"class_id": {class}}}"#)));
    let said = info(&workspace, &["a.tar"]).failed_with(1).stderr;
    let parts = ["its json has no `label`, but class_id", "`label_key: \"class_id\"`"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    let shards = r#"WebDataset(shards: ["a.tar"], label_key: "class_id")"#;
    let said = info(&workspace, &[shards]).succeeded().stdout;
    assert!(said.contains("40 images, 4 classes"), "{said}");

    write_shard(&workspace, "a.tar", |class| ("txt", format!("a photo of number {class}")));
    let said = train(&workspace).failed_with(1).stderr;
    assert!(said.contains("its txt is taken for a caption"), "{said}");
    assert!(said.contains("`label: \"txt\"`"), "{said}");
    let said = info(&workspace, &[r#"WebDataset(shards: ["a.tar"], label: "txt")"#]);
    let said = said.succeeded().stdout;
    assert!(said.contains("a photo of number 3"), "{said}");
}

#[test]
fn a_run_that_failed_before_its_first_checkpoint_is_no_run_to_make_way_for() {
    let workspace = workspace(FOLDER, "");
    let damaged = workspace.join("train/class_0/003.png");
    let whole = fs::read(&damaged).unwrap();
    fs::write(&damaged, b"broken").unwrap();
    let said = train(&workspace).failed_with(1).stderr;
    assert!(said.contains("003.png") && said.contains("with `data.on_error: Skip`"), "{said}");
    fs::write(&damaged, whole).unwrap();
    fs::write(workspace.join("run/notes.txt"), "mine").unwrap();
    let said = train(&workspace).succeeded();
    assert!(
        !workspace.join("run-2").exists() && !said.stderr.contains("already"),
        "{}",
        said.stderr
    );
    assert_eq!(fs::read_to_string(workspace.join("run/notes.txt")).unwrap(), "mine");
    let metrics = fs::read_to_string(workspace.join("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("\"kind\":\"eval\"").count(), 1, "{metrics}");
    // One with a checkpoint is.
    let said = train(&workspace).succeeded().stderr;
    assert!(workspace.join("run-2").exists() && said.contains("already holds a run"), "{said}");
}

#[test]
fn an_image_that_is_too_thin_is_named_and_does_not_end_the_list() {
    let workspace = workspace(FOLDER, "");
    // With a shorter side of 256 pixels, the longer would be 4 million.
    let sets = ["--set", "model.image_size=224", "--set", "model.patch_size=112"];
    let train = || vitral(workspace.path(), &[&["train", "left-out.ron"], &sets[..]].concat());
    train().succeeded();
    image::RgbImage::new(1, 16_000).save(workspace.join("thin.png")).unwrap();
    let good = "train/class_0/000.png";
    let said = vitral(workspace.path(), &["predict", "run", "thin.png", good]).failed_with(1);
    let problem = "error: thin.png: ";
    assert!(said.stderr.contains(problem), "{}", said.stderr);
    assert!(said.stdout.starts_with(good), "{}", said.stdout);
    fs::rename(workspace.join("thin.png"), workspace.join("train/class_0/thin.png")).unwrap();
    let said = train().failed_with(1).stderr;
    assert!(said.contains("class_0/thin.png"), "{said}");
    let said = vitral(workspace.path(), &["eval", "run", "--set", "data.on_error=Skip"]);
    let said = said.succeeded().stdout;
    assert!(said.contains("left out (unreadable)  1") && said.contains("thin.png: "), "{said}");
}

#[test]
fn a_contact_sheet_is_what_its_name_says() {
    let workspace = workspace(FOLDER, "");
    for (name, start) in [("sheet.jpg", &b"\xff\xd8\xff"[..]), ("sheet.PNG", b"\x89PNG")] {
        info(&workspace, &["train", "--sheet", name]).succeeded();
        assert!(fs::read(workspace.join(name)).unwrap().starts_with(start), "{name}");
    }
    let said = info(&workspace, &["train", "--sheet", "sheet.bmp"]).failed_with(1).stderr;
    assert!(
        said.contains("sheet.bmp: a contact sheet can be a .png, .jpg or .webp file"),
        "{said}"
    );
}
