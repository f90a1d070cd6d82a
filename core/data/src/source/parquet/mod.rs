//! Parquet files with images, as the Hugging Face hub has them: a column `image` of encoded bytes and
//! a column `label`, with the names of the classes in the file's metadata.

mod column;
mod schema;

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet2::metadata::ColumnChunkMetaData;
use rayon::prelude::*;

use self::column::{read_images, read_labels};
pub(super) use self::schema::Columns;
use self::schema::{Named, class_names_of};
use super::classes::{Classes, Label, name_labels};
use super::groups::{Groups, Recent};
use super::matching::abridged;
use super::{Source, Stored, patterns, read_loaded};
use crate::error::{DataError, ReadError};
use crate::pixels::Image;

/// The most bytes of images that a row group may have, as it is read as a whole.
const MAX_GROUP_BYTES: i64 = 4 << 30;

/// Images that are shuffled together unless the configuration says otherwise.
const SHUFFLE_BUFFER: usize = 4096;

/// Images and their classes in Parquet files, which are read a row group at a time.
pub struct Parquet {
    files: Vec<PathBuf>,
    /// All row groups, in the order of the files.
    row_groups: Vec<RowGroup>,
    groups: Groups,
    recent: Recent<RowImages>,
    labels: Vec<u32>,
    class_names: Vec<String>,
}

/// The encoded image of each row, where it has one.
type RowImages = std::sync::Arc<[Option<Bytes>]>;

/// Where the images of one row group lie.
struct RowGroup {
    file: u32,
    /// The number of its first row in the file.
    first_row: u64,
    rows: usize,
    images: ColumnChunkMetaData,
}

impl Parquet {
    /// Reads the files' metadata and labels. `files` are paths and patterns, such as
    /// `data/train-*.parquet`.
    ///
    /// `image` and `label` name the columns; without them, they are the only `Image` and `ClassLabel`
    /// of the Hugging Face metadata, or else `image` and `label`. About `shuffle_buffer` images are
    /// shuffled together, 4096 if it says nothing; as many encoded images are in memory, twice.
    ///
    /// # Errors
    /// If there are no files, one cannot be read, is no Parquet file or lacks a column, or if a row
    /// has no label or one that is not listed.
    pub fn open(
        files: &[PathBuf],
        classes: Option<&[String]>,
        image: Option<&str>,
        label: Option<&str>,
        shuffle_buffer: Option<usize>,
    ) -> Result<Self, DataError> {
        let columns = Columns { image, label };
        Self::open_with(files, Classes::choose(classes), columns, shuffle_buffer)
    }

    pub(crate) fn open_with(
        files: &[PathBuf],
        classes: Classes<'_>,
        columns: Columns<'_>,
        shuffle_buffer: Option<usize>,
    ) -> Result<Self, DataError> {
        let files = patterns::expand("files", files)?;
        let opened: Result<Vec<_>, _> =
            files.par_iter().map(|file| OpenedFile::read(file, columns)).collect();
        let mut row_groups = Vec::new();
        let mut labels = Vec::new();
        let mut own_names: Option<Vec<String>> = None;
        for (number, (path, file)) in (0..).zip(files.iter().zip(opened?)) {
            for (first_row, images, group_labels) in file.groups {
                let rows = group_labels.len();
                row_groups.push(RowGroup { file: number, first_row, rows, images });
                labels.extend(group_labels);
            }
            match (&own_names, file.class_names) {
                (Some(first), Some(names)) if *first != names => {
                    let problem = format!(
                        "names other classes than the files before it: {}, and before: {}",
                        abridged(&names),
                        abridged(first)
                    );
                    return Err(DataError::malformed(path, problem));
                }
                (None, Some(names)) => own_names = Some(names),
                _ => {}
            }
        }
        let first = files.first().map_or(Path::new(""), PathBuf::as_path);
        if labels.is_empty() {
            return Err(DataError::malformed(first, "holds no rows"));
        }
        let sizes = row_groups.iter().map(|group| u32::try_from(group.rows).unwrap_or(u32::MAX));
        let groups = Groups::of_sizes(sizes, shuffle_buffer.unwrap_or(SHUFFLE_BUFFER))
            .ok_or_else(|| DataError::setting("files", "hold too many rows"))?;
        let recent = Recent::of(&groups);
        let name = |index: usize| row_name(&files, &row_groups, &groups, index);
        let (labels, class_names) = name_labels(labels, classes, own_names.as_deref(), name)?;
        Ok(Self { files, row_groups, groups, recent, labels, class_names })
    }

