//! Reading one column of a row group: pages to values.
//!
//! Columns may be nullable, in dictionary or plain encoding; lists are refused.

use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use parquet2::encoding::{Encoding, hybrid_rle::HybridRleDecoder};
use parquet2::metadata::ColumnChunkMetaData;
use parquet2::page::{CompressedPage, DataPage, Page, split_buffer};
use parquet2::read::{decompress, get_page_iterator, levels::get_bit_width};
use parquet2::schema::types::PhysicalType;

use super::super::classes::Label;
use crate::worker::panic_message;

/// The most bytes that one page may have. Writers make pages of about 1 MiB, or of one value.
const MAX_PAGE_BYTES: usize = 1 << 30;

/// A page may unpack to this much, or to [`LARGEST_RATIO`] times its own length, if that is more: its
/// library makes room for whatever a page claims.
const ALWAYS_ALLOWED: usize = 64 << 20;
const LARGEST_RATIO: usize = 32;

/// The most rows of a row group, which is read as a whole. Writers make groups of up to a million.
const MAX_GROUP_ROWS: usize = 1 << 23;

/// Why a column cannot be read, from its library or from here.
pub(super) struct Problem(String);

impl From<parquet2::error::Error> for Problem {
    fn from(error: parquet2::error::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self(problem)
    }
}

impl From<&str> for Problem {
    fn from(problem: &str) -> Self {
        Self(problem.to_owned())
    }
}

/// Runs what reads a file; the library indexes some damaged pages without looking, which panics.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, Problem>) -> Result<T, String> {
    // What the panic leaves behind is dropped with the reader.
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|Problem(problem)| problem),
        Err(panic) => Err(format!("it is damaged ({})", panic_message(&*panic))),
    }
}

/// Checks a column's extent, and gives the bytes that its values take.
pub(super) fn check(column: &ColumnChunkMetaData, rows: usize, file: u64) -> Result<i64, String> {
    let metadata = column.metadata();
    let start = metadata.dictionary_page_offset.unwrap_or(metadata.data_page_offset);
    let start = start.min(metadata.data_page_offset);
    let end = start.checked_add(metadata.total_compressed_size);
    if start < 0 || metadata.total_compressed_size < 0 || end.is_none_or(|end| end as u64 > file) {
        return Err("a column goes beyond the file's end".into());
    }
    if column.descriptor().descriptor.max_rep_level > 0 {
        let name = column.descriptor().path_in_schema.join(".");
        return Err(format!("the column `{name}` holds lists; one value for each row is needed"));
    }
    if rows > MAX_GROUP_ROWS {
        return Err(format!("has {rows} rows; at most {MAX_GROUP_ROWS} can be read as a whole"));
    }
    if usize::try_from(metadata.num_values) != Ok(rows) {
        return Err(format!("has {rows} rows, but a column of {} values", metadata.num_values));
    }
    Ok(metadata.total_uncompressed_size)
}

/// The bytes of every row's image; none where it is null.
pub(super) fn read_images(
    file: &File,
    column: &ColumnChunkMetaData,
    rows: usize,
) -> Result<Vec<Option<Bytes>>, String> {
    let mut images = Vec::new();
    guarded(|| read_pages(file, column, rows, byte_arrays, |value| images.push(value)))?;
    Ok(images)
}

/// Every row's label. An error comes with the row, counted from the group's first.
pub(super) fn read_labels(
    file: &File,
    column: &ColumnChunkMetaData,
    rows: usize,
) -> Result<Vec<Label>, (usize, String)> {
    let mut labels = Vec::new();
    let read = guarded(|| match column.physical_type() {
        PhysicalType::Int64 => {
            read_pages(file, column, rows, integers::<8>, |value| labels.push(value))
        }
        PhysicalType::Int32 => {
            read_pages(file, column, rows, integers::<4>, |value| labels.push(value))
        }
        _ => read_pages(file, column, rows, byte_arrays, |value| {
            let name = |bytes: Bytes| Label::Name(String::from_utf8_lossy(&bytes).into_owned());
            labels.push(value.map(name));
        }),
    });
    read.map_err(|problem| (labels.len(), problem))?;
    let missing = labels.iter().position(Option::is_none);
    let labels = labels.into_iter().flatten().collect();
    missing.map_or(Ok(labels), |row| Err((row, "has no label".into())))
}

/// Values of a page's bytes, in plain encoding: at most `count`.
type Plain<T> = fn(&Bytes, Range<usize>, count: usize) -> Result<Vec<T>, Problem>;

fn byte_arrays(buffer: &Bytes, range: Range<usize>, count: usize) -> Result<Vec<Bytes>, Problem> {
    let mut values = Vec::new();
    let (mut at, end) = (range.start, range.end);
    while values.len() < count && at < end {
        let length = buffer[at..end].first_chunk().ok_or("a value is cut short")?;
        let start = at + 4;
        let length = u32::from_le_bytes(*length) as usize;
        if length > end - start {
            return Err("a value is longer than its page".into());
        }
        at = start + length;
        values.push(buffer.slice(start..at));
    }
    Ok(values)
}

