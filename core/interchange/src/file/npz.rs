//! NumPy archives: a ZIP file with an `.npy` file for each array.

use std::io::{self, BufWriter, Read, Seek, Write};

use npyz::{
    NpyFile, Order, WriteOptions, WriterBuilder,
    npz::{array_name_from_file_name, file_name_from_array_name},
};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::{
    archive::{self, Archive},
    contents::{Contents, Tensors, Wanted},
    element::{ELEMENTS, Element, damaged},
    quiet::Quiet,
};
use crate::Array;

/// An array's header is some hundred bytes.
const LARGEST_HEADER: u64 = 1 << 16;
const MOST_BRACKETS: usize = 8;

/// Whether an entry of an archive is an array.
pub(super) fn is_array(file_name: &str) -> bool {
    array_name_from_file_name(file_name).is_some()
}

/// Reads the arrays that are wanted, converted to `f32`.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn read(mut archive: Archive, wanted: Wanted<'_>) -> Result<Contents, String> {
    let mut contents = Contents::default();
    for (index, file_name) in archive::names(&archive)?.iter().enumerate() {
        let Some(name) = array_name_from_file_name(file_name) else {
            return Err(format!("`{file_name}` in the archive is not a NumPy array (.npy)"));
        };
        if contents.has(name) {
            return Err(format!("`{name}` occurs twice"));
        }
        if !wanted(name) {
            contents.unread.insert(name.to_owned());
            continue;
        }
        let mut entry = archive::entry(&mut archive, index)?;
        let size = entry.size();
        match read_array(&mut entry, name, size)? {
            Entry::Numbers(array) => {
                // The ZIP reader compares checksums where an entry ends.
                let rest = entry.read(&mut [0]).map_err(|error| damaged(name, &error))?;
                if rest > 0 {
                    return Err(format!("`{name}` is followed by bytes that do not belong to it"));
                }
                contents.tensors.insert(name.to_owned(), array);
            }
            Entry::Integers(kind) => {
                contents.integers.insert(name.to_owned(), kind);
            }
        }
    }
    Ok(contents)
}

/// What an entry is.
enum Entry {
    Numbers(Array),
    /// Of which type, in NumPy's words.
    Integers(String),
}

/// Reads an array from an entry that claims to have `size` bytes.
fn read_array(entry: &mut impl Read, name: &str, size: u64) -> Result<Entry, String> {
    let start = start_of(entry).map_err(|error| damaged(name, &error))?;
    let array = NpyFile::new(start.as_slice().chain(&mut *entry).take(size))
        .map_err(|error| damaged(name, &error))?;
    let kind = array.dtype().descr().trim_matches('\'').to_owned();
    let element = match kind.as_str() {
        "<f4" => Element::F32,
        "<f2" => Element::F16,
        "<f8" => Element::F64,
        // NumPy has no bfloat16: JAX's arrays of it are saved as two bytes of anything.
        "|V2" => Element::BF16,
        _ if is_integers(&kind) => return Ok(Entry::Integers(kind)),
        other => return Err(format!("`{name}` is `{other}`; {ELEMENTS}")),
    };
    if array.order() != Order::C && array.shape().len() > 1 {
        return Err(format!(
            "`{name}` is stored column by column; save it with `np.ascontiguousarray`"
        ));
    }
    let count = array.shape().iter().try_fold(1u64, |count, &length| count.checked_mul(length));
    let shape: Vec<usize> = array.shape().iter().map(|&length| length as usize).collect();
    // What the header claims is believed only as far as there are bytes for it.
    let there =
        count.filter(|count| count.checked_mul(element.width()).is_some_and(|all| all <= size));
    let Some(count) = there else {
        return Err(format!("`{name}` claims to be {shape:?}, but has only {size} bytes"));
    };
    let values = element.read(entry, name, count as usize)?;
    Ok(Entry::Numbers(Array { shape, values }))
}

/// Whether a type of NumPy's is one of integers or truth values: `<i8`, `|u1`, `|b1`.
fn is_integers(kind: &str) -> bool {
    matches!(kind.as_bytes(), [b'<' | b'>' | b'|', b'i' | b'u' | b'b', b'1' | b'2' | b'4' | b'8'])
}

/// The header of an `.npy` file, whole; its length is checked before room is made for it.
fn start_of(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = vec![0; 10];
    entry.read_exact(&mut start)?;
    if start[6] > 1 {
        start.resize(12, 0);
        entry.read_exact(&mut start[10..])?;
    }
    let length = match start[8..] {
        [a, b] => u64::from(u16::from_le_bytes([a, b])),
        [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
        _ => 0,
    };
    if length > LARGEST_HEADER {
        return Err(io::Error::other(format!("its header claims to be {length} bytes long")));
    }
    let known = start.len();
    start.resize(known + length as usize, 0);
    entry.read_exact(&mut start[known..])?;
    // The reader of Python's literals recurses; a header is one dictionary with one tuple.
    if start[known..].iter().filter(|byte| b"([{".contains(byte)).count() > MOST_BRACKETS {
        return Err(io::Error::other("its header is not one of NumPy's"));
    }
    Ok(start)
}

/// Writes arrays uncompressed, as `np.savez` does, in the order of their names. The same arrays make the
/// same bytes: entries carry no time.
pub(crate) fn write(tensors: &Tensors, file: &mut (impl Write + Seek)) -> io::Result<()> {
    let mut file = Quiet::new(file);
    let written = write_archive(tensors, &mut file);
    file.failed.map_or(written, Err)
}

fn write_archive(tensors: &Tensors, file: &mut (impl Write + Seek)) -> io::Result<()> {
    let mut archive = ZipWriter::new(file);
    for (name, array) in tensors {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .large_file(array.values.len() >= 1 << 30);
        archive.start_file(file_name_from_array_name(name), options)?;
        let shape: Vec<u64> = array.shape.iter().map(|&length| length as u64).collect();
        let mut entry = BufWriter::new(&mut archive);
        let mut writer = WriteOptions::<f32>::new()
            .default_dtype()
            .shape(&shape)
            .writer(&mut entry)
            .begin_nd()?;
        writer.extend(array.values.iter().copied())?;
        writer.finish()?;
        entry.flush()?;
    }
    archive.finish().map(drop).map_err(io::Error::from)
}
