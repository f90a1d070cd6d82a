//! IDX files, the format of MNIST: a header of dimensions, then raw values.
//!
//! Compression is recognised by the file's first bytes. Memory is only taken for bytes that were
//! really read, so a false header costs nothing. Values of large files stay where they are.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufRead, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use vitral_files::Kind;

use super::classes::Classes;
use super::matching::{Finder, abridged, numbered};
use super::positions::read_at;
use super::{Source, Stored, read_loaded};
use crate::error::{DataError, ReadError};
use crate::pixels::{Channels, Image, ImageView, byte_count};

/// Bytes of the largest values that are held in memory, where they could stay in their file: those of
/// every MNIST fit in.
const HELD: u64 = 256 << 20;

/// Images and labels from a pair of IDX files. Small files and compressed ones are held in memory; of
/// others, each image is read when it is its turn.
#[derive(Debug)]
pub struct Idx {
    path: PathBuf,
    width: u32,
    height: u32,
    channels: Channels,
    pixels: Values,
    labels: Vec<u32>,
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
        Self::open_with(images, labels, Classes::choose(classes))
    }

    pub(crate) fn open_with(
        images: &Path,
        labels: &Path,
        classes: Classes<'_>,
    ) -> Result<Self, DataError> {
        Self::open_holding(HELD, images, labels, classes)
    }

    /// Opens files whose values are held in memory if they have at most so many bytes.
    fn open_holding(
        held: u64,
        images: &Path,
        labels: &Path,
        classes: Classes<'_>,
    ) -> Result<Self, DataError> {
        let image_file = IdxFile::open(images, held)?;
        let (dimensions, label_values) = read(labels)?;
        let (count, width, height, channels) = image_dimensions(images, &image_file.dimensions)?;
        let &[label_count] = dimensions.as_slice() else {
            let problem = format!(
                "labels have one dimension, this file has {}; is it the image file?",
                dimensions.len()
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
        let (label_values, class_names) = name_classes(labels, &label_values, classes)?;
        Ok(Self {
            path: images.to_owned(),
            width,
            height,
            channels,
            pixels: image_file.values,
            labels: label_values,
            class_names,
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
        self.labels[index]
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        read_loaded(self, index)
    }

    fn load<'a>(&'a self, index: usize, buffer: &'a mut Vec<u8>) -> Result<Stored<'a>, ReadError> {
        let failed = |reason: String| ReadError { name: self.name(index), reason };
        let length = self.width as usize * self.height as usize * self.channels.count();
        let pixels = match &self.pixels {
            Values::Held(values) => &values[index * length..][..length],
            Values::InFile { file, start } => {
                buffer.resize(length, 0);
                let at = start + index as u64 * length as u64;
                read_at(file, &self.path, at, buffer).map_err(|error| failed(error.to_string()))?;
                buffer
            }
        };
        ImageView::new(self.width, self.height, self.channels, pixels)
            .map(Stored::Pixels)
            .map_err(|error| failed(error.to_string()))
    }

    fn name(&self, index: usize) -> String {
        format!("{}, image {index}", self.path.display())
    }

    fn hash_index(&self, hasher: &mut dyn Hasher) {
        hasher.write_u32(self.width);
        hasher.write_u32(self.height);
        match &self.pixels {
            Values::Held(values) => hasher.write(values),
            // As long as its count says, or it would not have been opened.
            Values::InFile { start, .. } => hasher.write_u64(*start),
        }
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

/// Each image's class, and the names of all.
fn name_classes(
    path: &Path,
    labels: &[u8],
    classes: Classes<'_>,
) -> Result<(Vec<u32>, Vec<String>), DataError> {
    let Some(names) = classes.given()? else {
        let count = labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
        return Ok((labels.iter().map(|&label| label.into()).collect(), numbered(count)));
    };
    let finder = Finder::new(names);
    let mut positions = Vec::with_capacity(labels.len());
    for (index, &label) in labels.iter().enumerate() {
        let Some(position) = finder.find_number(label.into()) else {
            let problem = format!(
                "label {label} of image {index} is not among the {} classes that are listed: {}",
                names.len(),
                abridged(names)
            );
            return Err(DataError::malformed(path, problem));
        };
        positions.push(position as u32);
    }
    Ok((positions, names.to_vec()))
}

/// The values of an IDX file.
#[derive(Debug)]
enum Values {
    Held(Vec<u8>),
    /// They start at this byte.
    InFile {
        file: File,
        start: u64,
    },
}

/// How many times as many bytes as a compressed file has may come out of it, beyond [`HELD`]: those of
/// images have been two to ten times as many, and zeros are a thousand times.
const MOST_COMPRESSED: u64 = 64;

/// An IDX file of unsigned bytes.
struct IdxFile {
    dimensions: Vec<u32>,
    values: Values,
}

impl IdxFile {
    /// Opens a file, whose values are held in memory if they are compressed or have at most so many
    /// bytes.
    fn open(path: &Path, held: u64) -> Result<Self, DataError> {
        let io = |error| DataError::io(path, error);
        let (file, size) = vitral_files::open(path, Kind::IDX).map_err(io)?;
        let mut file = BufReader::new(file);
        let is_compressed = is_compressed(path, &mut file)?;
        if is_compressed || size <= held {
            let (dimensions, values) = parse(path, file, is_compressed)?;
            return Ok(Self { dimensions, values: Values::Held(values) });
        }
        let dimensions = read_dimensions(path, &mut file)?;
        let start = file.stream_position().map_err(io)?;
        Announced::new(path, &dimensions)?.check(path, size.saturating_sub(start))?;
        Ok(Self { dimensions, values: Values::InFile { file: file.into_inner(), start } })
    }
}

/// Dimensions and values of a file.
fn read(path: &Path) -> Result<(Vec<u32>, Vec<u8>), DataError> {
    let opened = vitral_files::open(path, Kind::IDX).map_err(|error| DataError::io(path, error))?;
    let mut file = BufReader::new(opened.0);
    let is_compressed = is_compressed(path, &mut file)?;
    parse(path, file, is_compressed)
}

fn parse(
    path: &Path,
    file: BufReader<File>,
    is_compressed: bool,
) -> Result<(Vec<u32>, Vec<u8>), DataError> {
    let length = file.get_ref().metadata().map_err(|error| DataError::io(path, error))?.len();
    let mut reader: Box<dyn Read> = match is_compressed {
        true => Box::new(MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    let dimensions = read_dimensions(path, &mut reader)?;
    let announced = Announced::new(path, &dimensions)?;
    if is_compressed {
        announced.check_compressed(path, length)?;
    }
    let values = announced.read(path, reader)?;
    Ok((dimensions, values))
}

fn is_compressed(path: &Path, file: &mut BufReader<File>) -> Result<bool, DataError> {
    let start = file.fill_buf().map_err(|error| DataError::io(path, error))?;
    Ok(start.starts_with(&[0x1f, 0x8b]))
}

fn read_dimensions(path: &Path, reader: &mut impl Read) -> Result<Vec<u32>, DataError> {
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
    Ok(dimensions)
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

/// How many bytes of values the dimensions announce.
struct Announced {
    bytes: u64,
    shape: String,
}

impl Announced {
    fn new(path: &Path, dimensions: &[u32]) -> Result<Self, DataError> {
        let sizes = dimensions.iter().map(|&size| u64::from(size));
        let bytes = sizes.clone().try_fold(1_u64, u64::checked_mul);
        let shape = sizes.map(|size| size.to_string()).collect::<Vec<_>>().join(" x ");
        // One more is looked for.
        match bytes.filter(|&bytes| bytes < u64::MAX) {
            Some(bytes) => Ok(Self { bytes, shape }),
            None => {
                let problem =
                    format!("its header announces {shape} bytes, more than any file can hold");
                Err(DataError::malformed(path, problem))
            }
        }
    }

    /// Refuses what a compressed file of so many bytes cannot honestly hold, which would all be in memory.
    fn check_compressed(&self, path: &Path, length: u64) -> Result<(), DataError> {
        let Self { bytes, shape } = self;
        let most = HELD.max(length.saturating_mul(MOST_COMPRESSED));
        if *bytes <= most {
            return Ok(());
        }
        Err(DataError::malformed(
            path,
            format!(
                "announces {shape} bytes of data, and of a compressed file of {length} bytes {most} are read at \
             most; decompressed (`gunzip`), it is read image by image"
            ),
        ))
    }

    /// Reads all of them, and makes sure that there are no others.
    fn read(&self, path: &Path, reader: impl Read) -> Result<Vec<u8>, DataError> {
        let mut values = Vec::new();
        let limit = self.bytes + 1;
        reader.take(limit).read_to_end(&mut values).map_err(|error| body_error(path, error))?;
        self.check(path, values.len() as u64)?;
        Ok(values)
    }

    fn check(&self, path: &Path, found: u64) -> Result<(), DataError> {
        let Self { bytes, shape } = self;
        let problem = if found > *bytes {
            format!("its header announces {shape} bytes of data, but more follow")
        } else if found < *bytes {
            format!(
                "is cut short: its header announces {shape} bytes of data, but only {found} follow"
            )
        } else {
            return Ok(());
        };
        Err(DataError::malformed(path, problem))
    }
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
        assert!(error.contains("268435456 are read at most"), "{error}");
    }
}
