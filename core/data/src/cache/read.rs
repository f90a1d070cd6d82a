//! Reading a cache: a source whose images lie in memory that the system shares between processes.

use std::hash::Hasher;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_files::Kind;

use super::format::{ENTRY, Entry, Form, Header, checksum};
use super::map::Map;
use crate::error::{DataError, OnError, ReadError};
use crate::pixels::{Image, ImageView};
use crate::source::{Purpose, Settings, Source, Stored, has_extension, read_loaded};

/// Bytes that are verified together.
const PART: usize = 1 << 20;

/// What has happened to a file of which something is not there any more.
const CUT_SHORT: &str =
    "was cut short while it was in use, or its disk has failed; make the cache again";

/// Settings of `Cache`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "Cache", deny_unknown_fields)]
#[schemars(inline)]
pub struct CacheConfig {
    /// The cache's file.
    #[serde(with = "vitral_config::path_text")]
    #[schemars(with = "PathBuf")]
    pub path: PathBuf,
}

impl Settings for CacheConfig {
    fn open(&self, _: Purpose, _: OnError) -> Result<Arc<dyn Source>, DataError> {
        Ok(Arc::new(Cache::open(&self.path)?))
    }

    fn is_numbered(&self) -> bool {
        false
    }

    fn paths(&mut self) -> Vec<(String, &mut PathBuf)> {
        vec![("path".into(), &mut self.path)]
    }

    fn of_path(path: &Path) -> Option<Self> {
        has_extension(path, "vcache").then(|| Self { path: path.into() })
    }

    fn path_in_words() -> Option<&'static str> {
        Some(".vcache")
    }
}

/// A cache that is mapped into memory. Several processes that read the same one share its memory.
pub struct Cache {
    path: PathBuf,
    map: Map,
    /// Where the index is.
    index: Range<usize>,
    class_names: Vec<String>,
    /// One bit for each sample whose bytes were found to be as they were written.
    checked: Box<[AtomicU64]>,
}

