//! `predict` on folders, patterns, lists, shards and standard input, into tables, folders and matrices.

use std::{fs, io::Cursor, path::Path};

use parquet::{file::reader::FileReader as _, record::RowAccessor as _};
use serde_json::Value;

use crate::support::{
    images::{Workspace, write_image_folder, write_jpeg_folder},
    program::{Finished, vitral, vitral_fed},
    root,
};

/// A workspace with a trained model, `run`, and two folders of images.
fn workspace() -> Workspace {
    let workspace = Workspace::new();
    vitral(workspace.path(), &["train", "experiment.ron", "--set", "train.steps=3"]).succeeded();
    write_image_folder(&workspace.join("photos"), 3);
    write_jpeg_folder(&workspace.join("others"), 1);
    workspace
}

fn predict(workspace: &Workspace, arguments: &[&str]) -> Finished {
    vitral(workspace.path(), &[&["predict", "run"], arguments].concat())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The most probable class of each image of a CSV, with its probability.
fn rows_of_csv(path: &Path) -> Vec<(String, String, f64)> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next().unwrap(),
        "image,class,class_index,probability,class_2,class_index_2,probability_2"
    );
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells.len(), 7, "{line}");
            (cells[0].to_owned(), cells[1].to_owned(), cells[3].parse().unwrap())
        })
        .collect()
}

