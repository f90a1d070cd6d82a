//! WebDataset: samples in tar files ("shards"), each of which is a few entries that share their name up
//! to the first dot, such as `cat/7.jpg` and `cat/7.cls`.

mod label;
mod shard;

use std::hash::Hasher;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_files::Kind;

use self::shard::{Contents, Entry, Parts};
use super::classes::{Classes, Label, name_labels};
use super::groups::{Groups, Recent};
use super::image_folder::EXTENSIONS;
use super::patterns;
use super::settings::{Purpose, Settings, has_extension, listed};
use super::stored::{Source, Stored, read_loaded};
use super::unread::{ENTRIES, Unread};
use crate::error::{DataError, OnError, ReadError};
use crate::pixels::{Image, MAX_IMAGE_BYTES};

/// About how much is read at once where shards are read from start to end.
const READ_BYTES: u64 = 16 << 20;

/// Settings of `WebDataset`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "WebDataset", deny_unknown_fields)]
#[schemars(inline)]
pub struct WebDatasetConfig {
    /// The tar files: paths, `train-{000000..000009}.tar`, `train-*.tar`.
    #[serde(with = "vitral_config::path_text::list")]
    #[schemars(with = "Vec<PathBuf>")]
    pub shards: Vec<PathBuf>,
    /// Names of the classes in the order of their numbers. Without them, the names in the samples
    /// are sorted; where these have numbers, the numbers are the names.
    #[serde(default)]
    pub classes: Option<Vec<String>>,
    /// The extension of a sample's image, such as `jpg` or `input.jpg`. Without it, that of a JPEG,
    /// PNG or WebP file.
    #[serde(default)]
    pub image: Option<String>,
    /// The extension of the entry with a sample's class, such as `cls`, `target.json` or `txt`.
    /// Without it, `cls`, or else `json`. A `txt` is the class's name if classes are listed, and in
    /// validation, where they are those of the training; otherwise it is a caption.
    #[serde(default)]
    pub label: Option<String>,
    /// The key of the class in a sample's `json`; dots separate nested keys.
    #[serde(default = "default_label_key")]
    pub label_key: String,
    /// Read each shard from start to end, in a random order of shards, which suits disks, and
    /// shuffle about this many images together; twice as many, encoded, are held in memory. Without
    /// it, any image can come next, and each is read on its own.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub shuffle_buffer: Option<usize>,
}

fn default_label_key() -> String {
    "label".into()
}

impl Settings for WebDatasetConfig {
    fn open(&self, purpose: Purpose, on_error: OnError) -> Result<Arc<dyn Source>, DataError> {
        let parts = Parts {
            image: self.image.as_deref(),
            label: self.label.as_deref(),
            label_key: &self.label_key,
            named_in_text: self.classes.is_some() || purpose == Purpose::Validation,
        };
        let classes = Classes::choose(self.classes.as_deref());
        let (shards, buffer) = (&self.shards, self.shuffle_buffer);
        Ok(Arc::new(WebDataset::open_with(shards, classes, parts, buffer, on_error)?))
    }

    fn is_numbered(&self) -> bool {
        self.classes.is_some()
    }

    fn paths(&mut self) -> Vec<(String, &mut PathBuf)> {
        listed("shards", &mut self.shards)
    }

    fn is_patterned(&self) -> bool {
        true
    }

    fn of_path(path: &Path) -> Option<Self> {
        has_extension(path, "tar").then(|| Self {
            shards: vec![path.into()],
            classes: None,
            image: None,
            label: None,
            label_key: default_label_key(),
            shuffle_buffer: None,
        })
    }

    fn path_in_words() -> Option<&'static str> {
        Some(".tar")
    }
}

/// Images and their classes in tar files, found by one pass over the headers.
pub struct WebDataset {
    shards: Vec<PathBuf>,
    samples: Vec<Sample>,
    labels: Vec<u32>,
    class_names: Vec<String>,
    sequential: Option<Sequential>,
    notes: Vec<String>,
    damaged: Vec<String>,
}

/// Where an image lies.
struct Sample {
    shard: u32,
    /// Its first byte in the shard.
    offset: u64,
    length: u64,
    /// The entry's name.
    name: Box<str>,
}

/// Shards are read in long pieces, each with several samples.
struct Sequential {
    groups: Groups,
    pieces: Recent<Bytes>,
}

