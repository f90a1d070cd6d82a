//! How far an unfinished cache has come: a file beside it, to which is added what has reached the
//! disk.
//!
//! It starts with what the cache is made of; a record follows for each part of the payload that was
//! flushed. A record that was not wholly written when the program was ended does not count.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::format::{ENTRY, Entry, PAGE, checksum};
use crate::error::DataError;

const MAGIC: &[u8; 8] = b"VITRALJ1";

/// What is known of an unfinished cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// The source's first sample that is not dealt with.
    pub next: u64,
    /// The end of the payload so far.
    pub end: u64,
    /// Samples that are in the payload.
    pub entries: Vec<Entry>,
}

impl Progress {
    fn none() -> Self {
        Self { next: 0, end: PAGE, entries: Vec::new() }
    }
}

/// The journal of the cache that this process makes; locked until it is dropped.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens or starts the journal at `path` of a cache that is made of what `fingerprint` stands
    /// for.
    ///
    /// # Errors
    /// If another process writes it, or it belongs to a cache of something else.
    pub(super) fn open(path: &Path, fingerprint: u64) -> Result<(Self, Progress), DataError> {
        let io = |error| DataError::write(path, error);
        let mut file = vitral_files::update(path, vitral_files::Kind::JOURNAL).map_err(io)?;
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => {
                DataError::malformed(path, "another process is making this cache")
            }
            std::fs::TryLockError::Error(error) => io(error),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let start = [&MAGIC[..], &fingerprint.to_le_bytes()].concat();
        let (progress, kept) = match bytes.strip_prefix(&start[..]) {
            Some(records) => read_records(records),
            None if bytes.len() < start.len() => (Progress::none(), 0),
            None => {
                let problem = "belongs to an unfinished cache of other images or with other \
                               settings; remove this file to start over";
                return Err(DataError::malformed(path, problem));
            }
        };
        let mut journal = Self { file, path: path.to_owned() };
        let start_over = progress == Progress::none();
        if start_over {
            journal.restart(&start).map_err(io)?;
        } else {
            let end = (start.len() + kept) as u64;
            journal.file.set_len(end).map_err(io)?;
            journal.file.seek(SeekFrom::Start(end)).map_err(io)?;
        }
        Ok((journal, progress))
    }

    fn restart(&mut self, start: &[u8]) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(start)?;
        self.file.sync_all()
    }

    /// Forgets all records: what they speak of is not there.
    pub(super) fn forget(&mut self) -> Result<Progress, DataError> {
        let length = (MAGIC.len() + 8) as u64;
        let forget = self.file.set_len(length);
        forget
            .and_then(|()| self.file.seek(SeekFrom::Start(length)))
            .map_err(|error| DataError::write(&self.path, error))?;
        Ok(Progress::none())
    }

    /// Adds that the payload up to `end` is on the disk, with these further samples, and that all of
    /// the source's samples before `next` are dealt with.
    pub(super) fn add(&mut self, next: u64, end: u64, entries: &[Entry]) -> io::Result<()> {
        let mut record = Vec::with_capacity(32 + entries.len() * ENTRY);
        for number in [next, end, entries.len() as u64] {
            record.extend(number.to_le_bytes());
        }
        entries.iter().for_each(|entry| record.extend(entry.to_bytes()));
        record.extend(checksum(&record).to_le_bytes());
        // Not flushed, which would halve the speed: should the machine fail, a record that is lost
        // or torn costs the time of its part, and the part itself was flushed before.
        self.file.write_all(&record)
    }

    /// Removes the journal of a cache that is finished.
    pub(super) fn remove(self) -> Result<(), DataError> {
        std::fs::remove_file(&self.path).map_err(|error| DataError::write(&self.path, error))
    }
}

/// What the whole records say, and their bytes.
fn read_records(bytes: &[u8]) -> (Progress, usize) {
    let mut progress = Progress::none();
    let mut rest = bytes;
    while let Some((next, end, entries, after)) = read_record(rest) {
        progress.next = next;
        progress.end = end;
        progress.entries.extend(entries);
        rest = after;
    }
    (progress, bytes.len() - rest.len())
}

fn read_record(bytes: &[u8]) -> Option<(u64, u64, Vec<Entry>, &[u8])> {
    let number = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let (next, end, count) = (number(0)?, number(8)?, number(16)?);
    let length = usize::try_from(count).ok()?.checked_mul(ENTRY)?.checked_add(24)?;
    let record = bytes.get(..length)?;
    if number(length)? != checksum(record) {
        return None;
    }
    let entries: Result<_, _> = record[24..].as_chunks().0.iter().map(Entry::read).collect();
    Some((next, end, entries.ok()?, &bytes[length + 8..]))
}

#[cfg(test)]
mod tests {
    use super::super::format::Form;
    use super::*;
    use tempfile::TempDir;

    fn entry(offset: u64) -> Entry {
        Entry { offset, length: 5, label: 1, form: Form::Encoded, checksum: 7 }
    }

    #[test]
    fn whole_records_count_and_the_rest_is_cut_off() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, progress) = Journal::open(&path, 1).unwrap();
        assert_eq!(progress, Progress::none());
        journal.add(2, 5000, &[entry(4096), entry(4160)]).unwrap();
        journal.add(4, 6000, &[entry(5056)]).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let after = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Journal::open(&path, 1).unwrap().1
        };
        let first = Progress { next: 2, end: 5000, entries: vec![entry(4096), entry(4160)] };
        let both =
            Progress { next: 4, end: 6000, entries: [&first.entries[..], &[entry(5056)]].concat() };
        assert_eq!(after(&whole), both);
        for cut in [1, 20, 63] {
            assert_eq!(after(&whole[..whole.len() - cut]), first);
        }
        assert_eq!(after(&whole[..10]), Progress::none());
        assert_eq!(std::fs::read(&path).unwrap(), whole[..16]);
    }

    #[test]
    fn the_journal_of_another_cache_or_another_process_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("journal");
        let (journal, _) = Journal::open(&path, 1).unwrap();
        let error = Journal::open(&path, 1).err().unwrap().to_string();
        assert!(error.contains("another process"), "{error}");
        drop(journal);
        let error = Journal::open(&path, 2).err().unwrap().to_string();
        assert!(error.contains("remove this file"), "{error}");
    }
}