    fn image(&self, index: usize) -> Result<Bytes, String> {
        let (number, row) = self.groups.locate(index);
        let group = &self.row_groups[number];
        let images = self.recent.get(number, || {
            let path = &self.files[group.file as usize];
            let file = File::open(path).map_err(|error| error.to_string())?;
            read_images(&file, &group.images, group.rows).map(Into::into)
        })?;
        match images.get(row) {
            Some(Some(bytes)) => Ok(bytes.clone()),
            _ => Err("the row has no image bytes".into()),
        }
    }
}

impl Source for Parquet {
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
        let bytes =
            self.image(index).map_err(|reason| ReadError { name: self.name(index), reason })?;
        // The row group may be dropped while the image is in use.
        buffer.clear();
        buffer.extend_from_slice(&bytes);
        Ok(Stored::Encoded(buffer))
    }

    fn name(&self, index: usize) -> String {
        row_name(&self.files, &self.row_groups, &self.groups, index)
    }

    fn groups(&self) -> Option<&Groups> {
        Some(&self.groups)
    }
}

fn row_name(files: &[PathBuf], row_groups: &[RowGroup], groups: &Groups, index: usize) -> String {
    let (number, row) = groups.locate(index);
    let group = &row_groups[number];
    format!("{}, row {}", files[group.file as usize].display(), group.first_row + row as u64)
}

/// What is read of a file when it is opened.
struct OpenedFile {
    /// Of each row group: its first row, where its images are, and its labels.
    groups: Vec<(u64, ColumnChunkMetaData, Vec<Label>)>,
    class_names: Option<Vec<String>>,
}

impl OpenedFile {
    fn read(path: &Path, columns: Columns<'_>) -> Result<Self, DataError> {
        let mut file = File::open(path).map_err(|error| DataError::io(path, error))?;
        let size = file.metadata().map_err(|error| DataError::io(path, error))?.len();
        let wrong = |problem: String| DataError::malformed(path, problem);
        let metadata = column::guarded(|| Ok(parquet2::read::read_metadata(&mut file)?))
            .map_err(|problem| wrong(format!("is not a whole Parquet file: {problem}")))?;
        let named = Named::find(&metadata, columns).map_err(wrong)?;
        let class_names = class_names_of(&metadata, &named.label);
        let mut groups = Vec::new();
        let mut first_row = 0;
        for (number, row_group) in metadata.row_groups.iter().enumerate() {
            let wrong = |problem: String| wrong(format!("row group {number}: {problem}"));
            let rows = row_group.num_rows();
            let images = named.image_of(row_group).map_err(wrong)?;
            let labels = named.label_of(row_group).map_err(wrong)?;
            let bytes = column::check(images, rows, size).map_err(wrong)?;
            if bytes > MAX_GROUP_BYTES {
                return Err(wrong(format!(
                    "its images take {} GiB, and it is read as a whole; write the file with row groups of some 1000 rows",
                    bytes >> 30
                )));
            }
            column::check(labels, rows, size).map_err(wrong)?;
            let labels = read_labels(&file, labels, rows)
                .map_err(|(row, problem)| wrong_row(path, first_row + row as u64, &problem))?;
            groups.push((first_row, images.clone(), labels));
            first_row += rows as u64;
        }
        Ok(Self { groups, class_names })
    }
}

fn wrong_row(path: &Path, row: u64, problem: &str) -> DataError {
    DataError::malformed(path, format!("row {row}: {problem}"))
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn columns_that_are_not_there_are_named() {
        let error = Parquet::open(&[fixtures("plain.parquet")], None, None, None, None);
        let error = error.err().unwrap().to_string();
        assert!(error.contains("no column `image`") && error.contains("picture, kind"), "{error}");
        let files = [fixtures("train-00000-of-00002.parquet")];
        let error = Parquet::open(&files, None, Some("label"), None, None).err().unwrap();
        assert!(error.to_string().contains("Int64, not bytes of images"), "{error}");
    }

    #[test]
    fn damaged_files_are_refused_or_their_rows_are() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("x.parquet");
        let whole = fs::read(fixtures("train-00000-of-00002.parquet")).unwrap();
        let open = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            Parquet::open(std::slice::from_ref(&path), None, None, None, None)
        };
        for bytes in [&whole[..whole.len() - 9], &whole[..100], b"PAR1", b""] {
            let error = open(bytes).err().unwrap().to_string();
            assert!(error.contains("x.parquet: is not a whole Parquet file"), "{error}");
        }
        // In the first row group's images, which come first.
        let mut damaged = whole.clone();
        damaged[60..70].fill(0xee);
        let source = open(&damaged).unwrap();
        let error = source.read(0).unwrap_err().to_string();
        assert!(error.contains("x.parquet, row 0"), "{error}");
        assert_eq!(source.read(11).unwrap().pixels(), [110; 24]);
    }
}
