use super::*;
use crate::source::fixtures;
use std::fs;
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
fn what_is_wrong_in_a_shard_is_named() {
    for (entries, reason) in [
        (&[("a.png", &b"x"[..])][..], "sample a has an image but no class"),
        (&[("a.png", b"x"), ("a.jpg", b"x"), ("a.cls", b"0")], "a has two images"),
        (&[("a.png", b"x"), ("a.cls", b"cat")], "a.cls: holds \"cat\""),
        (&[("a.png", b"x"), ("a.json", b"{")], "a.json: is not JSON"),
        (&[("a.png", b"x"), ("a.json", b"{\"label\": 0.5}")], "neither a whole number"),
        (&[("a.png", b"x"), ("a.txt", b" ")], "a.txt: is empty"),
        (&[("a.cls", b"0")], "holds no samples"),
        (&[("a.png", b"x"), ("a.cls", b"-3")], "its class -3"),
    ] {
        let error = message(entries);
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn shards_that_are_cut_short_compressed_or_no_tar_are_refused() {
    let folder = TempDir::new().unwrap();
    let whole = fs::read(fixtures("numbers-000000.tar")).unwrap();
    let path = folder.path().join("x.tar");
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let shards = std::slice::from_ref(&path);
        WebDataset::open(shards, None, "label", None).err().unwrap().to_string()
    };
    assert!(refused(&whole[..1546]).contains("cut short"));
    assert!(refused(&whole[..700]).contains("x.tar: "));
    assert!(refused(b"\x1f\x8b\x08\0").contains("decompress"));
    assert!(refused(&[7; 4096]).contains("is not a whole tar file"));
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
