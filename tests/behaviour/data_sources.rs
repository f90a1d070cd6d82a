//! Runs on every kind of source: what happens when one image in a hundred is damaged, and what
//! `vitral data info` says of them.

use std::{
    fs::{self, File},
    path::Path,
};

use serde_json::Value;

use crate::support::{
    images::{Workspace, write_image_folder},
    program::{Finished, vitral},
    root,
};

/// Images to train with; two of them are damaged.
const IMAGES: usize = 200;

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    write_image_folder(&workspace.join("train"), IMAGES / 4);
    fs::write(workspace.join("train/class_1/004.png"), b"broken").unwrap();
    fs::write(workspace.join("train/class_3/031.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    write_shards(&workspace.join("train"), workspace.path());
    workspace
}

/// The images of a folder as two shards.
fn write_shards(images: &Path, folder: &Path) {
    for shard in 0..2 {
        let file = File::create(folder.join(format!("train-{shard:03}.tar"))).unwrap();
        let mut tar = tar::Builder::new(file);
        let mut add = |name: String, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content).unwrap();
        };
        for class in [shard * 2, shard * 2 + 1] {
            for number in 0..IMAGES / 4 {
                let image = images.join(format!("class_{class}/{number:03}.png"));
                add(format!("{class}/{number:03}.cls"), class.to_string().as_bytes());
                add(format!("{class}/{number:03}.png"), &fs::read(image).unwrap());
            }
        }
        tar.finish().unwrap();
    }
}

/// Trains one epoch on a source, which validates too.
fn train(workspace: &Workspace, source: &str, output: &str, more: &[&str]) -> Finished {
    let (train, val) = (format!("data.train={source}"), format!("data.val={source}"));
    let output = format!("output={output}");
    let sets = [&*train, &*val, &*output, "train.batch=20", "train.steps=10", "train.ema=None"];
    let mut arguments = vec!["train", "experiment.ron"];
    arguments.extend(sets.iter().chain(more).flat_map(|set| ["--set", set]));
    vitral(workspace.path(), &arguments)
}

/// With `Stop`, the run ends at the first damaged image; with `Skip`, it leaves out both, and says so of
/// these and of no others wherever it tells of its images.
fn check(workspace: &Workspace, name: &str, source: &str, damaged: [&str; 2]) {
    check_of(IMAGES - 2, workspace, name, source, damaged);
}

/// The same of a source of so many good images.
fn check_of(good: usize, workspace: &Workspace, name: &str, source: &str, damaged: [&str; 2]) {
    let run = format!("{name}-stop");
    let stopped = train(workspace, source, &run, &[]).failed_with(1);
    let names = |said: &str| damaged.map(|image| said.contains(image));
    assert!(names(&stopped.stderr).contains(&true), "{name}: {}", stopped.stderr);
    assert!(stopped.stderr.contains("with `data.on_error: Skip`"), "{name}: {}", stopped.stderr);
    assert!(!stopped.stdout.contains("trained"), "{name}: {}", stopped.stdout);
    assert!(lines(workspace, &run).iter().all(|line| line["kind"] != "eval"), "{name}");

    let run = format!("{name}-skip");
    let said = train(workspace, source, &run, &["data.on_error=Skip"]).succeeded();
    assert_eq!(names(&said.stderr), [true, true], "{name}: {}", said.stderr);
    // Each once, of the training images and of those of the first evaluation.
    let of_evaluation = said.stderr.matches("left out of the evaluation: ").count();
    let all = said.stderr.matches("left out ").count();
    assert_eq!((of_evaluation, all), (2, 4), "{name}: {}", said.stderr);
    assert!(said.stderr.contains("%  without 2 unreadable images"), "{name}: {}", said.stderr);
    let left_out = "2 training images (repeats counted) that could not be read";
    let validated = format!("of {good} validation images (2 more could not be read)");
    for words in [left_out, &validated] {
        assert!(said.stdout.contains(words), "{name}: {}", said.stdout);
    }
    let lines = lines(workspace, &run);
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    let left_out = |line: &&Value| line["left_out"].as_u64().unwrap();
    let noted = of("left_out");
    for image in damaged {
        let is_it =
            |line: &&&Value| format!("{}:", line["image"].as_str().unwrap()).contains(image);
        assert_eq!(noted.iter().filter(is_it).count(), 1, "{name}: {image}: {noted:?}");
    }
    let counts: Vec<_> = of("step").iter().map(left_out).collect();
    assert!(counts.is_sorted() && counts.last() == Some(&2), "{name}: {counts:?}");
    let evaluated = of("eval");
    assert!(!evaluated.is_empty(), "{name}");
    for line in evaluated {
        assert!(line["images"] == good && line["skipped"] == 2, "{name}: {line}");
    }
    vitral(workspace.path(), &["report", &run]).succeeded();
    let page = fs::read_to_string(workspace.join(&run).join("report.html")).unwrap();
    let evaluated = format!("{good} images (2 more could not be read)");
    for words in ["2 training images (repeats counted)", &evaluated] {
        assert!(page.contains(words), "{name}: {words} is not in the report");
    }
}

