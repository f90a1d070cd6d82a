//! WebDataset: samples in tar files ("shards"), each of which is a few entries in a row that share
//! their name up to the first dot, such as `cat/7.jpg` and `cat/7.cls`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rayon::prelude::*;
use tar::Archive;

use super::classes::{Classes, Label, name_labels};
use super::groups::{Groups, Recent};
use super::image_folder::EXTENSIONS;
use super::{Source, Stored, patterns, read_loaded};
use crate::error::{DataError, ReadError};
use crate::pixels::{Image, MAX_IMAGE_BYTES};

/// Extensions of entries that can say a sample's class, in the order in which they are asked.
const LABEL_EXTENSIONS: [&str; 3] = ["cls", "json", "txt"];

/// The most bytes that an entry with a label may have.
const MAX_LABEL_BYTES: u64 = 1 << 20;

/// About how much is read at once where shards are read from start to end.
const READ_BYTES: u64 = 16 << 20;

/// Images and their classes in tar files, found by one pass over the headers.
pub struct WebDataset {
    shards: Vec<PathBuf>,
    samples: Vec<Sample>,
    labels: Vec<u32>,
    class_names: Vec<String>,
    sequential: Option<Sequential>,
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
    /// A sample's image is its entry with the extension jpg, jpeg, png or webp. Its class is in its
    /// `cls` (a number), `json` (a number or a name, under `label_key`), or `txt` (a name). Without
    /// `classes`, names are sorted.
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
        Self::open_with(shards, Classes::choose(classes), label_key, shuffle_buffer)
    }

    pub(crate) fn open_with(
        shards: &[PathBuf],
        classes: Classes<'_>,
        label_key: &str,
        shuffle_buffer: Option<usize>,
    ) -> Result<Self, DataError> {
        let shards = patterns::expand("shards", shards)?;
        let found: Result<Vec<_>, _> =
            shards.par_iter().map(|shard| samples_of(shard, label_key)).collect();
        let (mut samples, mut labels) = (Vec::new(), Vec::new());
        for (number, found) in (0..).zip(found?) {
            for Found { entry, label } in found {
                let Entry { name, offset, length } = entry;
                samples.push(Sample { shard: number, offset, length, name: name.into() });
                labels.push(label);
            }
        }
        let first = shards.first().map_or(Path::new(""), PathBuf::as_path);
        if samples.is_empty() {
            let problem = "holds no samples with an image (jpg, jpeg, png, webp) and a class";
            return Err(DataError::malformed(first, problem));
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
        Ok(Self { shards, samples, labels, class_names, sequential })
    }

    /// Puts the image's bytes into `buffer`: cut out of their piece, or read on their own.
    fn load_bytes(&self, index: usize, buffer: &mut Vec<u8>) -> Result<(), String> {
        let sample = &self.samples[index];
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
}

fn read_range(path: &Path, offset: u64, length: u64, bytes: &mut Vec<u8>) -> Result<(), String> {
    bytes.clear();
    let mut read = || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        file.take(length).read_to_end(bytes)?;
        if (bytes.len() as u64) < length {
            return Err(io::Error::other("the shard is shorter than it was when it was opened"));
        }
        Ok(())
    };
    read().map_err(|error| error.to_string())
}

/// An entry of a shard that is not read yet.
struct Entry {
    name: String,
    offset: u64,
    length: u64,
}

/// A sample that has an image and a class.
struct Found {
    entry: Entry,
    label: Label,
}

/// The entries of the sample that is being read, as far as they matter.
struct Pending {
    key: String,
    image: Option<Entry>,
    /// The label's rank in [`LABEL_EXTENSIONS`], and what it says.
    label: Option<(usize, Label)>,
}

