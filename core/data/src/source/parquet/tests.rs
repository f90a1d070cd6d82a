use super::*;
use crate::source::fixtures;
use std::fs;
use tempfile::TempDir;

fn train(buffer: Option<usize>) -> Parquet {
    let files = [fixtures("train-*-of-00002.parquet")];
    Parquet::open(&files, None, None, None, buffer).unwrap()
}

/// The files were written by pyarrow.
#[test]
fn hugging_face_files_are_read_with_their_names() {
    for buffer in [None, Some(1)] {
        let source = train(buffer);
        assert_eq!(
            (source.len(), source.class_names()),
            (20, &["cat", "dog", "emu"].map(String::from)[..])
        );
        for index in [19, 0, 7, 12, 4, 5, 11, 7] {
            let image = source.read(index).unwrap();
            assert_eq!((image.width(), image.height()), (6, 4));
            assert!(image.pixels().iter().all(|&pixel| usize::from(pixel) == 10 * index));
            assert_eq!(source.label(index) as usize, index % 3);
        }
        assert!(source.name(13).ends_with("train-00001-of-00002.parquet, row 1"));
    }
}

#[test]
fn a_list_of_classes_orders_the_names_of_the_file() {
    let files = [fixtures("train-*-of-00002.parquet")];
    let open = |listed: [&str; 3]| {
        Parquet::open(&files, Some(&listed.map(String::from)), None, None, None)
    };
    let source = open(["emu", "cat", "dog"]).unwrap();
    assert_eq!([0, 1, 2].map(|index| source.label(index)), [1, 2, 0]);
    let error = open(["apple", "fig", "kiwi"]).err().unwrap().to_string();
    assert!(error.contains("row 0: its class `cat` is not among"), "{error}");
    assert!(error.contains("apple, fig, kiwi; those of the data: cat, dog, emu"), "{error}");
}

#[test]
fn row_groups_are_shuffled_as_many_as_the_buffer_holds() {
    let source = train(Some(8));
    let groups = source.groups().unwrap();
    assert_eq!((groups.count(), groups.together()), (5, 2));
    assert_eq!([groups.samples(1), groups.samples(2)], [5..10, 10..12]);
}

/// Pages of version 2, zstd, plain encoding, bytes without a struct, a missing image.
#[test]
fn other_columns_encodings_and_names_are_read() {
    let files = [fixtures("plain.parquet")];
    let source = Parquet::open(&files, None, Some("picture"), Some("kind"), None).unwrap();
    assert_eq!((source.len(), source.label(5)), (8, 2));
    assert_eq!(source.read(7).unwrap().pixels(), [70; 24]);
    let error = source.read(3).unwrap_err();
    assert!(error.name.ends_with("plain.parquet, row 3"), "{error}");
    assert!(error.reason.contains("no image bytes"), "{error}");
    let listed = ["emu", "cat"].map(String::from);
    let error = Parquet::open(&files, Some(&listed), Some("picture"), Some("kind"), None);
    let error = error.err().unwrap().to_string();
    assert!(error.contains("row 1: its class `dog`") && error.contains("emu, cat"), "{error}");
}

/// As pyarrow compresses and encodes them, in both versions of pages.
#[test]
fn every_compression_and_encoding_is_read() {
    let names = ["gzip", "brotli", "lz4", "delta-1.0", "delta-2.0", "delta-length-1.0"];
    for name in names.into_iter().chain(["delta-length-2.0"]) {
        let files = [fixtures(&format!("{name}.parquet"))];
        let source = Parquet::open(&files, None, None, None, None).unwrap();
        assert_eq!(source.len(), 30, "{name}");
        for index in 0..30 {
            assert_eq!(source.label(index) as usize, index % 3, "{name}");
            match source.read(index) {
                Ok(image) => assert_eq!(image.pixels()[0] as usize, 10 * index % 256, "{name}"),
                Err(error) => assert!(index == 3, "{name}: {error}"),
            }
        }
    }
}

#[test]
fn columns_that_are_not_there_are_named() {
    let error = Parquet::open(&[fixtures("plain.parquet")], None, None, None, None);
    let error = error.err().unwrap().to_string();
    assert!(error.contains("no column `image`") && error.contains("picture, kind"), "{error}");
    let files = [fixtures("train-00000-of-00002.parquet")];
    let error = Parquet::open(&files, None, Some("label"), None, None).err().unwrap();
    assert!(error.to_string().contains("INT64, not bytes of images"), "{error}");
}

#[test]
fn damaged_files_are_refused_or_left_out_and_told_of() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.parquet");
    let good = fixtures("train-00001-of-00002.parquet");
    let whole = fs::read(fixtures("train-00000-of-00002.parquet")).unwrap();
    let open = |bytes: &[u8], on_error| {
        fs::write(&path, bytes).unwrap();
        let (columns, files) = (Columns { image: None, label: None }, [path.clone(), good.clone()]);
        Parquet::open_with(&files, Classes::Found, columns, None, on_error)
    };
    for bytes in [&whole[..whole.len() - 9], &whole[..100], b"PAR1", b""] {
        let error = open(bytes, OnError::Stop).err().unwrap().to_string();
        for part in ["x.parquet: is not a whole Parquet file", "`data.on_error: Skip`"] {
            assert!(error.contains(part), "{error}");
        }
        let source = open(bytes, OnError::Skip).unwrap();
        assert_eq!((source.len(), source.damaged().len()), (8, 1));
        let note = &source.damaged()[0];
        assert!(note.contains("x.parquet: is not a whole Parquet file"), "{note}");
        assert_eq!(source.read(0).unwrap().pixels(), [120; 24]);
    }
    // In the first row group's images, which come first.
    let mut damaged = whole.clone();
    damaged[60..70].fill(0xee);
    let source = open(&damaged, OnError::Stop).unwrap();
    let error = source.read(0).unwrap_err().to_string();
    assert!(error.contains("x.parquet, row 0"), "{error}");
    assert_eq!(source.read(11).unwrap().pixels(), [110; 24]);
    // In the second row group's labels.
    let labels = {
        let file = File::open(fixtures("train-00000-of-00002.parquet")).unwrap();
        let columns = metadata_of(&file).ok().unwrap().row_group(1).columns().to_vec();
        let column = columns.into_iter().find(|column| column.column_path().string() == "label");
        column.unwrap().byte_range().0 as usize
    };
    let mut damaged = whole.clone();
    damaged[labels..labels + 20].fill(0xee);
    let error = open(&damaged, OnError::Stop).err().unwrap().to_string();
    assert!(error.contains("x.parquet: row group 1, of 5 rows: "), "{error}");
    let source = open(&damaged, OnError::Skip).unwrap();
    assert_eq!((source.len(), source.damaged().len()), (15, 1));
    assert!(source.name(5).ends_with("x.parquet, row 10"), "{}", source.name(5));
    assert_eq!(source.read(5).unwrap().pixels(), [100; 24]);
}

#[test]
fn a_row_without_a_label_is_named_whatever_happens_to_damage() {
    let files = [fixtures("plain.parquet")];
    let columns = Columns { image: Some("kind"), label: Some("picture") };
    let opened = Parquet::open_with(&files, Classes::Found, columns, None, OnError::Skip);
    let error = opened.err().unwrap().to_string();
    assert!(error.contains("plain.parquet: row 3: has no label"), "{error}");
}
