//! CIFAR-10 and CIFAR-100 in their binary version: label bytes, then three planes of 32 x 32 bytes.

use std::hash::Hasher;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_files::Kind;

use super::matching::numbered;
use super::settings::{Purpose, Settings, listed};
use super::stored::Source;
use crate::error::{DataError, OnError, ReadError};
use crate::pixels::{Channels, Image};

const SIDE: u32 = 32;
const PLANE: usize = 32 * 32;

/// How the records of one variant of CIFAR look.
struct Layout {
    name: &'static str,
    label_bytes: usize,
    /// Which of the label bytes counts.
    label_at: usize,
    classes: usize,
    names_file: &'static str,
}

impl Layout {
    const fn record(&self) -> usize {
        self.label_bytes + 3 * PLANE
    }
}

const CIFAR_10: Layout = Layout {
    name: "CIFAR-10",
    label_bytes: 1,
    label_at: 0,
    classes: 10,
    names_file: "batches.meta.txt",
};

const CIFAR_100_FINE: Layout = Layout {
    name: "CIFAR-100",
    label_bytes: 2,
    label_at: 1,
    classes: 100,
    names_file: "fine_label_names.txt",
};

const CIFAR_100_COARSE: Layout =
    Layout { label_at: 0, classes: 20, names_file: "coarse_label_names.txt", ..CIFAR_100_FINE };

/// Settings of `Cifar10`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "Cifar10", deny_unknown_fields)]
#[schemars(inline)]
pub struct Cifar10Config {
    /// The files, such as data_batch_1.bin. Class names come from batches.meta.txt beside the first.
    #[serde(with = "vitral_config::path_text::list")]
    #[schemars(with = "Vec<PathBuf>")]
    pub files: Vec<PathBuf>,
}

impl Settings for Cifar10Config {
    fn open(&self, _: Purpose, _: OnError) -> Result<Arc<dyn Source>, DataError> {
        Ok(Arc::new(Cifar::open_10(&self.files)?))
    }

    fn is_numbered(&self) -> bool {
        true
    }

    fn paths(&mut self) -> Vec<(String, &mut PathBuf)> {
        listed("files", &mut self.files)
    }
}

/// Settings of `Cifar100`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "Cifar100", deny_unknown_fields)]
#[schemars(inline)]
pub struct Cifar100Config {
    /// The files, such as train.bin. Class names come from fine_label_names.txt (or
    /// coarse_label_names.txt) beside the first.
    #[serde(with = "vitral_config::path_text::list")]
    #[schemars(with = "Vec<PathBuf>")]
    pub files: Vec<PathBuf>,
    /// Use the 20 coarse classes instead of the 100 fine ones.
    #[serde(default)]
    pub coarse: bool,
}

impl Settings for Cifar100Config {
    fn open(&self, _: Purpose, _: OnError) -> Result<Arc<dyn Source>, DataError> {
        Ok(Arc::new(Cifar::open_100(&self.files, self.coarse)?))
    }

    fn is_numbered(&self) -> bool {
        true
    }

    fn paths(&mut self) -> Vec<(String, &mut PathBuf)> {
        listed("files", &mut self.files)
    }
}

/// Images of CIFAR-10 or CIFAR-100, held in memory.
#[derive(Debug)]
pub struct Cifar {
    files: Vec<CifarFile>,
    labels: Vec<u8>,
    class_names: Vec<String>,
}

#[derive(Debug)]
struct CifarFile {
    path: PathBuf,
    /// Index of the file's first image in the whole set.
    start: usize,
    /// Images of three planes each, without labels.
    planes: Vec<u8>,
}

impl Cifar {
    /// Reads the binary files of CIFAR-10, in the given order.
    ///
    /// # Errors
    /// If there are no files, or one cannot be read, is of another format or has a wrong label.
    pub fn open_10(files: &[PathBuf]) -> Result<Self, DataError> {
        Self::open(files, &CIFAR_10)
    }

    /// Reads the binary files of CIFAR-100, in the given order, with 20 coarse or 100 fine classes.
    ///
    /// # Errors
    /// As [`open_10`](Self::open_10).
    pub fn open_100(files: &[PathBuf], coarse: bool) -> Result<Self, DataError> {
        Self::open(files, if coarse { &CIFAR_100_COARSE } else { &CIFAR_100_FINE })
    }

    fn open(paths: &[PathBuf], layout: &Layout) -> Result<Self, DataError> {
        let Some(first) = paths.first() else {
            let problem = "lists no files; name the data set's .bin files";
            return Err(DataError::setting(format!("{}: files", layout.name), problem));
        };
        let mut labels = Vec::new();
        let mut files = Vec::new();
        for path in paths {
            let start = labels.len();
            let planes = read_records(path, layout, &mut labels)?;
            let path = path.clone();
            files.push(CifarFile { path, start, planes });
        }
        let class_names = class_names(first, layout)?;
        Ok(Self { files, labels, class_names })
    }

    /// The file that image `index` lies in, and its number there.
    fn locate(&self, index: usize) -> (&CifarFile, usize) {
        // The first file starts at 0, so at least one file starts at or before `index`.
        let file = &self.files[self.files.partition_point(|file| file.start <= index) - 1];
        (file, index - file.start)
    }
}

impl Source for Cifar {
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
        let (file, number) = self.locate(index);
        let planes = &file.planes[number * 3 * PLANE..][..3 * PLANE];
        let pixels = (0..3 * PLANE).map(|at| planes[at % 3 * PLANE + at / 3]).collect();
        Image::new(SIDE, SIDE, Channels::Rgb, pixels)
            .map_err(|error| ReadError { name: self.name(index), reason: error.to_string() })
    }

    fn name(&self, index: usize) -> String {
        let (file, number) = self.locate(index);
        format!("{}, image {number}", file.path.display())
    }

    fn hash_index(&self, hasher: &mut dyn Hasher) {
        self.files.iter().for_each(|file| hasher.write(&file.planes));
    }
}