/// What a run has noted.
fn lines(workspace: &Workspace, run: &str) -> Vec<Value> {
    let metrics = fs::read_to_string(workspace.join(run).join("metrics.jsonl")).unwrap();
    metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_folder_with_damaged_images_stops_a_run_or_they_are_left_out() {
    let folder = r#"ImageFolder(path: "train")"#;
    check(&workspace(), "folder", folder, ["class_1/004.png", "class_3/031.png"]);
}

#[test]
fn shards_with_damaged_images_stop_a_run_or_they_are_left_out() {
    let workspace = workspace();
    let damaged = ["train-000.tar, 1/004.png", "train-001.tar, 3/031.png"];
    let shards = r#"WebDataset(shards: ["train-{000..001}.tar"])"#;
    check(&workspace, "shards", shards, damaged);
    let sequential = r#"WebDataset(shards: ["train-*.tar"], shuffle_buffer: 10)"#;
    check(&workspace, "sequential", sequential, damaged);
}

#[test]
fn parquet_files_with_damaged_images_stop_a_run_or_they_are_left_out() {
    let file = root().join("tests/fixtures/sources/damaged.parquet");
    let file = file.canonicalize().unwrap();
    let parquet = format!("Parquet(files: [{file:?}], shuffle_buffer: 20)");
    let damaged = ["damaged.parquet, row 50", "damaged.parquet, row 150"];
    check(&workspace(), "parquet", &parquet, damaged);
}

#[test]
fn caches_with_damaged_images_stop_a_run_or_they_are_left_out() {
    let workspace = workspace();
    let cache = |arguments: &[&str]| {
        let mut all = vec!["data", "cache", "train"];
        all.extend(arguments);
        vitral(workspace.path(), &all)
    };
    // Images that stay encoded are as damaged as they were.
    cache(&["--out", "encoded.vcache", "--encoded"]).succeeded();
    let damaged = ["encoded.vcache, image 54", "encoded.vcache, image 181"];
    check(&workspace, "encoded", r#"Cache(path: "encoded.vcache")"#, damaged);

    // Others are found when the cache is made.
    let said = cache(&["--out", "pixels.vcache"]).failed_with(1).stderr;
    assert!(said.contains("004.png") && !workspace.join("pixels.vcache").exists(), "{said}");
    fs::remove_file(workspace.join("pixels.vcache.journal")).unwrap();
    let said = cache(&["--out", "pixels.vcache", "--skip"]).succeeded();
    assert!(said.stdout.contains("198 images (198 as pixels"), "{}", said.stdout);
    // Bytes of the images 3 and 150, each of 64 at a multiple of 64.
    let mut bytes = fs::read(workspace.join("pixels.vcache")).unwrap();
    for image in [3, 150] {
        bytes[4096 + image * 64 + 9] ^= 1;
    }
    fs::write(workspace.join("pixels.vcache"), bytes).unwrap();
    let damaged = ["pixels.vcache, image 3:", "pixels.vcache, image 150:"];
    // Two were left out of it, and two of the others are damaged.
    check_of(IMAGES - 4, &workspace, "pixels", r#"Cache(path: "pixels.vcache")"#, damaged);
}

#[test]
fn info_counts_images_sizes_and_classes_and_draws_them() {
    let workspace = workspace();
    let info = |arguments: &[&str]| {
        let mut all = vec!["data", "info"];
        all.extend(arguments);
        vitral(workspace.path(), &all)
    };
    let shards = info(&["train-{000..001}.tar"]).failed_with(1).stdout;
    for part in ["200 images, 4 classes", "all 8 x 8; 0 RGB, 198 grey", "damaged   2", "25.00%"] {
        assert!(shards.contains(part), "{part}: {shards}");
    }
    let checked = info(&["train", "--check", "--json"]).failed_with(1).stdout;
    let checked: serde_json::Value = serde_json::from_str(&checked).unwrap();
    assert!(checked["images"] == 200 && checked["damaged_images"] == 2, "{checked}");
    assert!(checked["damaged"][0].as_str().unwrap().contains("004.png"), "{checked}");

    let said = info(&["experiment.ron", "--sheet", "sheet.png"]).succeeded().stdout;
    for part in ["train: 72 images, 4 classes", "val: 37 images", "from 9 to 10 images in a class"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let sheet = image::open(workspace.join("sheet.png")).unwrap().into_rgb8();
    // Rows of 4 training and 4 validation classes; in the first, the upper left quarter is bright.
    assert_eq!(sheet.height(), 8 * 124 + 12);
    let brightness = |x: u32, y: u32| sheet.get_pixel(x, y).0[0];
    assert!(brightness(12 + 20, 12 + 20) > 140, "{}", brightness(32, 32));
    assert!(brightness(12 + 90, 12 + 90) < 110, "{}", brightness(102, 102));

    let nothing = info(&["nothing.txt"]).failed_with(1).stderr;
    assert!(nothing.contains("not a data set") && nothing.contains(".parquet"), "{nothing}");
}
