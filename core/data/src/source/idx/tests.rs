use super::*;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;
use tempfile::TempDir;

fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Opens files, from which images are read both in memory and where they are. Errors are the same.
fn open_both(
    images: &[u8],
    labels: &[u8],
    classes: Option<&[String]>,
) -> Result<[Idx; 2], DataError> {
    let folder = TempDir::new().unwrap();
    let (image_path, label_path) = (folder.path().join("images"), folder.path().join("labels"));
    std::fs::write(&image_path, images).unwrap();
    std::fs::write(&label_path, labels).unwrap();
    let [held, in_file] = [HELD, 0].map(|held| {
        let classes = Classes::choose(classes);
        Idx::open_holding(held, &image_path, &label_path, classes)
    });
    match (held, in_file) {
        (Ok(held), Ok(in_file)) => Ok([held, in_file]),
        (Err(held), Err(in_file)) => {
            assert_eq!(held.to_string(), in_file.to_string());
            Err(held)
        }
        (held, in_file) => panic!("{held:?} in memory, {in_file:?} in the file"),
    }
}

fn open(images: &[u8], labels: &[u8], classes: Option<&[String]>) -> Result<Idx, DataError> {
    open_both(images, labels, classes).map(|[held, _]| held)
}

fn images() -> Vec<u8> {
    idx(&[3, 2, 4], &(0..24).collect::<Vec<_>>())
}

fn labels() -> Vec<u8> {
    idx(&[3], &[2, 0, 1])
}

#[test]
fn reads_plain_and_compressed_files_alike() {
    for (images, labels) in
        [(images(), labels()), (gzip(&images()), gzip(&labels())), (images(), gzip(&labels()))]
    {
        for source in open_both(&images, &labels, None).unwrap() {
            assert_eq!((source.len(), source.class_names()), (3, &numbered(3)[..]));
            assert_eq!([0, 1, 2].map(|i| source.label(i)), [2, 0, 1]);
            let image = source.read(1).unwrap();
            let size = (image.width(), image.height(), image.channels());
            assert_eq!(size, (4, 2, Channels::Grey));
            assert_eq!(image.pixels(), (8..16).collect::<Vec<_>>());
            assert!(source.name(1).ends_with("images, image 1"));
        }
    }
}

#[test]
fn a_file_that_became_shorter_is_told_by_the_image() {
    let folder = TempDir::new().unwrap();
    let (images_at, labels_at) = (folder.path().join("images"), folder.path().join("labels"));
    std::fs::write(&images_at, images()).unwrap();
    std::fs::write(&labels_at, labels()).unwrap();
    let classes = Classes::choose(None);
    let source = Idx::open_holding(0, &images_at, &labels_at, classes).unwrap();
    std::fs::write(&images_at, &images()[..30]).unwrap();
    assert!(source.read(0).is_ok());
    let error = source.read(2).unwrap_err();
    assert!(error.name.ends_with("images, image 2"), "{error:?}");
}

#[test]
fn reads_colour_images() {
    let images = idx(&[2, 1, 2, 3], &(0..12).collect::<Vec<_>>());
    let source = open(&images, &idx(&[2], &[0, 0]), None).unwrap();
    let image = source.read(1).unwrap();
    assert_eq!(image.channels(), Channels::Rgb);
    assert_eq!(image.pixels(), [6, 7, 8, 9, 10, 11]);
}

#[test]
fn listed_classes_name_the_labels() {
    let names = ["cat", "dog", "emu"].map(String::from);
    let source = open(&images(), &labels(), Some(&names)).unwrap();
    assert_eq!(source.class_names(), names);
    let error = open(&images(), &labels(), Some(&names[..2])).unwrap_err().to_string();
    assert!(error.contains("label 2 of image 0") && error.contains("cat, dog"), "{error}");
}

#[test]
fn malformed_files_are_refused_with_the_reason() {
    let with = |at: usize, value: u8| {
        let mut bytes = images();
        bytes[at] = value;
        bytes
    };
    let longer = [images(), vec![0]].concat();
    let zipped = gzip(&images());
    let zipped_longer = [zipped.clone(), b"rest".to_vec()].concat();
    let cases: [(Vec<u8>, &str); 15] = [
        (vec![], "too short"),
        (images()[..10].to_vec(), "too short"),
        (with(0, 1), "not an IDX file"),
        (with(2, 0x0d), "32-bit floats"),
        (with(2, 0x77), "unknown type"),
        (images()[..30].to_vec(), "3 x 2 x 4 bytes of data, but only 14"),
        (longer.clone(), "but more follow"),
        (gzip(&longer), "but more follow"),
        (gzip(&images()[..30]), "but only 14"),
        (zipped[..zipped.len() - 9].to_vec(), "ends early"),
        (zipped_longer, "gzip"),
        (idx(&[u32::MAX; 3], &[0; 8]), "more than any file"),
        (idx(&[60_000, 20_000, 20_000], &[0; 8]), "but only 8"),
        (idx(&[0, 2, 4], &[]), "no images"),
        (idx(&[3, 2, 2, 2], &[0; 24]), "2 channels"),
    ];
    for (bytes, reason) in cases {
        let error = open(&bytes, &labels(), None).unwrap_err().to_string();
        assert!(error.contains("images") && error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn labels_must_be_labels_and_as_many_as_images() {
    let swapped = open(&images(), &images(), None).unwrap_err().to_string();
    assert!(swapped.contains("is it the image file"), "{swapped}");
    let swapped = open(&labels(), &labels(), None).unwrap_err().to_string();
    assert!(swapped.contains("this file has 1"), "{swapped}");
    let fewer = open(&images(), &idx(&[2], &[0, 1]), None).unwrap_err().to_string();
    assert!(fewer.contains("2 labels") && fewer.contains("3 images"), "{fewer}");
}

#[test]
fn a_missing_file_is_named() {
    let error = Idx::open(Path::new("/nowhere/i"), Path::new("/nowhere/l"), None).unwrap_err();
    assert!(error.to_string().contains("/nowhere/i"), "{error}");
}

#[test]
fn the_example_data_is_balanced() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/fashion-mnist-subset");
    for (split, per_class) in [("train", 1000), ("t10k", 200)] {
        let images = folder.join(format!("{split}-images-idx3-ubyte.gz"));
        let labels = folder.join(format!("{split}-labels-idx1-ubyte.gz"));
        let source = Idx::open(&images, &labels, None).unwrap();
        let mut counts = [0; 10];
        (0..source.len()).for_each(|index| counts[source.label(index) as usize] += 1);
        assert_eq!(counts, [per_class; 10]);
        assert_eq!(source.read(0).unwrap().pixels().len(), 28 * 28);
    }
}

#[test]
fn a_compressed_file_that_becomes_far_more_than_images_do_is_not_decompressed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("images.gz");
    // 300 MB, of which the first are zeros, as all others could be.
    std::fs::write(&path, gzip(&idx(&[300_000, 10, 100], &vec![0; 1 << 20]))).unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("announces 300000 x 10 x 100 bytes of data"), "{error}");
    assert!(error.contains("at most 268435456 are read"), "{error}");
}