/// Splits a file into labels, which are appended, and planes, which are returned.
fn read_records(path: &Path, layout: &Layout, labels: &mut Vec<u8>) -> Result<Vec<u8>, DataError> {
    let bytes =
        vitral_files::read(path, Kind::CIFAR).map_err(|error| DataError::io(path, error))?;
    if bytes.is_empty() || !bytes.len().is_multiple_of(layout.record()) {
        let problem = format!(
            "is not a binary file of {}: {} bytes are not records of {} bytes",
            layout.name,
            bytes.len(),
            layout.record()
        );
        return Err(DataError::malformed(path, problem));
    }
    let mut planes = Vec::with_capacity(bytes.len() / layout.record() * 3 * PLANE);
    for (number, record) in bytes.chunks_exact(layout.record()).enumerate() {
        let label = record[layout.label_at];
        if usize::from(label) >= layout.classes {
            let problem = format!(
                "is not a binary file of {}: image {number} has label {label}, but there are {} classes",
                layout.name, layout.classes
            );
            return Err(DataError::malformed(path, problem));
        }
        labels.push(label);
        planes.extend_from_slice(&record[layout.label_bytes..]);
    }
    Ok(planes)
}

/// Names from the list beside the data file, or numbers if there is no such list.
fn class_names(data_file: &Path, layout: &Layout) -> Result<Vec<String>, DataError> {
    let path = data_file.with_file_name(layout.names_file);
    let text = match vitral_files::read_text(&path, Kind::CLASS_NAMES) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(numbered(layout.classes));
        }
        Err(error) => return Err(DataError::io(&path, error)),
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<String> = lines.map(str::to_owned).collect();
    if names.len() != layout.classes {
        let problem = format!(
            "lists {} class names, but {} has {} classes",
            names.len(),
            layout.name,
            layout.classes
        );
        return Err(DataError::malformed(&path, problem));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use tempfile::TempDir;

    /// A record whose pixel (x, y) has the colour (x, y, seed).
    fn record(labels: &[u8], seed: u8) -> Vec<u8> {
        let red = (0..PLANE).map(|at| (at % 32) as u8);
        let green = (0..PLANE).map(|at| (at / 32) as u8);
        let blue = (0..PLANE).map(|_| seed);
        labels.iter().copied().chain(red).chain(green).chain(blue).collect()
    }

    fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn reads_several_files_in_order_with_planes_interleaved() {
        let folder = TempDir::new().unwrap();
        let files = [
            write(&folder, "data_batch_1.bin", &[record(&[3], 50), record(&[9], 60)].concat()),
            write(&folder, "data_batch_2.bin", &record(&[0], 70)),
        ];
        let source = Cifar::open_10(&files).unwrap();
        assert_eq!([0, 1, 2].map(|index| source.label(index)), [3, 9, 0]);
        assert_eq!(source.class_names(), numbered(10));
        for (index, seed) in [(0, 50), (1, 60), (2, 70)] {
            let image = source.read(index).unwrap();
            assert_eq!(image.row(5)[7 * 3..][..3], [7, 5, seed]);
        }
        assert!(source.name(1).ends_with("data_batch_1.bin, image 1"));
        assert!(source.name(2).ends_with("data_batch_2.bin, image 0"));
    }

    #[test]
    fn cifar_100_has_fine_and_coarse_labels() {
        let folder = TempDir::new().unwrap();
        let files = [write(&folder, "train.bin", &record(&[19, 99], 1))];
        let fine = Cifar::open_100(&files, false).unwrap();
        let coarse = Cifar::open_100(&files, true).unwrap();
        assert_eq!((fine.label(0), fine.class_names().len()), (99, 100));
        assert_eq!((coarse.label(0), coarse.class_names().len()), (19, 20));
        assert_eq!(fine.read(0).unwrap().row(2)[..3], [0, 2, 1]);
    }

    #[test]
    fn names_come_from_the_list_beside_the_data() {
        let folder = TempDir::new().unwrap();
        let files = [write(&folder, "test_batch.bin", &record(&[3], 0))];
        let list = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
        write(&folder, "batches.meta.txt", list.as_bytes());
        let source = Cifar::open_10(&files).unwrap();
        assert_eq!((&*source.class_names()[3], source.class_names().len()), ("cat", 10));
        write(&folder, "batches.meta.txt", b"airplane\n");
        let error = Cifar::open_10(&files).unwrap_err();
        assert!(error.to_string().contains("lists 1 class names"), "{error}");
    }

    #[test]
    fn other_files_are_refused() {
        let folder = TempDir::new().unwrap();
        let ten = [write(&folder, "ten.bin", &record(&[3], 0))];
        let hundred = [write(&folder, "hundred.bin", &record(&[3, 4], 0))];
        let wrong = [write(&folder, "wrong.bin", &record(&[10], 0))];
        let empty = [write(&folder, "empty.bin", &[])];
        for (result, reason) in [
            (Cifar::open_10(&hundred), "3074 bytes are not records of 3073"),
            (Cifar::open_100(&ten, false), "3073 bytes are not records of 3074"),
            (Cifar::open_10(&wrong), "image 0 has label 10"),
            (Cifar::open_10(&empty), "0 bytes are not"),
            (Cifar::open_10(&[]), "lists no files"),
            (Cifar::open_10(&["/nowhere.bin".into()]), "/nowhere.bin"),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
}