impl WebDataset {
    /// Finds the samples of all shards. `shards` are paths and patterns, such as
    /// `train-{000000..000009}.tar` or `train-*.tar`.
    ///
    /// A sample's image is its entry with the extension of a JPEG, PNG or WebP file, or else the only one
    /// whose extension ends so, as `input.jpg` does. Its class is in its `cls` (a number), `json` (a number
    /// or a name, under `label_key`) or, where `classes` are given, `txt` (a name). Without `classes`,
    /// names are sorted.
    ///
    /// With `shuffle_buffer`, shards are read in long pieces and about as many images as it says are
    /// shuffled together; else every image can come at any time, and is read on its own.
    ///
    /// # Errors
    /// If there are no shards, one cannot be read or is no tar file, or a sample has no image, no
    /// class, or a class that is not listed.
    pub fn open(
        shards: &[PathBuf],
        classes: Option<&[String]>,
        label_key: &str,
        shuffle_buffer: Option<usize>,
    ) -> Result<Self, DataError> {
        let parts = Parts { image: None, label: None, label_key, named_in_text: classes.is_some() };
        let classes = Classes::choose(classes);
        Self::open_with(shards, classes, parts, shuffle_buffer, OnError::Stop)
    }

    /// Where damaged shards are left out, what is before a damage is not.
    pub(crate) fn open_with(
        shards: &[PathBuf],
        classes: Classes<'_>,
        parts: Parts<'_>,
        shuffle_buffer: Option<usize>,
        on_error: OnError,
    ) -> Result<Self, DataError> {
        let shards = patterns::expand("shards", shards)?;
        let found: Result<Vec<_>, _> =
            shards.par_iter().map(|shard| shard::read(shard, parts)).collect();
        let (mut samples, mut labels) = (Vec::new(), Vec::new());
        let mut beside = Beside::default();
        for (number, (path, contents)) in (0..).zip(shards.iter().zip(found?)) {
            if let (Some(problem), OnError::Stop) = (&contents.damage, on_error) {
                return Err(DataError::damaged(path, problem.as_str()));
            }
            for (Entry { name, offset, length }, label) in beside.take(path, contents) {
                samples.push(Sample { shard: number, offset, length, name });
                labels.push(label);
            }
        }
        let first = shards.first().map_or(Path::new(""), PathBuf::as_path);
        if samples.is_empty() {
            return Err(DataError::malformed(first, beside.no_samples()));
        }
        let name = |index: usize| {
            let sample: &Sample = &samples[index];
            format!("{}, {}", shards[sample.shard as usize].display(), sample.name)
        };
        let (labels, class_names) = name_labels(labels, classes, None, name)?;
        let sequential = match shuffle_buffer {
            Some(buffer) => Some(Sequential::new(&samples, buffer)?),
            None => None,
        };
        let damaged = std::mem::take(&mut beside.damages);
        Ok(Self {
            shards,
            samples,
            labels,
            class_names,
            sequential,
            notes: beside.notes(parts),
            damaged,
        })
    }

    /// Puts the image's bytes into `buffer`: cut out of their piece, or read on their own.
    fn load_bytes(&self, index: usize, buffer: &mut Vec<u8>) -> Result<(), String> {
        let sample = &self.samples[index];
        if sample.length > MAX_IMAGE_BYTES {
            return Err(format!("the image is larger than {} MiB", MAX_IMAGE_BYTES >> 20));
        }
        let shard = &self.shards[sample.shard as usize];
        let Some(Sequential { groups, pieces }) = &self.sequential else {
            return read_range(shard, sample.offset, sample.length, buffer);
        };
        let (piece, _) = groups.locate(index);
        let range = groups.samples(piece);
        let (first, last) = (&self.samples[range.start as usize], range.end as usize - 1);
        let end = self.samples[last].offset + self.samples[last].length;
        let piece = pieces.get(piece, || {
            let mut bytes = Vec::new();
            read_range(shard, first.offset, end - first.offset, &mut bytes)?;
            Ok(bytes.into())
        })?;
        // Offsets ascend within a piece, and its samples end where it ends or before.
        let start = (sample.offset - first.offset) as usize;
        buffer.clear();
        buffer.extend_from_slice(&piece[start..start + sample.length as usize]);
        Ok(())
    }
}

