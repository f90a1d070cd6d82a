//! Parquet files with images, as the Hugging Face hub has them: a column `image` of encoded bytes and
//! a column `label`, with the names of the classes in the file's metadata.

mod column;
mod footer;
mod pages;
mod problem;
mod schema;
mod unpack;

use std::fs::File;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::ByteArray;
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
    ParquetStatisticsPolicy, RowGroupMetaData,
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_files::Kind;

use self::column::{read_images, read_labels};
use self::problem::Problem;
use self::schema::{Columns, Named, class_names_of};
use super::classes::{Classes, Label, name_labels};
use super::groups::{Groups, Recent};
use super::matching::abridged;
use super::patterns;
use super::settings::{Purpose, Settings, has_extension, listed};
use super::stored::{Source, Stored, read_loaded};
use crate::error::{DataError, OnError, ReadError};
use crate::pixels::Image;

/// Images that are shuffled together unless the configuration says otherwise.
const SHUFFLE_BUFFER: usize = 4096;

/// Settings of `Parquet`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "Parquet", deny_unknown_fields)]
#[schemars(inline)]
pub struct ParquetConfig {
    /// The files: paths, or patterns such as `data/train-*.parquet`.
    #[serde(with = "vitral_config::path_text::list")]
    #[schemars(with = "Vec<PathBuf>")]
    pub files: Vec<PathBuf>,
    /// The classes in the order of their numbers; where the file names its numbers, a choice and
    /// order of those names. Without them, those in the file.
    #[serde(default)]
    pub classes: Option<Vec<String>>,
    /// The column of images: a struct with `bytes`, or bytes. Without it, the file says which.
    #[serde(default)]
    pub image: Option<String>,
    /// The column of classes: numbers or names. Without it, the file says which.
    #[serde(default)]
    pub label: Option<String>,
    /// About how many images are shuffled together, 4096 if not set; twice as many, encoded, are
    /// held in memory.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub shuffle_buffer: Option<usize>,
}

impl Settings for ParquetConfig {
    fn open(&self, _: Purpose, on_error: OnError) -> Result<Arc<dyn Source>, DataError> {
        let columns = Columns { image: self.image.as_deref(), label: self.label.as_deref() };
        let classes = Classes::choose(self.classes.as_deref());
        let (files, buffer) = (&self.files, self.shuffle_buffer);
        Ok(Arc::new(Parquet::open_with(files, classes, columns, buffer, on_error)?))
    }

    fn is_numbered(&self) -> bool {
        self.classes.is_some()
    }

    fn paths(&mut self) -> Vec<(String, &mut PathBuf)> {
        listed("files", &mut self.files)
    }

    fn is_patterned(&self) -> bool {
        true
    }

    fn of_path(path: &Path) -> Option<Self> {
        has_extension(path, "parquet").then(|| Self {
            files: vec![path.into()],
            classes: None,
            image: None,
            label: None,
            shuffle_buffer: None,
        })
    }

    fn path_in_words() -> Option<&'static str> {
        Some(".parquet")
    }
}

/// Images and their classes in Parquet files, which are read a row group at a time.
pub struct Parquet {
    files: Vec<PathBuf>,
    /// All row groups, in the order of the files.
    row_groups: Vec<RowGroup>,
    groups: Groups,
    recent: Recent<RowImages>,
    labels: Vec<u32>,
    class_names: Vec<String>,
    damaged: Vec<String>,
}

