//! IDX files, the format of MNIST: a header of dimensions, then raw values.
//!
//! Compression is recognised by the file's first bytes. Memory is only taken for bytes that were
//! really read, so a false header costs nothing.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::Source;
use super::classes::{Classes, numbered};
use crate::error::{DataError, ReadError};
use crate::pixels::{Channels, Image, byte_count};

/// Images and labels from a pair of IDX files, held in memory.
#[derive(Debug)]
pub struct Idx {
    path: PathBuf,
    width: u32,
    height: u32,
    channels: Channels,
    pixels: Vec<u8>,
    labels: Vec<u8>,
    class_names: Vec<String>,
}

impl Idx {
    /// Reads both files.
    ///
    /// # Errors
    /// If a file cannot be read or is not IDX of unsigned bytes with the right dimensions, if their
    /// counts differ, or if a label has no name in `classes`.
    pub fn open(
        images: &Path,
        labels: &Path,
        classes: Option<&[String]>,
    ) -> Result<Self, DataError> {
        Self::open_with(images, labels, Classes::choose(classes, None))
    }

    pub(crate) fn open_with(
        images: &Path,
        labels: &Path,
        classes: Classes<'_>,
    ) -> Result<Self, DataError> {
        let image_file = IdxFile::read(images)?;
        let label_file = IdxFile::read(labels)?;
        let (count, width, height, channels) = image_dimensions(images, &image_file.dimensions)?;
        let &[label_count] = label_file.dimensions.as_slice() else {
            let problem = format!(
                "labels have one dimension, this file has {}; is it the image file?",
                label_file.dimensions.len()
            );
            return Err(DataError::malformed(labels, problem));
        };
        if label_count != count {
            let problem = format!(
                "holds {label_count} labels, but {} holds {count} images",
                images.display()
            );
            return Err(DataError::malformed(labels, problem));
        }
        Ok(Self {
            path: images.to_owned(),
            width,
            height,
            channels,
            pixels: image_file.values,
            class_names: name_classes(labels, &label_file.values, classes)?,
            labels: label_file.values,
        })
    }
}

impl Source for Idx {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> u32 {
        u32::from(self.labels[index])
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        let length = self.pixels.len() / self.labels.len();
        let pixels = self.pixels[index * length..][..length].to_vec();
        Image::new(self.width, self.height, self.channels, pixels)
            .map_err(|error| ReadError { name: self.name(index), reason: error.to_string() })
    }

    fn name(&self, index: usize) -> String {
        format!("{}, image {index}", self.path.display())
    }
}

/// Count, width, height and channels of an image file.
fn image_dimensions(
    path: &Path,
    dimensions: &[u32],
) -> Result<(u32, u32, u32, Channels), DataError> {
    let wrong = |problem: String| DataError::malformed(path, problem);
    let (count, height, width, channels) = match *dimensions {
        [count, height, width] => (count, height, width, 1),
        [count, height, width, channels] => (count, height, width, channels),
        _ => {
            return Err(wrong(format!(
                "images have three dimensions (n, height, width) or four (and channels), this file has {}",
                dimensions.len()
            )));
        }
    };
    let Some(channels) = Channels::from_count(channels as usize) else {
        return Err(wrong(format!("images have {channels} channels; 1 and 3 are supported")));
    };
    if count == 0 {
        return Err(wrong("holds no images".into()));
    }
    byte_count(width, height, channels).map_err(|error| wrong(error.to_string()))?;
    Ok((count, width, height, channels))
}

fn name_classes(
    path: &Path,
    labels: &[u8],
    classes: Classes<'_>,
) -> Result<Vec<String>, DataError> {
    let Some(names) = classes.given()? else {
        let count = labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
        return Ok(numbered(count));
    };
    match labels.iter().position(|&label| usize::from(label) >= names.len()) {
        None => Ok(names.to_vec()),
        Some(index) => {
            let problem = format!(
                "label {} of image {index} is not among the {} {}",
                labels[index],
                names.len(),
                classes.describe()
            );
            Err(DataError::malformed(path, problem))
        }
    }
}

/// A whole IDX file of unsigned bytes.
struct IdxFile {
    dimensions: Vec<u32>,
    values: Vec<u8>,
}

