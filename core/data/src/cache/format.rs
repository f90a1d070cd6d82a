//! The cache's header and index as bytes.

use std::ops::Range;

use twox_hash::XxHash3_64;

use crate::pixels::{Channels, byte_count};

/// Where the payload starts, and what the index is aligned to.
pub(super) const PAGE: u64 = 4096;

/// What samples are aligned to: a cache line.
pub(super) const ALIGNMENT: u64 = 64;

/// Bytes of an index entry.
pub(super) const ENTRY: usize = 32;

const MAGIC: &[u8; 8] = b"VITRALCA";
const VERSION: u32 = 1;
/// Bytes of the header that the checksum behind them covers.
const CHECKED: usize = 64;

pub(super) fn checksum(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// `at` or the next multiple of `of` after it.
pub(super) fn aligned(at: u64, of: u64) -> u64 {
    at.next_multiple_of(of)
}

/// What the first page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub samples: u64,
    /// First byte of the index.
    pub index: u64,
    /// Bytes of the names of classes, which follow the index and end the file.
    pub names: u64,
    pub index_checksum: u64,
    pub names_checksum: u64,
}

impl Header {
    pub(super) fn to_bytes(&self) -> [u8; PAGE as usize] {
        let mut bytes = [0; PAGE as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let numbers =
            [self.samples, self.index, self.names, self.index_checksum, self.names_checksum];
        for (place, number) in bytes[16..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let own = checksum(&bytes[..CHECKED]);
        bytes[CHECKED..CHECKED + 8].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    /// Reads the header of a file of `length` bytes, and checks that the file is whole.
    pub(super) fn read(bytes: &[u8], length: u64) -> Result<Self, String> {
        if !bytes.starts_with(MAGIC) {
            return Err("is not a cache; make one with `vitral data cache`".into());
        }
        let Some(page) = bytes.get(..PAGE as usize) else {
            return Err("is cut short in its header".into());
        };
        let version = u32::from_le_bytes([page[8], page[9], page[10], page[11]]);
        if version != VERSION {
            return Err(format!(
                "is a cache of version {version}, but this program reads version {VERSION}; make \
                 it again"
            ));
        }
        if checksum(&page[..CHECKED]) != number(page, CHECKED) {
            return Err("is damaged: its header does not have the checksum it was given".into());
        }
        let [samples, index, names, index_checksum, names_checksum] =
            [16, 24, 32, 40, 48].map(|at| number(page, at));
        let header = Self { samples, index, names, index_checksum, names_checksum };
        match header.length() {
            None => Err("is damaged: its header does not add up".into()),
            Some(whole) if whole != length => Err(format!(
                "is cut short or longer than it was: {length} bytes instead of {whole}"
            )),
            Some(_) => Ok(header),
        }
    }

    /// Bytes of the whole file.
    fn length(&self) -> Option<u64> {
        let index = self.samples.checked_mul(ENTRY as u64)?;
        self.index.checked_add(index)?.checked_add(self.names)
    }

    /// Where the index and the names are, in a file of the right length.
    pub(super) fn ranges(&self) -> (Range<usize>, Range<usize>) {
        let index = self.index as usize;
        let names = index + self.samples as usize * ENTRY;
        (index..names, names..names + self.names as usize)
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// How one sample is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The bytes of an image file.
    Encoded,
    /// Pixels, HWC.
    Raw { width: u16, height: u16, channels: Channels },
}

/// Where one sample is, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub offset: u64,
    pub length: u32,
    pub label: u32,
    pub form: Form,
    pub checksum: u64,
}

impl Entry {
    pub(super) fn to_bytes(self) -> [u8; ENTRY] {
        let (width, height, channels) = match self.form {
            Form::Encoded => (0, 0, 0),
            Form::Raw { width, height, channels } => (width, height, channels.count() as u8),
        };
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.label.to_le_bytes());
        bytes[16..18].copy_from_slice(&width.to_le_bytes());
        bytes[18..20].copy_from_slice(&height.to_le_bytes());
        bytes[20] = channels;
        bytes[24..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8; ENTRY]) -> Result<Self, String> {
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from(short(at)) | u32::from(short(at + 2)) << 16;
        let form = match bytes[20] {
            0 => Form::Encoded,
            count => {
                let channels = Channels::from_count(count.into());
                let channels = channels.ok_or_else(|| format!("has {count} channels"))?;
                Form::Raw { width: short(16), height: short(18), channels }
            }
        };
        let (offset, checksum) = (number(bytes, 0), number(bytes, 24));
        Ok(Self { offset, length: word(8), label: word(12), form, checksum })
    }

    /// The sample's bytes in the file.
    pub(super) fn range(&self) -> Range<usize> {
        let start = self.offset as usize;
        start..start.saturating_add(self.length as usize)
    }

    /// Checks an entry of a cache with so many classes, whose payload ends at `end`.
    pub(super) fn check(&self, end: u64, classes: usize) -> Result<(), String> {
        let last = self.offset.checked_add(self.length.into());
        if self.offset < PAGE || last.is_none_or(|last| last > end) {
            return Err("lies outside of the payload".into());
        }
        if self.label as usize >= classes {
            return Err(format!("has class {}, but there are {classes}", self.label));
        }
        let Form::Raw { width, height, channels } = self.form else { return Ok(()) };
        let bytes = byte_count(width.into(), height.into(), channels);
        match bytes.map_err(|error| error.to_string())? == self.length as usize {
            true => Ok(()),
            false => Err("has a number of pixels that does not match its size".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_entries_are_read_as_written() {
        let header =
            Header { samples: 3, index: 8192, names: 9, index_checksum: 5, names_checksum: 6 };
        let bytes = header.to_bytes();
        assert_eq!(Header::read(&bytes, 8192 + 3 * 32 + 9).unwrap(), header);
        assert!(Header::read(&bytes, 8192).unwrap_err().contains("cut short"));
        assert!(Header::read(&bytes[..90], 90).unwrap_err().contains("cut short"));
        for at in [8, 20, 64] {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert!(Header::read(&bytes, 8192 + 3 * 32 + 9).is_err(), "byte {at}");
        }
        for form in [Form::Encoded, Form::Raw { width: 300, height: 2, channels: Channels::Rgb }] {
            let entry = Entry { offset: 1 << 40, length: 1800, label: 70_000, form, checksum: 9 };
            assert_eq!(Entry::read(&entry.to_bytes()).unwrap(), entry);
        }
    }

    #[test]
    fn entries_that_cannot_be_are_refused() {
        let form = Form::Raw { width: 2, height: 2, channels: Channels::Grey };
        let good = Entry { offset: PAGE, length: 4, label: 1, form, checksum: 0 };
        assert!(good.check(PAGE + 4, 2).is_ok());
        for wrong in [
            Entry { offset: PAGE + 1, ..good },
            Entry { offset: 0, ..good },
            Entry { offset: u64::MAX, ..good },
            Entry { label: 2, ..good },
            Entry { length: 3, ..good },
        ] {
            assert!(wrong.check(PAGE + 4, 2).is_err(), "{wrong:?}");
        }
        let mut bytes = good.to_bytes();
        bytes[20] = 2;
        assert!(Entry::read(&bytes).unwrap_err().contains("2 channels"));
    }
}
