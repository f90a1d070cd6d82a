//! The pages of a column in a row group, unpacked and checked before the library sees their values: it
//! makes room for whatever numbers a page has in it.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result as LibraryResult};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::problem::Problem;
use super::unpack::unpack;

/// A page may unpack to this much, or to [`LARGEST_RATIO`] times its own length, if that is more.
const ALWAYS_ALLOWED: usize = 64 << 20;
const LARGEST_RATIO: usize = 32;

/// The most bytes that the pages of a column may unpack to.
pub(super) const MAX_BYTES: usize = 4 << 30;

/// Reads a column's pages one after the other.
pub(super) struct Pages {
    /// Gives pages as they are stored.
    stored: SerializedPageReader<File>,
    compression: Compression,
    is_nullable: bool,
    /// Values that pages may still have.
    values_left: usize,
    /// Bytes that pages may still unpack to.
    bytes_left: usize,
    /// Set when a page has values that are made of others, and so may be more than the page.
    copies: Arc<AtomicBool>,
}

impl Pages {
    pub(super) fn open(
        file: Arc<File>,
        column: &ColumnChunkMetaData,
        rows: usize,
        copies: Arc<AtomicBool>,
    ) -> Result<Self, Problem> {
        // Unpacked here.
        let stored = column.clone().into_builder().set_compression(Compression::UNCOMPRESSED);
        Ok(Self {
            stored: SerializedPageReader::new(file, &stored.build()?, rows, None)?,
            compression: column.compression(),
            is_nullable: column.column_descr().max_def_level() > 0,
            values_left: rows,
            bytes_left: MAX_BYTES,
            copies,
        })
    }

    fn next_page(&mut self) -> Result<Option<Page>, Problem> {
        loop {
            let Some(mut page) = self.stored.get_next_page()? else { return Ok(None) };
            self.unpack(&mut page)?;
            self.check(&page)?;
            // The library takes a page without values for the last.
            if page.num_values() > 0 || page.is_dictionary_page() {
                return Ok(Some(page));
            }
        }
    }

    /// Puts unpacked bytes in the place of packed ones.
    fn unpack(&mut self, page: &mut Page) -> Result<(), Problem> {
        // Levels of the newer kind of page are not packed.
        let (buf, plain, is_packed) = match page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0, true),
            Page::DataPageV2 {
                buf,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed,
                ..
            } => {
                let levels = def_levels_byte_len.checked_add(*rep_levels_byte_len);
                (buf, levels.ok_or("its levels are too long")? as usize, *is_compressed)
            }
        };
        let (levels, packed) =
            buf.split_at_checked(plain).ok_or("its levels are longer than their page")?;
        // A page without a value that is not null may have nothing to unpack.
        if is_packed && self.compression != Compression::UNCOMPRESSED && !packed.is_empty() {
            let limit = ALWAYS_ALLOWED.max(packed.len().saturating_mul(LARGEST_RATIO));
            let values = unpack(self.compression, packed, limit.min(self.bytes_left))?;
            let unpacked = match levels {
                [] => values,
                levels => [levels, &values].concat(),
            };
            *buf = Bytes::from(unpacked);
        }
        let left = self.bytes_left.checked_sub(buf.len());
        self.bytes_left = left.ok_or("its pages are larger than a row group may be")?;
        Ok(())
    }

    /// Checks the numbers in a page that the library would make room for.
    fn check(&mut self, page: &Page) -> Result<(), Problem> {
        let count = page.num_values() as usize;
        if page.is_dictionary_page() {
            // No value takes less than a byte.
            return if count <= page.buffer().len() {
                Ok(())
            } else {
                Err("its dictionary has fewer values than it says".into())
            };
        }
        let left = self.values_left.checked_sub(count);
        self.values_left = left.ok_or("its pages hold more values than it has rows")?;
        match page.encoding() {
            Encoding::DELTA_BINARY_PACKED | Encoding::DELTA_LENGTH_BYTE_ARRAY => {
                end_of_deltas(self.values(page)?, count)?;
            }
            Encoding::DELTA_BYTE_ARRAY => {
                self.copies.store(true, Ordering::Relaxed);
                let values = self.values(page)?;
                let suffixes = end_of_deltas(values, count)?;
                end_of_deltas(&values[suffixes..], count)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What follows the levels of a page.
    fn values<'a>(&self, page: &'a Page) -> Result<&'a [u8], Problem> {
        let bytes = page.buffer();
        let levels = match page {
            Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
                *def_levels_byte_len as usize + *rep_levels_byte_len as usize
            }
            Page::DataPage { def_level_encoding: Encoding::RLE, .. } if self.is_nullable => {
                let length = bytes.first_chunk().ok_or("its levels are cut short")?;
                (u32::from_le_bytes(*length) as usize).saturating_add(4)
            }
            _ if self.is_nullable => return Err("its levels are of a kind that is not used".into()),
            _ => 0,
        };
        Ok(bytes.get(levels..).ok_or("its levels are longer than their page")?)
    }
}