impl IdxFile {
    fn read(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|error| DataError::io(path, error))?;
        let mut file = BufReader::new(file);
        let start = file.fill_buf().map_err(|error| DataError::io(path, error))?;
        if start.starts_with(&[0x1f, 0x8b]) {
            Self::parse(path, MultiGzDecoder::new(file))
        } else {
            Self::parse(path, file)
        }
    }

    fn parse(path: &Path, mut reader: impl Read) -> Result<Self, DataError> {
        let mut magic = [0; 4];
        reader.read_exact(&mut magic).map_err(|error| header_error(path, error))?;
        let [0, 0, kind, dimension_count] = magic else {
            let problem = format!(
                "is not an IDX file: it starts with {magic:02x?}, where an IDX file has two zero bytes"
            );
            return Err(DataError::malformed(path, problem));
        };
        check_kind(path, kind)?;
        let mut dimensions = Vec::new();
        for _ in 0..dimension_count {
            let mut bytes = [0; 4];
            reader.read_exact(&mut bytes).map_err(|error| header_error(path, error))?;
            dimensions.push(u32::from_be_bytes(bytes));
        }
        let values = read_values(path, reader, &dimensions)?;
        Ok(Self { dimensions, values })
    }
}

fn check_kind(path: &Path, kind: u8) -> Result<(), DataError> {
    let name = match kind {
        0x08 => return Ok(()),
        0x09 => "signed bytes",
        0x0b => "16-bit integers",
        0x0c => "32-bit integers",
        0x0d => "32-bit floats",
        0x0e => "64-bit floats",
        _ => "values of an unknown type",
    };
    let problem = format!("holds {name} (type 0x{kind:02x}); unsigned bytes (0x08) are needed");
    Err(DataError::malformed(path, problem))
}

/// Reads as many bytes as the dimensions announce, and makes sure that there are no others.
fn read_values(path: &Path, reader: impl Read, dimensions: &[u32]) -> Result<Vec<u8>, DataError> {
    let sizes = dimensions.iter().map(|&size| u64::from(size));
    let announced = sizes.clone().try_fold(1_u64, u64::checked_mul);
    let shape = sizes.map(|size| size.to_string()).collect::<Vec<_>>().join(" x ");
    let Some(limit) = announced.and_then(|bytes| bytes.checked_add(1)) else {
        let problem = format!("its header announces {shape} bytes, more than any file can hold");
        return Err(DataError::malformed(path, problem));
    };
    let mut values = Vec::new();
    reader.take(limit).read_to_end(&mut values).map_err(|error| body_error(path, error))?;
    let found = values.len() as u64;
    if found == limit {
        let problem = format!("its header announces {shape} bytes of data, but more follow");
        return Err(DataError::malformed(path, problem));
    }
    if found < limit - 1 {
        let problem = format!(
            "is cut short: its header announces {shape} bytes of data, but only {found} follow"
        );
        return Err(DataError::malformed(path, problem));
    }
    Ok(values)
}

fn header_error(path: &Path, error: io::Error) -> DataError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            DataError::malformed(path, "is too short to be an IDX file")
        }
        _ => body_error(path, error),
    }
}

fn body_error(path: &Path, error: io::Error) -> DataError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            DataError::malformed(path, "is cut short: its gzip data ends early")
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            DataError::malformed(path, format!("its gzip data is damaged: {error}"))
        }
        _ => DataError::io(path, error),
    }
}

#[cfg(test)]
mod tests {
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

    fn open(images: &[u8], labels: &[u8], classes: Option<&[String]>) -> Result<Idx, DataError> {
        let folder = TempDir::new().unwrap();
        let (image_path, label_path) = (folder.path().join("images"), folder.path().join("labels"));
        std::fs::write(&image_path, images).unwrap();
        std::fs::write(&label_path, labels).unwrap();
        Idx::open(&image_path, &label_path, classes)
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
            let source = open(&images, &labels, None).unwrap();
            assert_eq!((source.len(), source.class_names()), (3, &numbered(3)[..]));
            assert_eq!([0, 1, 2].map(|i| source.label(i)), [2, 0, 1]);
            let image = source.read(1).unwrap();
            assert_eq!((image.width(), image.height(), image.channels()), (4, 2, Channels::Grey));
            assert_eq!(image.pixels(), (8..16).collect::<Vec<_>>());
            assert!(source.name(1).ends_with("images, image 1"));
        }
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
}