/// All samples of a shard that have an image.
fn samples_of(path: &Path, label_key: &str) -> Result<Vec<Found>, DataError> {
    let file = File::open(path).map_err(|error| DataError::io(path, error))?;
    let size = file.metadata().map_err(|error| DataError::io(path, error))?.len();
    refuse_compressed(path, &file)?;
    let wrong =
        |error: io::Error| DataError::malformed(path, format!("is not a whole tar file: {error}"));
    let mut archive = Archive::new(&file);
    let mut samples = Vec::new();
    let mut pending: Option<Pending> = None;
    for entry in archive.entries_with_seek().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        let name = text_of(&entry.path_bytes());
        if !entry.header().entry_type().is_file() || is_hidden(&name) {
            continue;
        }
        let (offset, length) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(length).is_none_or(|end| end > size) {
            let problem = format!("is cut short: its entry {name} goes beyond the file's end");
            return Err(DataError::malformed(path, problem));
        }
        let (key, extension) = split_name(&name);
        if pending.as_ref().is_none_or(|pending| pending.key != key) {
            let fresh = Pending { key: key.to_owned(), image: None, label: None };
            finish(path, pending.replace(fresh), &mut samples)?;
        }
        // It was put there just now, unless it was there before.
        let Some(sample) = &mut pending else { continue };
        if EXTENSIONS.contains(&&*extension) {
            if sample.image.is_some() {
                let problem = format!("sample {} has two images; the second is {name}", sample.key);
                return Err(DataError::malformed(path, problem));
            }
            if length > MAX_IMAGE_BYTES {
                let problem = format!("{name} is larger than {} MiB", MAX_IMAGE_BYTES >> 20);
                return Err(DataError::malformed(path, problem));
            }
            sample.image = Some(Entry { name, offset, length });
        } else if let Some(rank) = LABEL_EXTENSIONS.iter().position(|known| *known == extension)
            && sample.label.as_ref().is_none_or(|(known, _)| rank < *known)
        {
            let label = read_label(&mut entry, &extension, label_key)
                .map_err(|problem| DataError::malformed(path, format!("{name}: {problem}")))?;
            sample.label = label.map(|label| (rank, label)).or(sample.label.take());
        }
    }
    finish(path, pending, &mut samples)?;
    Ok(samples)
}

/// A name as text. Bytes that are no UTF-8 are written out, so that names which differ stay different.
fn text_of(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// Takes the sample whose entries are over. What has no image is no sample of this data set.
fn finish(path: &Path, sample: Option<Pending>, samples: &mut Vec<Found>) -> Result<(), DataError> {
    let Some(Pending { key, image: Some(entry), label }) = sample else { return Ok(()) };
    let Some((_, label)) = label else {
        let problem = format!("sample {key} has an image but no class ({key}.cls, .json or .txt)");
        return Err(DataError::malformed(path, problem));
    };
    samples.push(Found { entry, label });
    Ok(())
}

/// What an entry says of its sample's class; JSON may say nothing.
fn read_label(
    entry: &mut impl Read,
    extension: &str,
    label_key: &str,
) -> Result<Option<Label>, String> {
    let mut text = String::new();
    let count = entry.take(MAX_LABEL_BYTES + 1).read_to_string(&mut text);
    if count.map_err(|error| error.to_string())? as u64 > MAX_LABEL_BYTES {
        return Err(format!("is larger than {} MiB", MAX_LABEL_BYTES >> 20));
    }
    let text = text.trim();
    match extension {
        "cls" => match text.parse() {
            Ok(number) => Ok(Some(Label::Number(number))),
            Err(_) => Err(format!("holds {text:.40?}, where the number of a class is needed")),
        },
        "json" => {
            let value: serde_json::Value =
                serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
            match value.get(label_key) {
                None | Some(serde_json::Value::Null) => Ok(None),
                Some(serde_json::Value::String(name)) => Ok(Some(Label::Name(name.clone()))),
                Some(value) => match value.as_i64() {
                    Some(number) => Ok(Some(Label::Number(number))),
                    None => Err(format!("`{label_key}` is neither a whole number nor a name")),
                },
            }
        }
        _ if text.is_empty() => Err("is empty, where the name of a class is needed".into()),
        _ => Ok(Some(Label::Name(text.to_owned()))),
    }
}

/// A sample's key and an entry's extension, in lower case: the name is cut at the first dot after the
/// last `/`.
fn split_name(name: &str) -> (&str, String) {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[base..].find('.') {
        Some(dot) => (&name[..base + dot], name[base + dot + 1..].to_ascii_lowercase()),
        None => (name, String::new()),
    }
}

/// Whether an entry is a system's or WebDataset's own, as `._7.jpg` and `__meta__` are.
fn is_hidden(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    base.starts_with('.') || base.starts_with("__")
}

fn refuse_compressed(path: &Path, mut file: &File) -> Result<(), DataError> {
    let mut start = [0; 4];
    let read = file.read(&mut start).and_then(|_| file.rewind());
    read.map_err(|error| DataError::io(path, error))?;
    if start.starts_with(&[0x1f, 0x8b]) || start == [0x28, 0xb5, 0x2f, 0xfd] {
        let problem = "is compressed; decompress it, so that samples can be found in it";
        return Err(DataError::malformed(path, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