fn integers<const BYTES: usize>(
    buffer: &Bytes,
    range: Range<usize>,
    count: usize,
) -> Result<Vec<Label>, Problem> {
    let values = buffer[range].chunks_exact(BYTES).take(count);
    Ok(values
        .map(|bytes| {
            // Sign-extended: the highest byte that is there comes last.
            let sign = if bytes[BYTES - 1] & 0x80 == 0 { 0 } else { 0xff };
            let mut all = [sign; 8];
            all[..BYTES].copy_from_slice(bytes);
            Label::Number(i64::from_le_bytes(all))
        })
        .collect())
}

/// Hands every row's value to `take`, none for null.
fn read_pages<T: Clone>(
    file: &File,
    column: &ColumnChunkMetaData,
    rows: usize,
    plain: Plain<T>,
    mut take: impl FnMut(Option<T>),
) -> Result<(), Problem> {
    let reader = BufReader::with_capacity(1 << 20, file);
    let pages = get_page_iterator(column, reader, None, Vec::new(), MAX_PAGE_BYTES)?;
    let mut dictionary: Option<Vec<T>> = None;
    let mut left = rows;
    for page in pages {
        let page = page?;
        // A dictionary's claim is not to be seen; room that is made for it and not used is not taken.
        if let CompressedPage::Data(page) = &page {
            check_claim(page.compressed_size(), page.uncompressed_size())?;
        }
        match decompress(page, &mut Vec::new())? {
            Page::Dict(page) => {
                let (length, count) = (page.buffer.len(), page.num_values);
                dictionary = Some(plain(&page.buffer.into(), 0..length, count)?);
            }
            Page::Data(page) => {
                left = left
                    .checked_sub(page.num_values())
                    .ok_or("its pages hold more values than it has rows")?;
                page_values(page, dictionary.as_deref(), plain, &mut take)?;
            }
        }
    }
    if left > 0 {
        return Err(format!("{left} of its {rows} values are missing").into());
    }
    Ok(())
}

/// Refuses a page that claims to unpack to much more than it is.
fn check_claim(bytes: usize, unpacked: usize) -> Result<(), Problem> {
    if unpacked <= ALWAYS_ALLOWED.max(bytes.saturating_mul(LARGEST_RATIO)) {
        return Ok(());
    }
    let problem =
        format!("a page of {bytes} bytes claims to unpack to {unpacked}, which images do not");
    Err(problem.into())
}

fn page_values<T: Clone>(
    mut page: DataPage,
    dictionary: Option<&[T]>,
    plain: Plain<T>,
    mut take: impl FnMut(Option<T>),
) -> Result<(), Problem> {
    let count = page.num_values();
    let full = page.descriptor.max_def_level;
    let (_, levels, values) = split_buffer(&page)?;
    let present: Vec<bool> = if full == 0 {
        vec![true; count]
    } else {
        let levels = HybridRleDecoder::try_new(levels, get_bit_width(full), count)?;
        levels.map(|level| level.map(|level| level == full as u32)).collect::<Result<_, _>>()?
    };
    let count = present.iter().filter(|present| **present).count();
    let (encoding, length) = (page.encoding(), page.buffer().len());
    let values = match (encoding, dictionary) {
        (Encoding::Plain, _) => {
            // Values are the last part of a page.
            let range = length - values.len()..length;
            plain(&std::mem::take(page.buffer_mut()).into(), range, count)?
        }
        (Encoding::PlainDictionary | Encoding::RleDictionary, Some(dictionary)) => {
            looked_up(values, dictionary, count)?
        }
        (Encoding::PlainDictionary | Encoding::RleDictionary, None) => {
            return Err("it refers to a dictionary, but has none".into());
        }
        (other, _) => {
            return Err(format!(
                "its encoding {other:?} cannot be read; write it as PLAIN or with a dictionary"
            )
            .into());
        }
    };
    if values.len() < count {
        return Err("a page has fewer values than it says".into());
    }
    let mut values = values.into_iter();
    present.into_iter().for_each(|present| take(present.then(|| values.next()).flatten()));
    Ok(())
}

/// The values that a page's indices stand for.
fn looked_up<T: Clone>(indices: &[u8], dictionary: &[T], count: usize) -> Result<Vec<T>, Problem> {
    let (&width, indices) = match indices.split_first() {
        Some(split) => split,
        None if count == 0 => return Ok(Vec::new()),
        None => return Err("a page has no indices".into()),
    };
    let value = |index: u32| {
        let value = dictionary.get(index as usize).cloned();
        value.ok_or_else(|| Problem::from("an index is not in the dictionary"))
    };
    match width {
        // A dictionary of a single value needs no bits.
        0 => (0..count).map(|_| value(0)).collect(),
        1..=32 => {
            let indices = HybridRleDecoder::try_new(indices, u32::from(width), count)?;
            indices.map(|index| value(index?)).collect()
        }
        _ => Err(format!("indices of {width} bits are not possible").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_claim_to_be_far_more_than_they_are_are_refused() {
        for (bytes, unpacked) in [(0, 0), (100, 64 << 20), (8 << 20, 256 << 20), (9, 9)] {
            assert!(check_claim(bytes, unpacked).is_ok(), "{bytes}, {unpacked}");
        }
        for (bytes, unpacked) in [(100, (64 << 20) + 1), (8 << 20, 257 << 20), (0, usize::MAX)] {
            let Problem(problem) = check_claim(bytes, unpacked).err().unwrap();
            assert!(problem.contains(&format!("of {bytes} bytes claims")), "{problem}");
        }
    }
}