impl Sequential {
    fn new(samples: &[Sample], buffer: usize) -> Result<Self, DataError> {
        let mut sizes: Vec<u32> = Vec::new();
        let mut first: Option<&Sample> = None;
        for sample in samples {
            let end = sample.offset + sample.length;
            let fits =
                |first: &&Sample| first.shard == sample.shard && end - first.offset <= READ_BYTES;
            match (first.filter(fits), sizes.last_mut()) {
                (Some(_), Some(size)) => *size += 1,
                _ => {
                    first = Some(sample);
                    sizes.push(1);
                }
            }
        }
        let groups = Groups::of_sizes(sizes, buffer)
            .ok_or_else(|| DataError::setting("shards", "hold too many samples"))?;
        let pieces = Recent::of(&groups);
        Ok(Self { groups, pieces })
    }
}

impl Source for WebDataset {
    fn len(&self) -> usize {
        self.samples.len()
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
        self.load_bytes(index, buffer)
            .map_err(|reason| ReadError { name: self.name(index), reason })?;
        Ok(Stored::Encoded(buffer))
    }

    fn name(&self, index: usize) -> String {
        let sample = &self.samples[index];
        format!("{}, {}", self.shards[sample.shard as usize].display(), sample.name)
    }

    fn groups(&self) -> Option<&Groups> {
        self.sequential.as_ref().map(|sequential| &sequential.groups)
    }

    fn keep_groups(&self, shuffled: usize) {
        self.sequential.iter().for_each(|sequential| sequential.pieces.keep(shuffled));
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn hash_index(&self, hasher: &mut dyn Hasher) {
        for Sample { shard, offset, length, name } in &self.samples {
            hasher.write_u32(*shard);
            hasher.write_u64(*offset);
            hasher.write_u64(*length);
            hasher.write(name.as_bytes());
            hasher.write_u8(0);
        }
    }

    fn damaged(&self) -> &[String] {
        &self.damaged
    }
}

/// What the shards have beside their samples.
#[derive(Default)]
struct Beside {
    damages: Vec<String>,
    unread: Unread,
    imageless: usize,
    endless: Vec<String>,
}

impl Beside {
    /// Gives a shard's samples, and keeps the rest.
    fn take(&mut self, path: &Path, contents: Contents) -> Vec<(Entry, Label)> {
        let Contents { samples, unread, imageless, damage, endless } = contents;
        let name = path.display();
        if let Some(problem) = damage {
            let kept = samples.len();
            self.damages.push(format!("{name} {problem}; only its first {kept} samples are read"));
        } else if endless {
            self.endless.push(name.to_string());
        }
        self.unread.merge(unread);
        self.imageless += imageless;
        samples
    }

    fn no_samples(&self) -> String {
        let found = self.unread.describe(ENTRIES).map(|entries| format!("; not read: {entries}"));
        let read = EXTENSIONS.join(", ");
        let found = found.or_else(|| self.damages.first().map(|damage| format!("; {damage}")));
        format!("holds no samples with an image ({read}) and a class{}", found.unwrap_or_default())
    }

    fn notes(self, parts: Parts<'_>) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.endless.is_empty() {
            let shards = self.endless.join(", ");
            notes.push(format!("without a tar file's last block, so perhaps cut short: {shards}"));
        }
        match self.imageless {
            0 => {}
            1 => notes.push("1 sample has a class and no image, and is left out".into()),
            count => {
                notes.push(format!("{count} samples have a class and no image, and are left out"))
            }
        }
        if let Some(entries) = self.unread.describe(ENTRIES) {
            let captions = match (self.unread.count("txt"), parts.label) {
                (0, _) | (_, Some(_)) => "",
                _ => {
                    " (txt are taken for captions; `label: \"txt\"` takes them for names of classes)"
                }
            };
            notes.push(format!("not read, being neither image nor class: {entries}{captions}"));
        }
        notes
    }
}

fn read_range(path: &Path, offset: u64, length: u64, bytes: &mut Vec<u8>) -> Result<(), String> {
    bytes.clear();
    let mut read = || {
        let (mut file, _) = vitral_files::open(path, Kind::SHARD)?;
        file.seek(SeekFrom::Start(offset))?;
        file.take(length).read_to_end(bytes)?;
        if (bytes.len() as u64) < length {
            return Err(io::Error::other("the shard is shorter than it was when it was opened"));
        }
        Ok(())
    };
    read().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
