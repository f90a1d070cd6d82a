//! One shard: which samples it has, found by one pass over its headers.
//!
//! A name is cut at the first dot after its last `/`, as WebDataset's own library does it: what is before
//! is the sample's key, what is behind the entry's extension, such as `jpg` or `input.jpg`. Entries of one
//! key are one sample wherever they lie in the shard, unless they repeat.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use tar::Archive;
use vitral_files::Kind;

use super::super::classes::Label;
use super::super::image_folder::EXTENSIONS;
use super::super::unread::Unread;
use super::label::{self, Told};
use crate::error::DataError;

/// A tar file consists of blocks of this many bytes, and ends with an empty one.
const BLOCK: u64 = 512;

/// Which of a sample's entries are its image and its class, as the configuration says it.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub image: Option<&'a str>,
    pub label: Option<&'a str>,
    pub label_key: &'a str,
    /// Whether a `txt` has the name of a class, and no caption, where there is no better entry.
    pub named_in_text: bool,
}

/// An entry of a shard that is not read yet.
pub(super) struct Entry {
    pub name: Box<str>,
    pub offset: u64,
    pub length: u64,
}

/// What a shard has.
#[derive(Default)]
pub(super) struct Contents {
    /// Images and their classes, in the order in which the images lie.
    pub samples: Vec<(Entry, Label)>,
    /// Entries that are neither.
    pub unread: Unread,
    /// Classes without an image.
    pub imageless: usize,
    /// Why what comes after these samples cannot be read.
    pub damage: Option<String>,
    /// Whether there is no empty block at its end.
    pub endless: bool,
}

/// Finds the samples of a shard. What is before a damage is found.
pub(super) fn read(path: &Path, parts: Parts<'_>) -> Result<Contents, DataError> {
    let (file, size) =
        vitral_files::open(path, Kind::SHARD).map_err(|error| DataError::io(path, error))?;
    refuse_compressed(path, &file)?;
    let mut scan = Scan::new(path, parts, size);
    scan.entries(&file)?;
    scan.finish()
}

/// The samples of a shard whose entries are being read.
struct Scan<'a> {
    path: &'a Path,
    parts: Parts<'a>,
    size: u64,
    samples: Vec<Sample>,
    /// Where in `samples` a key's is.
    by_key: HashMap<Vec<u8>, usize>,
    /// Where the last entry ends.
    end: u64,
    contents: Contents,
}

/// The entries of one key, as far as they matter.
struct Sample {
    key: Box<str>,
    image: Choice<Entry>,
    label: Choice<Label>,
    /// What its JSON has in place of the label.
    other_keys: Option<String>,
    /// Extensions of its other entries.
    others: Vec<String>,
}

/// The best of some entries with their extensions, and one that is as good.
struct Choice<T> {
    best: Option<(usize, String, T)>,
    rival: Option<String>,
}

impl<T> Choice<T> {
    const fn none() -> Self {
        Self { best: None, rival: None }
    }

    /// Whether an entry of the rank would be looked at.
    fn wants(&self, rank: usize) -> bool {
        self.best.as_ref().is_none_or(|(best, ..)| rank <= *best)
    }

    /// Takes an entry that is [wanted](Self::wants), and gives back the extension of a worse one.
    fn take(&mut self, rank: usize, extension: &str, value: T) -> Option<String> {
        if self.best.as_ref().is_some_and(|(best, ..)| rank == *best) {
            self.rival.get_or_insert_with(|| extension.to_owned());
            return None;
        }
        self.rival = None;
        self.best.replace((rank, extension.to_owned(), value)).map(|(_, worse, _)| worse)
    }

    /// The extensions between which nothing decides.
    fn tie(&self) -> Option<(&str, &str)> {
        let (_, best, _) = self.best.as_ref()?;
        Some((best, self.rival.as_deref()?))
    }
}

impl<'a> Scan<'a> {
    fn new(path: &'a Path, parts: Parts<'a>, size: u64) -> Self {
        Self {
            path,
            parts,
            size,
            samples: Vec::new(),
            by_key: HashMap::new(),
            end: 0,
            contents: Contents::default(),
        }
    }

