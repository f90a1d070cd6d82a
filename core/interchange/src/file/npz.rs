//! NumPy archives: a ZIP file with an `.npy` file for each array.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, Write},
};

use half::{bf16, f16};
use npyz::{NpyFile, Order, WriterBuilder};
use zip::{CompressionMethod, ZipArchive, write::FileOptions};

use super::{Tensors, check_finite, room};
use crate::Array;

/// An archive may unpack to this much, or to [`LARGEST_RATIO`] times its own length, if that is more.
const ALWAYS_ALLOWED: u64 = 1 << 30;
const LARGEST_RATIO: u64 = 32;
/// An array's header is some hundred bytes.
const LARGEST_HEADER: u64 = 1 << 16;
const MOST_ARRAYS: usize = 100_000;
const MOST_BRACKETS: usize = 8;

/// Reads all arrays, converted to `f32`.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn read(file: File) -> Result<Tensors, String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| format!("the archive is damaged or cut short: {error}"))?;
    if archive.len() > MOST_ARRAYS {
        return Err(format!("the archive claims to have {} arrays", archive.len()));
    }
    let allowed = ALWAYS_ALLOWED.max(length.saturating_mul(LARGEST_RATIO));
    let mut unpacked = 0u64;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| error.to_string())?;
        unpacked = unpacked.saturating_add(entry.size());
    }
    if unpacked > allowed {
        return Err(format!(
            "the archive of {length} bytes claims to unpack to {unpacked}, which weights do not"
        ));
    }
    let mut tensors = Tensors::new();
    for index in 0..archive.len() {
        let mut entry = archive
            .by_index(index)
            .map_err(|error| format!("entry {index} of the archive cannot be read: {error}"))?;
        let file_name = entry.name().to_owned();
        let Some(name) = npyz::npz::array_name_from_file_name(&file_name) else {
            return Err(format!("`{file_name}` in the archive is not a NumPy array (.npy)"));
        };
        let size = entry.size();
        let array = read_array(&mut entry, name, size)?;
        // The ZIP reader compares checksums where an entry ends.
        let rest = entry.read(&mut [0]).map_err(|error| damaged(name, &error))?;
        if rest > 0 {
            return Err(format!("`{name}` is followed by bytes that do not belong to it"));
        }
        if tensors.insert(name.to_owned(), array).is_some() {
            return Err(format!("`{name}` is there twice"));
        }
    }
    Ok(tensors)
}

fn damaged(name: &str, error: &io::Error) -> String {
    format!("`{name}` is damaged or cut short: {error}")
}

/// Reads an array from an entry that claims to have `size` bytes.
fn read_array(entry: &mut impl Read, name: &str, size: u64) -> Result<Array, String> {
    let start = start_of(entry).map_err(|error| damaged(name, &error))?;
    let array = NpyFile::new(start.as_slice().chain(&mut *entry).take(size))
        .map_err(|error| damaged(name, &error))?;
    if array.order() != Order::C && array.shape().len() > 1 {
        return Err(format!(
            "`{name}` is stored column by column; save it with `np.ascontiguousarray`"
        ));
    }
    let kind = array.dtype().descr().trim_matches('\'').to_owned();
    let count = array.shape().iter().try_fold(1u64, |count, &length| count.checked_mul(length));
    let shape: Vec<usize> = array.shape().iter().map(|&length| length as usize).collect();
    let (width, convert): (u64, fn(&[u8]) -> f32) = match kind.as_str() {
        // `chunks_exact` below gives as many bytes as the type has.
        "<f4" => (4, |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        "<f2" => (2, |b| f16::from_le_bytes([b[0], b[1]]).to_f32()),
        "<f8" => {
            (8, |b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
        }
        // NumPy has no bfloat16: JAX's arrays of it are saved as two bytes of anything.
        "|V2" => (2, |b| bf16::from_le_bytes([b[0], b[1]]).to_f32()),
        other => return Err(format!("`{name}` is `{other}`; weights are f4, f2, f8 or bfloat16")),
    };
    // What the header claims is believed only as far as there are bytes for it.
    let values = count.filter(|count| count.checked_mul(width).is_some_and(|all| all <= size));
    let Some(count) = values else {
        return Err(format!("`{name}` claims to be {shape:?}, but has only {size} bytes"));
    };
    let mut values = room(name, count as usize)?;
    let mut piece = vec![0; (count * width).min(1 << 20) as usize];
    let mut left = count * width;
    while left > 0 {
        let now = left.min(piece.len() as u64) as usize;
        entry.read_exact(&mut piece[..now]).map_err(|error| damaged(name, &error))?;
        values.extend(piece[..now].chunks_exact(width as usize).map(convert));
        left -= now as u64;
    }
    check_finite(name, &values)?;
    Ok(Array { shape, values })
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

/// Writes arrays uncompressed, as `np.savez` does, in the order of their names.
pub(crate) fn write(tensors: &Tensors, file: &mut (impl Write + Seek)) -> io::Result<()> {
    let mut archive = npyz::npz::NpzWriter::new(file);
    for (name, array) in tensors {
        let options = FileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(array.values.len() >= 1 << 30);
        let shape: Vec<u64> = array.shape.iter().map(|&length| length as u64).collect();
        let mut writer =
            archive.array::<f32>(name, options)?.default_dtype().shape(&shape).begin_nd()?;
        writer.extend(array.values.iter().copied())?;
        writer.finish()?;
    }
    archive.zip_writer().finish().map(drop).map_err(io::Error::other)
}