impl Iterator for Pages {
    type Item = LibraryResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> LibraryResult<Option<Page>> {
        self.next_page().map_err(|Problem(problem)| ParquetError::General(problem))
    }

    fn peek_next_page(&mut self) -> LibraryResult<Option<PageMetadata>> {
        self.stored.peek_next_page()
    }

    fn skip_next_page(&mut self) -> LibraryResult<()> {
        self.stored.skip_next_page()
    }
}

/// Where numbers in the encoding DELTA_BINARY_PACKED end, which start with the bytes. Refused are more than
/// `most` of them.
fn end_of_deltas(bytes: &[u8], most: usize) -> Result<usize, Problem> {
    const CUT: &str = "its numbers are cut short";
    let mut at = 0;
    let varint = |at: &mut usize| -> Result<usize, Problem> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *bytes.get(*at).ok_or(CUT)?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(usize::try_from(value).unwrap_or(usize::MAX));
            }
        }
        Err("one of its numbers is too long".into())
    };
    let (block, parts, count) = (varint(&mut at)?, varint(&mut at)?, varint(&mut at)?);
    varint(&mut at)?; // the first value
    if count > most {
        return Err(format!("a page of {most} values says that it has {count}").into());
    }
    let per_part = block.checked_div(parts).ok_or("its blocks have no parts")?;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        varint(&mut at)?; // the least difference
        let widths = bytes.get(at..).and_then(|rest| rest.get(..parts)).ok_or(CUT)?;
        at += parts;
        for width in widths {
            if left == 0 {
                break;
            }
            let bits = per_part.checked_mul(usize::from(*width)).ok_or(CUT)?;
            at = at.checked_add(bits / 8).ok_or(CUT)?;
            left = left.saturating_sub(per_part.max(1));
        }
    }
    if at > bytes.len() {
        return Err(CUT.into());
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_their_last_block_does_and_are_no_more_than_values() {
        // 128 in a block, 4 parts, 5 values, the first 7: the least difference 1, and 2 bits in the first part.
        let mut bytes = vec![0x80, 1, 4, 5, 14, 2, 2, 9, 9, 9];
        bytes.extend([0; 8]);
        let end = bytes.len();
        bytes.extend(b"rest");
        assert_eq!(end_of_deltas(&bytes, 5).ok(), Some(end));
        let problem = |bytes: &[u8], most| end_of_deltas(bytes, most).err().unwrap().0;
        assert!(problem(&bytes, 4).contains("says that it has 5"));
        assert!(problem(&bytes[..end - 1], 5).contains("cut short"));
        assert!(problem(&bytes[..6], 5).contains("cut short"));
        assert!(problem(&[0x80, 1, 0, 5, 14], 5).contains("no parts"));
        assert!(problem(&[0xff; 20], 5).contains("too long"));
        // A single value needs no block, and none not even that.
        assert_eq!(end_of_deltas(&[0x80, 1, 4, 1, 14], 5).ok(), Some(5));
        assert_eq!(end_of_deltas(&[0x80, 1, 4, 0, 0], 0).ok(), Some(5));
    }
}