    fn wrong(&self, problem: impl Into<String>) -> DataError {
        DataError::malformed(self.path, problem)
    }

    /// Reads all headers, and the entries that have a label.
    fn entries(&mut self, file: &File) -> Result<(), DataError> {
        let damaged = |error: io::Error| Some(format!("is not a whole tar file: {error}"));
        let mut archive = Archive::new(file);
        let entries = match archive.entries_with_seek() {
            Ok(entries) => entries,
            Err(error) => {
                self.contents.damage = damaged(error);
                return Ok(());
            }
        };
        for entry in entries {
            let mut entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.contents.damage = damaged(error);
                    return Ok(());
                }
            };
            let (offset, length) = (entry.raw_file_position(), entry.size());
            let bytes = entry.path_bytes().into_owned();
            let name = text_of(&bytes);
            let end = offset.checked_add(length).filter(|end| *end <= self.size);
            let Some(end) = end else {
                self.contents.damage =
                    Some(format!("is cut short: its entry {name} goes beyond the file's end"));
                return Ok(());
            };
            self.end = end.next_multiple_of(BLOCK);
            if entry.header().entry_type().is_file() && !is_hidden(&bytes) {
                self.entry(&bytes, Entry { name: name.into(), offset, length }, &mut entry)?;
            }
        }
        self.contents.endless = self.end > 0 && self.size < self.end + BLOCK;
        Ok(())
    }

    fn entry(
        &mut self,
        name: &[u8],
        entry: Entry,
        content: &mut impl Read,
    ) -> Result<(), DataError> {
        let (key, extension) = split_name(name);
        let at = self.sample_of(key, &extension);
        let full_name = entry.name.clone();
        let sample = &mut self.samples[at];
        let passed_over = if let Some(rank) = self.parts.image_rank(&extension)
            && sample.image.wants(rank)
        {
            sample.image.take(rank, &extension, entry)
        } else if let Some(rank) = self.parts.label_rank(&extension)
            && sample.label.wants(rank)
        {
            let told = label::read(content, &extension, self.parts.label_key);
            match told.map_err(|problem| {
                DataError::malformed(self.path, format!("{full_name}: {problem}"))
            })? {
                Told::Label(label) => sample.label.take(rank, &extension, label),
                Told::OtherKeys(keys) => {
                    sample.other_keys = Some(keys);
                    None
                }
            }
        } else {
            Some(extension)
        };
        if let Some(extension) = passed_over {
            self.contents.unread.add(&extension, || full_name.into());
            if !sample.others.contains(&extension) {
                sample.others.push(extension);
            }
        }
        Ok(())
    }

    /// The place of the sample that an entry belongs to. Where it has such an entry already, the key stands
    /// for another sample from there on, as in shards that were put together.
    fn sample_of(&mut self, key: &[u8], extension: &str) -> usize {
        let known = self.by_key.get(key).filter(|at| !self.samples[**at].has(extension));
        if let Some(at) = known {
            return *at;
        }
        self.samples.push(Sample {
            key: text_of(key).into(),
            image: Choice::none(),
            label: Choice::none(),
            other_keys: None,
            others: Vec::new(),
        });
        self.by_key.insert(key.to_vec(), self.samples.len() - 1);
        self.samples.len() - 1
    }

    /// Takes the samples when all entries are known.
    fn finish(mut self) -> Result<Contents, DataError> {
        // Where an end was cut off between two entries, a sample may lack its last ones.
        let cut_off = self.contents.endless && self.samples.last().is_some_and(Sample::is_partial);
        if self.contents.damage.is_none() && cut_off {
            let problem = "is cut short: it ends within a sample, without a tar file's last block";
            self.contents.damage = Some(problem.into());
        }
        for sample in std::mem::take(&mut self.samples) {
            self.sample(sample)?;
        }
        self.contents.samples.sort_by_key(|(image, _)| image.offset);
        Ok(self.contents)
    }

    fn sample(&mut self, sample: Sample) -> Result<(), DataError> {
        if let Some((one, other)) = sample.image.tie() {
            let key = &sample.key;
            return Err(self.wrong(format!(
                "sample {key} has two images, {one} and {other}; `image: {one:?}` chooses one"
            )));
        }
        if let Some((one, other)) = sample.label.tie() {
            let key = &sample.key;
            return Err(self.wrong(format!(
                "sample {key} has two classes, in its {one} and its {other}; `label: {one:?}` \
                 chooses one"
            )));
        }
        match (sample.image.best, sample.label.best) {
            (Some((_, _, image)), Some((_, _, label))) => {
                self.contents.samples.push((image, label));
            }
            (None, Some(_)) => self.contents.imageless += 1,
            // The missing part may be in what cannot be read.
            (Some(_), None) if self.contents.damage.is_some() => {}
            (Some(_), None) => {
                let why = classless(&sample.key, sample.other_keys, &sample.others, self.parts);
                return Err(self.wrong(why));
            }
            (None, None) => {}
        }
        Ok(())
    }
}

