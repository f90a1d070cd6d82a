use std::fs;

use super::*;
use image::RgbImage;
use tempfile::TempDir;

fn save(folder: &TempDir, path: &str, value: u8) {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(6, 4, image::Rgb([value; 3])).save(path).unwrap();
}

fn animals() -> TempDir {
    let folder = TempDir::new().unwrap();
    save(&folder, "dog/b.JPG", 10);
    save(&folder, "dog/deeper/a.png", 20);
    save(&folder, "cat/c.webp", 30);
    save(&folder, "cat/.hidden.png", 0);
    save(&folder, ".trash/x.png", 0);
    save(&folder, "stray.png", 0);
    fs::write(folder.path().join("cat/notes.txt"), "no image").unwrap();
    folder
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn finds_images_of_all_kinds_in_sorted_order() {
    let folder = animals();
    let source = ImageFolder::open(folder.path(), None).unwrap();
    assert_eq!(source.class_names(), ["cat", "dog"]);
    let found: Vec<_> = (0..source.len()).map(|i| (source.name(i), source.label(i))).collect();
    let expected = [("cat/c.webp", 0), ("dog/b.JPG", 1), ("dog/deeper/a.png", 1)];
    for ((name, label), (path, class)) in found.iter().zip(expected) {
        assert_eq!((Path::new(name), *label), (&*folder.path().join(path), class));
    }
    assert_eq!(found.len(), 3);
    for (index, value) in [(0, 30), (1, 10), (2, 20)] {
        let image = source.read(index).unwrap();
        assert_eq!((image.width(), image.height()), (6, 4));
        assert!(image.pixels().iter().all(|&pixel| pixel.abs_diff(value) <= 2));
    }
}

#[test]
fn what_is_not_read_is_counted_by_extension_and_named() {
    let folder = animals();
    for (number, extension) in ["jfif", "JPE", "jif"].into_iter().enumerate() {
        let path = folder.path().join(format!("dog/{number}.{extension}"));
        RgbImage::new(2, 2).save_with_format(path, image::ImageFormat::Jpeg).unwrap();
    }
    for name in ["cat/b1.bmp", "dog/deeper/b2.BMP", "cat/README"] {
        fs::write(folder.path().join(name), b"").unwrap();
    }
    let source = ImageFolder::open(folder.path(), None).unwrap();
    assert_eq!(source.len(), 6);
    assert_eq!(source.read(1).unwrap().width(), 2);
    let [classless, unread] = source.notes() else { panic!("{:?}", source.notes()) };
    assert!(classless.starts_with("1 image is in no class's folder"), "{classless}");
    assert!(classless.ends_with(": stray.png"), "{classless}");
    for part in ["4 files: 2 .bmp (", "1 .txt (cat/notes.txt)", "1 without an extension (cat/R"] {
        assert!(unread.contains(part), "{part}: {unread}");
    }
    assert!(!unread.contains(".hidden") && !unread.contains(".trash"), "{unread}");
}

#[test]
fn a_listed_class_without_images_is_told() {
    let folder = animals();
    fs::create_dir(folder.path().join("emu")).unwrap();
    let listed = names(&["cat", "dog", "emu"]);
    let source = ImageFolder::open(folder.path(), Some(&listed)).unwrap();
    assert!(source.notes().contains(&"without images: emu".into()), "{:?}", source.notes());
}

#[test]
fn listed_classes_decide_the_labels() {
    let folder = animals();
    let listed = names(&["emu", "dog", "cat"]);
    let source = ImageFolder::open(folder.path(), Some(&listed)).unwrap();
    assert_eq!(source.class_names(), listed);
    assert_eq!([0, 1, 2].map(|index| source.label(index)), [1, 1, 2]);
}

#[test]
fn a_folder_that_is_no_known_class_is_named() {
    let folder = animals();
    let error = ImageFolder::open(folder.path(), Some(&names(&["cat", "dogs"]))).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("`dog`") && message.contains("cat, dogs"), "{message}");
}

#[test]
fn missing_classes_and_images_are_explained() {
    let message = |folder: &Path| ImageFolder::open(folder, None).unwrap_err().to_string();
    let folder = TempDir::new().unwrap();
    assert!(message(folder.path()).contains("holds no classes"));
    fs::create_dir(folder.path().join("cat")).unwrap();
    let empty = message(folder.path());
    assert!(empty.contains("cat: holds no images (jpg, jpeg, jpe, "), "{empty}");
    fs::write(folder.path().join("cat/a.bmp"), b"BM").unwrap();
    let other = message(folder.path());
    assert!(other.ends_with("; not read: 1 file: 1 .bmp (cat/a.bmp)"), "{other}");
    assert!(message(&folder.path().join("nowhere")).contains("nowhere"));
}

#[test]
fn parts_of_a_data_set_are_not_classes() {
    let refused = |paths: &[&str], purpose: Purpose| {
        let folder = TempDir::new().unwrap();
        paths.iter().for_each(|path| save(&folder, path, 0));
        let opened = ImageFolder::open_with(folder.path(), Classes::Found, purpose);
        opened.err().map(|error| error.to_string())
    };
    let both = ["train/cat/a.png", "val/cat/a.png", "test/a.png"];
    for (purpose, wanted) in [(Purpose::Training, "train"), (Purpose::Validation, "val")] {
        let said = refused(&both, purpose).unwrap();
        assert!(said.contains("holds `test` and `train` and `val`"), "{said}");
        assert!(said.contains(&format!("/{wanted} (if")), "{said}");
    }
    assert!(refused(&["Train/a.png", "validation/a.png"], Purpose::Training).is_some());
    assert!(refused(&["train/cat/a.png"], Purpose::Training).is_some());
    for classes in
        [&["train/a.png", "bus/a.png"][..], &["train/a.png"], &["test/x/a.png", "b/a.png"]]
    {
        assert_eq!(refused(classes, Purpose::Training), None);
    }
    let folder = TempDir::new().unwrap();
    both.iter().for_each(|path| save(&folder, path, 0));
    let listed = names(&["train", "val", "test"]);
    assert_eq!(ImageFolder::open(folder.path(), Some(&listed)).unwrap().len(), 3);
}

#[test]
fn a_damaged_file_is_named() {
    let folder = animals();
    fs::write(folder.path().join("cat/d.png"), b"not a picture").unwrap();
    let source = ImageFolder::open(folder.path(), None).unwrap();
    let error = source.read(1).unwrap_err();
    assert!(error.name.ends_with("d.png") && error.reason.contains("not a JPEG"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_back_up_is_an_error() {
    let folder = animals();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("cat/up")).unwrap();
    let error = ImageFolder::open(folder.path(), None).unwrap_err();
    assert!(error.to_string().contains("link"), "{error}");
}