impl Cache {
    /// Maps a cache into memory and checks its header, index and names.
    ///
    /// # Errors
    /// If the file cannot be read, is no cache or of another version, is cut short, or if its header,
    /// index or names were altered.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let io = |error| DataError::io(path, error);
        let wrong = |problem: String| DataError::malformed(path, problem);
        let (file, size) = vitral_files::open(path, Kind::CACHE).map_err(io)?;
        if size == 0 {
            return Err(wrong("is empty".into()));
        }
        let map = Map::new(&file).map_err(io)?;
        let header = Header::read(&map, map.len() as u64).map_err(wrong)?;
        let (index, names) = header.ranges();
        for (what, range, expected) in [
            ("index", &index, header.index_checksum),
            ("list of classes", &names, header.names_checksum),
        ] {
            if checksum(&map[range.clone()]) != expected {
                let problem = format!("is damaged: its {what} was altered; make the cache again");
                return Err(wrong(problem));
            }
        }
        let class_names: Vec<String> = serde_json::from_slice(&map[names])
            .map_err(|error| wrong(format!("is damaged: its list of classes is {error}")))?;
        for (number, bytes) in map[index.clone()].as_chunks().0.iter().enumerate() {
            let entry = Entry::read(bytes);
            let checked = entry.and_then(|entry| entry.check(header.index, class_names.len()));
            checked.map_err(|problem| wrong(format!("image {number} {problem}")))?;
        }
        if index.is_empty() {
            return Err(wrong("holds no images".into()));
        }
        let words = (index.len() / ENTRY).div_ceil(64);
        let checked = (0..words).map(|_| AtomicU64::new(0)).collect();
        let cache = Self { path: path.to_owned(), map, index, class_names, checked };
        cache.check_whole().and(Ok(cache))
    }

    /// Checks every sample's bytes. `done` is told of each, from several threads.
    ///
    /// # Errors
    /// The first image that was altered.
    pub fn verify(&self, done: impl Fn() + Sync) -> Result<(), ReadError> {
        let check = |number: usize| -> Result<(), ReadError> {
            let result = self.bytes(number, true);
            done();
            match result {
                Ok(_) => Ok(()),
                Err(reason) => Err(ReadError { name: self.name(number), reason }),
            }
        };
        // A disk is the fastest where it is read from start to end: threads take one part after the other.
        #[cfg(unix)]
        self.map.advise(memmap2::Advice::Sequential);
        let result = self
            .parts()
            .into_iter()
            .par_bridge()
            .try_for_each(|part| part.into_iter().try_for_each(check));
        #[cfg(unix)]
        self.map.advise(memmap2::Advice::Normal);
        result
    }

    /// All images, in parts of about [`PART`] bytes.
    fn parts(&self) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let (mut first, mut bytes) = (0, 0);
        for number in 0..self.len() {
            bytes += self.entry(number).map_or(0, |entry| entry.range().len());
            if bytes >= PART || number + 1 == self.len() {
                parts.push(first..number + 1);
                (first, bytes) = (number + 1, 0);
            }
        }
        parts
    }

    /// How many images are kept as pixels; the others are kept encoded.
    pub fn raw_images(&self) -> usize {
        let raw = |number: &usize| {
            self.entry(*number).is_ok_and(|entry| matches!(entry.form, Form::Raw { .. }))
        };
        (0..self.len()).filter(raw).count()
    }

    fn entry(&self, number: usize) -> Result<Entry, String> {
        let (entries, _) = self.map[self.index.clone()].as_chunks();
        Entry::read(&entries[number])
    }

    /// A sample's bytes in the map. They are checked when they are first read.
    fn bytes(&self, number: usize, again: bool) -> Result<(Entry, &[u8]), String> {
        let found = self.find(number, again);
        match self.map.is_whole() {
            true => found,
            false => Err(CUT_SHORT.into()),
        }
    }

    fn find(&self, number: usize, again: bool) -> Result<(Entry, &[u8]), String> {
        let entry = self.entry(number)?;
        let bytes = self.map.get(entry.range()).ok_or("the cache was altered while it was open")?;
        let (word, bit) = (&self.checked[number / 64], 1 << (number % 64));
        if again || word.load(Ordering::Relaxed) & bit == 0 {
            if checksum(bytes) != entry.checksum {
                return Err(
                    "its bytes are not those that were written; make the cache again".into()
                );
            }
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok((entry, bytes))
    }
}

impl Source for Cache {
    fn len(&self) -> usize {
        self.index.len() / ENTRY
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> u32 {
        // Every entry was readable when the cache was opened.
        self.entry(index).map_or(0, |entry| entry.label)
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        read_loaded(self, index)
    }

    /// Gives what lies in the map; the buffer is not used.
    fn load<'a>(&'a self, index: usize, _: &'a mut Vec<u8>) -> Result<Stored<'a>, ReadError> {
        let failed = |reason: String| ReadError { name: self.name(index), reason };
        let (entry, bytes) = self.bytes(index, false).map_err(failed)?;
        match entry.form {
            Form::Encoded => Ok(Stored::Encoded(bytes)),
            Form::Raw { width, height, channels } => {
                ImageView::new(width.into(), height.into(), channels, bytes)
                    .map(Stored::Pixels)
                    .map_err(|error| failed(error.to_string()))
            }
        }
    }

    fn name(&self, index: usize) -> String {
        format!("{}, image {index}", self.path.display())
    }

    /// The checksums of all images are in it.
    fn hash_index(&self, hasher: &mut dyn Hasher) {
        hasher.write(&self.map[self.index.clone()]);
    }

    fn check_whole(&self) -> Result<(), DataError> {
        match self.map.is_whole() {
            true => Ok(()),
            false => Err(DataError::malformed(&self.path, CUT_SHORT)),
        }
    }
}
