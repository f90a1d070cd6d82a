//! The ZIP files that weights come in, NumPy's and PyTorch's: what both are checked for before anything
//! in them is unpacked.

use std::{fs::File, io::BufReader};

use zip::{ZipArchive, read::ZipFile};

pub(super) type Archive = ZipArchive<BufReader<File>>;
pub(super) type Entry<'a> = ZipFile<'a, BufReader<File>>;

/// An archive may unpack to this much, or to [`LARGEST_RATIO`] times its own length, if that is more.
const ALWAYS_ALLOWED: u64 = 1 << 30;
const LARGEST_RATIO: u64 = 32;
const MOST_ENTRIES: usize = 100_000;

/// How much memory the content of a file of this length may take.
pub(super) fn allowed(length: u64) -> u64 {
    ALWAYS_ALLOWED.max(length.saturating_mul(LARGEST_RATIO))
}

/// Opens an archive.
///
/// # Errors
/// It is damaged, or claims what no archive of weights has; in words.
pub(super) fn open(file: File) -> Result<Archive, String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| format!("the archive is damaged or cut short: {error}"))?;
    if archive.len() > MOST_ENTRIES {
        return Err(format!("the archive claims to have {} entries", archive.len()));
    }
    if archive.has_duplicate_names() {
        return Err("two entries of the archive have the same name".into());
    }
    let mut unpacked = 0u64;
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(|error| unreadable(index, &error))?;
        unpacked = unpacked.saturating_add(entry.size());
    }
    if unpacked > allowed(length) {
        return Err(format!(
            "the archive of {length} bytes claims to unpack to {unpacked}, which weights do not"
        ));
    }
    Ok(archive)
}

/// The names of an archive's entries, in its order.
///
/// # Errors
/// One is no text, in words.
pub(super) fn names(archive: &Archive) -> Result<Vec<String>, String> {
    let names = archive.file_names().enumerate();
    names
        .map(|(index, name)| {
            name.map(|name| name.into_owned()).map_err(|error| unreadable(index, &error))
        })
        .collect()
}

/// Opens an entry to read what it unpacks to.
///
/// # Errors
/// It cannot be read, in words.
pub(super) fn entry(archive: &mut Archive, index: usize) -> Result<Entry<'_>, String> {
    archive.by_index(index).map_err(|error| unreadable(index, &error))
}

fn unreadable(index: usize, error: &zip::result::ZipError) -> String {
    format!("entry {index} of the archive cannot be read: {error}")
}
