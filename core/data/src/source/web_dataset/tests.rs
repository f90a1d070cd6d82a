use super::*;
use crate::source::fixtures;
use std::fs::{self, File};
use tempfile::TempDir;

fn open(shards: &str, buffer: Option<usize>) -> Result<WebDataset, DataError> {
    WebDataset::open(&[fixtures(shards)], None, "label", buffer)
}

fn shard(entries: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("shard.tar");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.finish().unwrap();
    (folder, path)
}

fn message(entries: &[(&str, &[u8])]) -> String {
    let (_folder, path) = shard(entries);
    let error = WebDataset::open(&[path], None, "label", None).err().unwrap().to_string();
    assert!(error.contains("shard.tar"), "{error}");
    error
}

/// Opens a shard with the settings of an experiment, and leaves out what is damaged.
fn open_with(entries: &[(&str, &[u8])], parts: Parts<'_>) -> Result<WebDataset, DataError> {
    let (_folder, path) = shard(entries);
    WebDataset::open_with(&[path], Classes::Found, parts, None, OnError::Skip)
}

fn found() -> Parts<'static> {
    Parts { image: None, label: None, label_key: "label", named_in_text: false }
}

fn names(source: &WebDataset) -> Vec<&str> {
    source.samples.iter().map(|sample| &*sample.name).collect()
}

/// The shards were written by Python's tarfile.
#[test]
fn samples_are_found_in_all_shards_and_read_in_any_order() {
    for buffer in [None, Some(1), Some(3), Some(1000)] {
        let source = open("numbers-{000000..000001}.tar", buffer).unwrap();
        assert_eq!(
            (source.len(), source.class_names()),
            (7, &super::super::matching::numbered(3)[..])
        );
        for index in [6, 0, 3, 2, 5, 1, 4, 4] {
            let image = source.read(index).unwrap();
            assert_eq!((image.width(), image.height()), (6, 4));
            assert!(image.pixels().iter().all(|&pixel| usize::from(pixel) == 10 * index));
            assert_eq!(source.label(index) as usize, index % 3);
        }
        let name = source.name(5);
        assert!(name.ends_with("numbers-000001.tar, train/0005.PNG"), "{name}");
        assert_eq!(source.groups().is_some(), buffer.is_some());
    }
}

#[test]
fn shards_are_read_in_pieces_that_end_with_them() {
    let source = open("numbers-*.tar", Some(1)).unwrap();
    let groups = source.groups().unwrap();
    assert_eq!((groups.count(), groups.together()), (2, 1));
    assert_eq!([groups.samples(0), groups.samples(1)], [0..4, 4..7]);
}

#[test]
fn classes_come_from_json_or_text_too() {
    let labels = |source: &WebDataset| (0..5).map(|i| source.label(i)).collect::<Vec<_>>();
    let source = WebDataset::open(&[fixtures("json.tar")], None, "kind", None).unwrap();
    assert_eq!((labels(&source), source.class_names()[2].as_str()), (vec![0, 1, 2, 0, 1], "emu"));
    let listed = ["emu", "dog", "cat"].map(String::from);
    let source = WebDataset::open(&[fixtures("text.tar")], Some(&listed), "label", None).unwrap();
    assert_eq!((labels(&source), source.class_names()), (vec![2, 1, 0, 2, 1], &listed[..]));
}

#[test]
fn captions_are_no_classes_unless_they_are_said_to_be() {
    let text = |label| {
        let parts = Parts { label, ..found() };
        WebDataset::open_with(&[fixtures("text.tar")], Classes::Found, parts, None, OnError::Stop)
    };
    let error = text(None).err().unwrap().to_string();
    let parts = ["sample 0 has an image but no class", "taken for a caption", "`label: \"txt\"`"];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    let source = text(Some("txt")).unwrap();
    assert_eq!(source.class_names(), ["cat", "dog", "emu"]);
    assert!(source.notes().is_empty());
    // Beside a class they are counted.
    let source = WebDataset::open(&[fixtures("json.tar")], None, "kind", None).unwrap();
    let [note] = source.notes() else { panic!("{:?}", source.notes()) };
    for part in ["5 entries: 5 .txt (0.txt, ...)", "taken for captions"] {
        assert!(note.contains(part), "{part}: {note}");
    }
}