/// The encoded image of each row, where it has one.
type RowImages = Arc<[Option<ByteArray>]>;

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
        let classes = Classes::choose(classes);
        Self::open_with(files, classes, columns, shuffle_buffer, OnError::Stop)
    }

    /// Where damage is left out: files whose metadata cannot be read, and row groups without labels. Images
    /// that cannot be read are found when they are.
    pub(crate) fn open_with(
        files: &[PathBuf],
        classes: Classes<'_>,
        columns: Columns<'_>,
        shuffle_buffer: Option<usize>,
        on_error: OnError,
    ) -> Result<Self, DataError> {
        let files = patterns::expand("files", files)?;
        let opened: Result<Vec<_>, _> =
            files.par_iter().map(|file| OpenedFile::read(file, columns)).collect();
        let (mut row_groups, mut labels, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
        let mut own_names: Option<Vec<String>> = None;
        for (number, (path, file)) in (0..).zip(files.iter().zip(opened?)) {
            for problem in file.damages {
                if on_error == OnError::Stop {
                    return Err(DataError::damaged(path, problem));
                }
                damaged.push(format!("{}: {problem}", path.display()));
            }
            for (first_row, images, group_labels) in file.groups {
                let rows = group_labels.len();
                row_groups.push(RowGroup { file: number, first_row, rows, images });
                labels.extend(group_labels);
            }
            match (&own_names, file.class_names) {
                (Some(first), Some(names)) if *first != names => {
                    let problem = format!(
                        "names different classes from the files before it: {}, where those name {}",
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
            let why = damaged.first().map(|part| format!(" that can be read: {part}"));
            let problem = format!("holds no rows{}", why.unwrap_or_default());
            return Err(DataError::malformed(first, problem));
        }
        let sizes = row_groups.iter().map(|group| u32::try_from(group.rows).unwrap_or(u32::MAX));
        let groups = Groups::of_sizes(sizes, shuffle_buffer.unwrap_or(SHUFFLE_BUFFER))
            .ok_or_else(|| DataError::setting("files", "hold too many rows"))?;
        let recent = Recent::of(&groups);
        let name = |index: usize| row_name(&files, &row_groups, &groups, index);
        let (labels, class_names) = name_labels(labels, classes, own_names.as_deref(), name)?;
        Ok(Self { files, row_groups, groups, recent, labels, class_names, damaged })
    }

    fn image(&self, index: usize) -> Result<ByteArray, String> {
        let (number, row) = self.groups.locate(index);
        let group = &self.row_groups[number];
        let images = self.recent.get(number, || {
            let path = &self.files[group.file as usize];
            let opened = vitral_files::open(path, Kind::PARQUET);
            let (file, _) = opened.map_err(|error| error.to_string())?;
            read_images(file, &group.images, group.rows).map(Into::into)
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
        buffer.extend_from_slice(bytes.data());
        Ok(Stored::Encoded(buffer))
    }

    fn name(&self, index: usize) -> String {
        row_name(&self.files, &self.row_groups, &self.groups, index)
    }

    fn groups(&self) -> Option<&Groups> {
        Some(&self.groups)
    }

    fn keep_groups(&self, shuffled: usize) {
        self.recent.keep(shuffled);
    }

    fn hash_index(&self, hasher: &mut dyn Hasher) {
        for RowGroup { file, first_row, rows, images } in &self.row_groups {
            hasher.write_u32(*file);
            hasher.write_u64(*first_row);
            hasher.write_u64(*rows as u64);
            hasher.write_i64(images.data_page_offset());
            hasher.write_i64(images.compressed_size());
        }
    }

    fn damaged(&self) -> &[String] {
        &self.damaged
    }
}

fn row_name(files: &[PathBuf], row_groups: &[RowGroup], groups: &Groups, index: usize) -> String {
    let (number, row) = groups.locate(index);
    let group = &row_groups[number];
    format!("{}, row {}", files[group.file as usize].display(), group.first_row + row as u64)
}

/// What is read of a file when it is opened.
#[derive(Default)]
struct OpenedFile {
    /// Of each row group: its first row, where its images are, and its labels.
    groups: Vec<(u64, ColumnChunkMetaData, Vec<Label>)>,
    class_names: Option<Vec<String>>,
    /// What is damaged, and is not in `groups`.
    damages: Vec<String>,
}

/// Why a row group cannot be used.
enum Unusable {
    /// It is damaged; what is said of that.
    Damaged(String),
    /// It is not what is needed.
    Wrong(String),
}

impl OpenedFile {
    fn read(path: &Path, columns: Columns<'_>) -> Result<Self, DataError> {
        let (file, size) =
            vitral_files::open(path, Kind::PARQUET).map_err(|error| DataError::io(path, error))?;
        let file = Arc::new(file);
        let metadata = match column::guarded(|| metadata_of(&file)) {
            Ok(metadata) => metadata,
            Err(problem) => {
                let damages = vec![format!("is not a whole Parquet file: {problem}")];
                return Ok(Self { damages, ..Self::default() });
            }
        };
        let wrong = |problem: String| DataError::malformed(path, problem);
        let of_file = metadata.file_metadata();
        let named = Named::find(of_file, columns).map_err(wrong)?;
        let mut opened =
            Self { class_names: class_names_of(of_file, &named.label), ..Self::default() };
        let mut first_row = 0;
        for (number, row_group) in metadata.row_groups().iter().enumerate() {
            match read_row_group(&file, size, row_group, &named, first_row) {
                Ok((images, labels)) => opened.groups.push((first_row, images, labels)),
                Err(Unusable::Damaged(problem)) => {
                    let rows = row_group.num_rows();
                    opened.damages.push(format!("row group {number}, of {rows} rows: {problem}"));
                }
                Err(Unusable::Wrong(problem)) => return Err(wrong(problem)),
            }
            first_row = first_row.saturating_add(u64::try_from(row_group.num_rows()).unwrap_or(0));
        }
        Ok(opened)
    }
}

/// What a file says of itself, without statistics: the least and greatest values are images, too.
fn metadata_of(file: &File) -> Result<ParquetMetaData, Problem> {
    footer::check(file)?;
    let options = ParquetMetaDataOptions::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
    let reader = ParquetMetaDataReader::new().with_metadata_options(Some(options));
    Ok(reader.parse_and_finish(file)?)
}

fn read_row_group(
    file: &Arc<File>,
    size: u64,
    row_group: &RowGroupMetaData,
    named: &Named,
    first_row: u64,
) -> Result<(ColumnChunkMetaData, Vec<Label>), Unusable> {
    use Unusable::{Damaged, Wrong};
    let rows = usize::try_from(row_group.num_rows())
        .map_err(|_| Damaged("has a negative number of rows".into()))?;
    let images = named.image_of(row_group).map_err(Wrong)?;
    let labels = named.label_of(row_group).map_err(Wrong)?;
    let bytes = column::check(images, rows, size).map_err(Damaged)?;
    if usize::try_from(bytes).is_ok_and(|bytes| bytes > pages::MAX_BYTES) {
        return Err(Wrong(format!(
            "the images of a row group take {} GiB, and it is read as a whole; write the file with row groups of some 1000 rows",
            bytes >> 30
        )));
    }
    column::check(labels, rows, size).map_err(Damaged)?;
    let labels = read_labels(file, labels, rows).map_err(Damaged)?;
    if let Some(row) = labels.iter().position(Option::is_none) {
        return Err(Wrong(format!("row {}: has no label", first_row + row as u64)));
    }
    Ok((images.clone(), labels.into_iter().flatten().collect()))
}

#[cfg(test)]
mod tests;