#[test]
fn one_prediction_comes_in_every_format_and_damaged_images_are_named_and_counted() {
    let workspace = workspace();
    workspace.write("photos/class_1/broken.png", "no image");
    workspace.write("list.txt", "others/class_2/000.jpg\nmissing.png\n");
    let images = ["photos", "others/*/*.jpg", "--list", "list.txt", "-k", "2"];
    let printed = predict(&workspace, &[&images[..], &["--json"]].concat()).failed_with(1);
    for damaged in
        ["error: photos/class_1/broken.png: ", "error: missing.png: ", "left out 2 of 19"]
    {
        assert!(printed.stderr.contains(damaged), "{}", printed.stderr);
    }
    let printed = lines(&printed.stdout);
    let names: Vec<&str> = printed.iter().map(|line| line["image"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 17);
    assert_eq!(names[0], "photos/class_0/000.png");
    assert_eq!(
        names[12..],
        [
            "others/class_0/000.jpg",
            "others/class_1/000.jpg",
            "others/class_2/000.jpg",
            "others/class_3/000.jpg",
            "others/class_2/000.jpg",
        ]
    );

    let to = |name: &str, more: &[&str]| {
        let output = ["--output", name, "--allow-damaged"];
        let said = predict(&workspace, &[&images[..], &output, more].concat()).succeeded();
        assert!(said.stdout.lines().any(|line| line == name), "{}", said.stdout);
        workspace.join(name)
    };
    let csv = rows_of_csv(&to("all.csv", &["--batch", "5", "--embeddings", "all.npy"]));
    let jsonl = lines(&fs::read_to_string(to("all.jsonl", &[])).unwrap());
    let parquet = fs::File::open(to("all.parquet", &["--batch", "1"])).unwrap();
    let parquet = parquet::file::serialized_reader::SerializedFileReader::new(parquet).unwrap();
    let parquet: Vec<_> = parquet.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(jsonl, printed);
    assert_eq!([csv.len(), parquet.len()], [17, 17]);
    for ((line, csv), parquet) in printed.iter().zip(&csv).zip(&parquet) {
        let class = &line["classes"][0];
        assert_eq!(
            (&line["image"], &class["class"]),
            (&Value::from(&*csv.0), &Value::from(&*csv.1))
        );
        // Batches of other sizes may be summed in another order.
        let close = |value: f64| (value - class["probability"].as_f64().unwrap()).abs() < 1e-5;
        assert!(close(csv.2) && close(parquet.get_float(3).unwrap().into()), "{line}");
        assert_eq!(parquet.get_string(0).unwrap(), &csv.0);
        assert_eq!(parquet.get_int(2).unwrap(), class["index"].as_i64().unwrap() as i32);
    }
    // A row for each row, equal ones for the image that occurs twice.
    let matrix = fs::read(workspace.join("all.npy")).unwrap();
    let matrix = npyz::NpyFile::new(&matrix[..]).unwrap();
    assert_eq!(matrix.shape(), [17, 16]);
    let values: Vec<f32> = matrix.into_vec().unwrap();
    let row = |index: usize| &values[16 * index..16 * (index + 1)];
    let differ = |a: usize, b: usize| row(a).iter().zip(row(b)).any(|(a, b)| (a - b).abs() > 1e-4);
    assert!(!differ(14, 16) && differ(14, 15));
}

#[test]
fn standard_input_has_an_image_or_a_list() {
    let workspace = workspace();
    let fed = |bytes: &[u8]| {
        let said = vitral_fed(workspace.path(), &["predict", "run", "-", "--json"], bytes);
        lines(&said.succeeded().stdout)
    };
    let of_list = fed(b"photos/class_3/001.png\nphotos/class_0/000.png\n");
    assert_eq!(of_list[0]["image"], "photos/class_3/001.png");
    let mut of_image = fed(&fs::read(workspace.join("photos/class_3/001.png")).unwrap());
    assert_eq!(of_image[0]["image"], "-");
    let classes = |line: &mut Value| line["classes"].take();
    let (image, list) = (classes(&mut of_image[0]), &of_list[0]["classes"]);
    assert_eq!(image[0]["class"], list[0]["class"]);
    vitral_fed(workspace.path(), &["predict", "run", "-"], b"\n").failed_with(1);
}

#[test]
fn shards_and_experiments_are_images_too() {
    let workspace = workspace();
    let of = |images: &str| lines(&predict(&workspace, &[images, "--json"]).succeeded().stdout);
    assert_eq!(of("experiment.ron").len(), 37);
    vitral(
        workspace.path(),
        &["data", "cache", "experiment.ron", "--split", "val", "--out", "val.vcache"],
    )
    .succeeded();
    let cached = of("val.vcache");
    assert_eq!(cached[36]["image"], "val.vcache, image 36");
    assert_eq!(cached[36]["classes"], of("experiment.ron")[36]["classes"]);
    let parquet = root().join("tests/fixtures/sources/damaged.parquet");
    let said = predict(&workspace, &[parquet.to_str().unwrap(), "--json"]).failed_with(1);
    assert!(said.stderr.contains("damaged.parquet, row 50"), "{}", said.stderr);
    assert!(lines(&said.stdout).len() > 100, "{}", said.stderr);
}

#[test]
fn images_are_copied_into_a_new_folder_by_their_class() {
    let workspace = workspace();
    let sort = |more: &[&str]| {
        predict(
            &workspace,
            &[&["photos", "others", "--json", "--sort-into", "sorted"], more].concat(),
        )
    };
    let said = sort(&[]).succeeded();
    let mut expected = 0;
    for line in lines(
        &said.stdout.lines().filter(|line| line.starts_with('{')).collect::<Vec<_>>().join("\n"),
    ) {
        let image = line["image"].as_str().unwrap();
        let folder = workspace.join("sorted").join(line["classes"][0]["class"].as_str().unwrap());
        let bytes = fs::read(workspace.join(image)).unwrap();
        let copies = fs::read_dir(folder).unwrap().flatten();
        assert!(copies.into_iter().any(|copy| fs::read(copy.path()).unwrap() == bytes), "{image}");
        expected += 1;
    }
    let folders = fs::read_dir(workspace.join("sorted")).unwrap().flatten();
    let copies: usize = folders.map(|folder| fs::read_dir(folder.path()).unwrap().count()).sum();
    assert_eq!((expected, copies), (16, 16));
    // It is not filled a second time, and nothing is computed for a table that cannot be written.
    sort(&[]).failed_with(1);
    predict(&workspace, &["photos", "--output", "table.xls"]).failed_with(2);
    // Probabilities of an image that are all below 0.999 leave it without a class.
    fs::remove_dir_all(workspace.join("sorted")).unwrap();
    let said = sort(&["--threshold", "0.999"]).succeeded();
    assert!(
        said.stderr.contains("16 images are below the threshold in every class"),
        "{}",
        said.stderr
    );
    assert!(said.stdout.contains(r#""classes":[]"#), "{}", said.stdout);
}

#[test]
fn classes_whose_names_lead_elsewhere_stay_in_the_folder() {
    let workspace = Workspace::new();
    let mut png = Cursor::new(Vec::new());
    image::GrayImage::new(8, 8).write_to(&mut png, image::ImageFormat::Png).unwrap();
    fs::write(workspace.join("a.png"), png.into_inner()).unwrap();
    let classes = |set: &str, list: &str| {
        format!(
            r#"data.{set}=Idx(images: "{set}-images", labels: "{set}-labels", classes: {list})"#
        )
    };
    let list = r#"["../up", "..", "a/b", "c"]"#;
    let (train, val) = (classes("train", list), classes("val", list));
    let set = ["train", "experiment.ron", "--set", &train, "--set", &val, "--set", "train.steps=1"];
    vitral(workspace.path(), &set).succeeded();
    predict(&workspace, &["a.png", "--sort-into", "out/sorted"]).failed_with(1);
    fs::create_dir(workspace.join("out")).unwrap();
    predict(&workspace, &["a.png", "--sort-into", "out/sorted"]).succeeded();
    let names = |path: &str| -> Vec<String> {
        let entries = fs::read_dir(workspace.join(path)).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("out"), ["sorted"]);
    let folders = names("out/sorted");
    assert_eq!(folders.len(), 1);
    assert!(["_.._up", "_", "a_b", "c"].contains(&&*folders[0]), "{folders:?}");
}