#[test]
fn labels_in_json_are_under_the_key_that_is_set() {
    let entries: &[(&str, &[u8])] =
        &[("a.png", b"x"), ("a.json", br#"{"class_id": 1, "score": 0.5, "at": {"kind": "cat"}}"#)];
    let error = message(entries);
    for part in ["no `label`, but at.kind, class_id, score;", "`label_key: \"at.kind\"`"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let with = |label_key| open_with(entries, Parts { label_key, ..found() }).unwrap();
    assert_eq!(with("class_id").label(0), 1);
    assert_eq!(with("at.kind").class_names(), ["cat"]);
}

#[test]
fn extensions_are_what_follows_the_first_dot() {
    // The only image, whose extension has a dot; and one of its own kind, which the others are beside.
    let compound: &[(&str, &[u8])] =
        &[("f.1/a.input.jpg", b"x"), ("f.1/a.target.cls", b"2"), ("f.1/a.seg.npy", b"")];
    let source = open_with(compound, found()).unwrap();
    assert_eq!((names(&source), source.label(0)), (vec!["f.1/a.input.jpg"], 2));
    assert!(
        source.notes()[0].contains("1 entry: 1 .seg.npy (f.1/a.seg.npy)"),
        "{:?}",
        source.notes()
    );
    let plain: &[(&str, &[u8])] =
        &[("a.seg.png", b"x"), ("a.JPG", b"x"), ("a.depth.png", b"x"), ("a.cls", b"0")];
    assert_eq!(names(&open_with(plain, found()).unwrap()), ["a.JPG"]);
    // Where nothing decides, a setting does.
    let several: &[(&str, &[u8])] =
        &[("a.img.jpg", b"x"), ("a.seg.png", b"x"), ("a.cls", b"0"), ("a.fine.cls", b"1")];
    let error = message(several);
    let parts = ["two images, img.jpg and seg.png", "`image: \"img.jpg\"`"];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    let chosen = Parts { image: Some("seg.png"), label: Some("fine.cls"), ..found() };
    let source = open_with(several, chosen).unwrap();
    assert_eq!((names(&source), source.label(0)), (vec!["a.seg.png"], 1));
    let twice: &[(&str, &[u8])] = &[("a.png", b"x"), ("a.x.cls", b"0"), ("a.y.cls", b"1")];
    assert!(message(twice).contains("`label: \"x.cls\"` chooses one"), "{}", message(twice));
}

#[test]
fn samples_whose_parts_lie_apart_are_put_together() {
    let apart: &[(&str, &[u8])] = &[
        ("b.cls", b"1"),
        ("a.cls", b"0"),
        ("a.png", b"first"),
        ("c.png", b"second"),
        ("b.png", b"third"),
        ("c.cls", b"2"),
    ];
    let (_folder, path) = shard(apart);
    for buffer in [None, Some(2)] {
        let source = WebDataset::open(std::slice::from_ref(&path), None, "label", buffer).unwrap();
        assert_eq!(names(&source), ["a.png", "c.png", "b.png"]);
        assert_eq!([0, 1, 2].map(|index| source.label(index)), [0, 2, 1]);
        let mut bytes = Vec::new();
        source.load_bytes(2, &mut bytes).unwrap();
        assert_eq!(bytes, b"third");
    }
}

#[test]
fn keys_that_repeat_are_samples_of_their_own() {
    let entries: &[(&str, &[u8])] =
        &[("a.cls", b"0"), ("a.png", b"x"), ("a.cls", b"1"), ("a.png", b"y"), ("b.cls", b"2")];
    let source = open_with(&[entries, &[("b.png", b"z")]].concat(), found()).unwrap();
    assert_eq!(names(&source), ["a.png", "a.png", "b.png"]);
    assert_eq!([0, 1, 2].map(|index| source.label(index)), [0, 1, 2]);
}

#[test]
fn what_has_a_class_and_no_image_is_counted() {
    let entries: &[(&str, &[u8])] = &[
        ("a.png", b"x"),
        ("a.cls", b"0"),
        ("b.bmp", b"x"),
        ("b.cls", b"0"),
        ("__x__/c.png", b"x"),
    ];
    let source = open_with(entries, found()).unwrap();
    assert_eq!(source.len(), 1);
    let [imageless, unread] = source.notes() else { panic!("{:?}", source.notes()) };
    assert!(imageless.starts_with("1 sample has a class and no image"), "{imageless}");
    assert!(unread.contains("1 entry: 1 .bmp (b.bmp)"), "{unread}");
}

#[test]
fn what_is_wrong_in_a_shard_is_named() {
    for (entries, reason) in [
        (&[("a.png", &b"x"[..])][..], "sample a has an image but no class"),
        (&[("a.png", b"x"), ("a.jpg", b"x"), ("a.cls", b"0")], "a has two images, png and jpg"),
        (&[("a.png", b"x"), ("a.id", b"0")], "it has: id. `label` says which"),
        (&[("a.png", b"x"), ("a.cls", b"cat")], "a.cls: holds \"cat\""),
        (&[("a.png", b"x"), ("a.json", b"{")], "a.json: is not JSON"),
        (&[("a.png", b"x"), ("a.json", b"{\"label\": 0.5}")], "neither a whole number"),
        (&[("a.cls", b"0")], "holds no samples"),
        (&[("a.png", b"x"), ("a.cls", b"-3")], "its class -3"),
    ] {
        let error = message(entries);
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn damaged_shards_are_refused_or_read_as_far_as_they_go() {
    let folder = TempDir::new().unwrap();
    let whole = fs::read(fixtures("numbers-000000.tar")).unwrap();
    let path = folder.path().join("x.tar");
    let open = |bytes: &[u8], on_error| {
        fs::write(&path, bytes).unwrap();
        let shards = [path.clone(), fixtures("numbers-000001.tar")];
        WebDataset::open_with(&shards, Classes::Found, found(), None, on_error)
    };
    let third = open(&whole, OnError::Stop).unwrap().samples[2].offset as usize;
    let mut flipped = whole.clone();
    flipped[third - 300] ^= 1;
    for (bytes, problem, left) in [
        (&whole[..third + 5], "x.tar: is cut short: its entry a-folder", 2),
        (&flipped[..], "x.tar: is not a whole tar file", 2),
        // Before the class of the third.
        (&whole[..third + 512], "x.tar: is cut short: it ends within a sample", 2),
        (&[7; 4096], "x.tar: is not a whole tar file", 0),
    ] {
        let error = open(bytes, OnError::Stop).err().unwrap().to_string();
        assert!(error.contains(problem) && error.contains("`data.on_error: Skip`"), "{error}");
        let source = open(bytes, OnError::Skip).unwrap();
        assert_eq!(source.len(), left + 3, "{problem}");
        let note = source.damaged()[0].replace("x.tar is", "x.tar: is");
        assert!(note.contains(problem), "{note}");
        assert!(note.ends_with(&format!("only its first {left} samples are read")), "{note}");
    }
    // Between two samples.
    let source = open(&whole[..third + 2560], OnError::Stop).unwrap();
    assert!(source.notes()[0].contains("without a tar file's last block"), "{:?}", source.notes());

    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        WebDataset::open(std::slice::from_ref(&path), None, "label", None)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(refused(b"\x1f\x8b\x08\0").contains("decompress"));
    assert!(refused(b"").contains("holds no samples"));
}

/// Made lossy, their names would be one.
#[cfg(unix)]
#[test]
fn samples_whose_names_are_not_unicode_stay_apart() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("shard.tar");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    for (name, bytes) in [
        (&b"\xe4.png"[..], &b"?"[..]),
        (b"\xe4.cls", b"0"),
        (b"\xf6.png", b"?"),
        (b"\xf6.cls", b"1"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, OsStr::from_bytes(name), bytes).unwrap();
    }
    builder.finish().unwrap();
    let source = WebDataset::open(&[path], None, "label", None).unwrap();
    assert_eq!([0, 1].map(|index| source.label(index)), [0, 1]);
    assert!(source.name(1).ends_with(r"shard.tar, \xf6.png"), "{}", source.name(1));
}