impl Sample {
    /// Whether its image or its class has the extension.
    fn has(&self, extension: &str) -> bool {
        let image = self.image.best.as_ref().map(|(_, extension, _)| extension);
        let label = self.label.best.as_ref().map(|(_, extension, _)| extension);
        image.into_iter().chain(label).any(|known| known == extension)
    }

    fn is_partial(&self) -> bool {
        self.image.best.is_some() != self.label.best.is_some()
    }
}

impl Parts<'_> {
    /// How good an entry is as an image, less being better; nothing if it is none.
    fn image_rank(&self, extension: &str) -> Option<usize> {
        match self.image {
            Some(chosen) => chosen.eq_ignore_ascii_case(extension).then_some(0),
            None if EXTENSIONS.contains(&extension) => Some(0),
            None => EXTENSIONS.contains(&extension.rsplit('.').next()?).then_some(1),
        }
    }

    /// How good an entry is as a class, less being better; nothing if it is none.
    fn label_rank(&self, extension: &str) -> Option<usize> {
        if let Some(chosen) = self.label {
            return chosen.eq_ignore_ascii_case(extension).then_some(0);
        }
        match (extension, extension.rsplit('.').next()?) {
            ("cls", _) => Some(0),
            ("json", _) => Some(1),
            (_, "cls") => Some(2),
            (_, "json") => Some(3),
            ("txt", _) if self.named_in_text => Some(4),
            _ => None,
        }
    }
}

/// Why a sample with an image has no class, and what would give it one.
fn classless(key: &str, other_keys: Option<String>, others: &[String], parts: Parts<'_>) -> String {
    if let Some(keys) = other_keys {
        return format!("sample {key} has an image but no class: {keys}");
    }
    if let Some(chosen) = parts.label {
        let has = others.join(", ");
        return format!("sample {key} has an image but no class ({key}.{chosen}); it has: {has}");
    }
    let start = format!("sample {key} has an image but no class ({key}.cls or .json)");
    match others.iter().find(|other| *other == "txt").or(others.first()) {
        None => start,
        Some(text) if text == "txt" => format!(
            "{start}; its txt is taken for a caption. `label: \"txt\"` takes it for the name of its class"
        ),
        Some(other) => {
            let has = others.join(", ");
            format!("{start}; it has: {has}. `label` says which holds it, as in `label: {other:?}`")
        }
    }
}

/// A sample's key and an entry's extension, in lower case.
fn split_name(name: &[u8]) -> (&[u8], String) {
    let base = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    match name[base..].iter().position(|&byte| byte == b'.') {
        Some(dot) => (&name[..base + dot], text_of(&name[base + dot + 1..]).to_ascii_lowercase()),
        None => (name, String::new()),
    }
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

/// Whether an entry is a system's or WebDataset's own, as `._7.jpg` and `__meta__/x` are.
fn is_hidden(name: &[u8]) -> bool {
    let is_own = |part: &[u8]| part.starts_with(b".") || part.starts_with(b"__");
    name.split(|&byte| byte == b'/').any(|part| !matches!(part, b"." | b"..") && is_own(part))
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
