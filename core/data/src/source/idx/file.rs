//! One IDX file: a header of dimensions, then values of a byte each.
//!
//! Compression is recognised by the file's first bytes. Memory is only taken for bytes that were
//! really read, so a false header costs nothing. Values of large files stay where they are.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use vitral_files::Kind;

use crate::error::DataError;

/// Bytes of the largest values that are held in memory, where they could stay in their file: those of
/// every MNIST fit in.
pub(super) const HELD: u64 = 256 << 20;

/// The values of an IDX file.
#[derive(Debug)]
pub(super) enum Values {
    Held(Vec<u8>),
    /// They start at this byte.
    InFile {
        file: File,
        start: u64,
    },
}

/// How many times as many bytes as a compressed file has may come out of it, beyond [`HELD`]: those of
/// images have been two to ten times as many, and zeros are a thousand times.
const MOST_COMPRESSED: u64 = 64;

/// An IDX file of unsigned bytes.
pub(super) struct IdxFile {
    pub dimensions: Vec<u32>,
    pub values: Values,
}

impl IdxFile {
    /// Opens a file, whose values are held in memory if they are compressed or have at most so many
    /// bytes.
    pub fn open(path: &Path, held: u64) -> Result<Self, DataError> {
        let io = |error| DataError::io(path, error);
        let (file, size) = vitral_files::open(path, Kind::IDX).map_err(io)?;
        let mut file = BufReader::new(file);
        let is_compressed = is_compressed(path, &mut file)?;
        if is_compressed || size <= held {
            let (dimensions, values) = parse(path, file, is_compressed)?;
            return Ok(Self { dimensions, values: Values::Held(values) });
        }
        let dimensions = read_dimensions(path, &mut file)?;
        let start = file.stream_position().map_err(io)?;
        Announced::new(path, &dimensions)?.check(path, size.saturating_sub(start))?;
        Ok(Self { dimensions, values: Values::InFile { file: file.into_inner(), start } })
    }
}

/// Dimensions and values of a file.
pub(super) fn read(path: &Path) -> Result<(Vec<u32>, Vec<u8>), DataError> {
    let opened = vitral_files::open(path, Kind::IDX).map_err(|error| DataError::io(path, error))?;
    let mut file = BufReader::new(opened.0);
    let is_compressed = is_compressed(path, &mut file)?;
    parse(path, file, is_compressed)
}

fn parse(
    path: &Path,
    file: BufReader<File>,
    is_compressed: bool,
) -> Result<(Vec<u32>, Vec<u8>), DataError> {
    let length = file.get_ref().metadata().map_err(|error| DataError::io(path, error))?.len();
    let mut reader: Box<dyn Read> = match is_compressed {
        true => Box::new(MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    let dimensions = read_dimensions(path, &mut reader)?;
    let announced = Announced::new(path, &dimensions)?;
    if is_compressed {
        announced.check_compressed(path, length)?;
    }
    let values = announced.read(path, reader)?;
    Ok((dimensions, values))
}

fn is_compressed(path: &Path, file: &mut BufReader<File>) -> Result<bool, DataError> {
    let start = file.fill_buf().map_err(|error| DataError::io(path, error))?;
    Ok(start.starts_with(&[0x1f, 0x8b]))
}

fn read_dimensions(path: &Path, reader: &mut impl Read) -> Result<Vec<u32>, DataError> {
    let mut magic = [0; 4];
    reader.read_exact(&mut magic).map_err(|error| header_error(path, error))?;
    let [0, 0, kind, dimension_count] = magic else {
        let problem = format!(
            "is not an IDX file: it starts with {magic:02x?}, where an IDX file has two zero bytes"
        );
        return Err(DataError::malformed(path, problem));
    };
    check_kind(path, kind)?;
    let mut dimensions = Vec::new();
    for _ in 0..dimension_count {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).map_err(|error| header_error(path, error))?;
        dimensions.push(u32::from_be_bytes(bytes));
    }
    Ok(dimensions)
}

fn check_kind(path: &Path, kind: u8) -> Result<(), DataError> {
    let name = match kind {
        0x08 => return Ok(()),
        0x09 => "signed bytes",
        0x0b => "16-bit integers",
        0x0c => "32-bit integers",
        0x0d => "32-bit floats",
        0x0e => "64-bit floats",
        _ => "values of an unknown type",
    };
    let problem = format!("holds {name} (type 0x{kind:02x}); unsigned bytes (0x08) are needed");
    Err(DataError::malformed(path, problem))
}

/// How many bytes of values the dimensions announce.
struct Announced {
    bytes: u64,
    shape: String,
}

impl Announced {
    fn new(path: &Path, dimensions: &[u32]) -> Result<Self, DataError> {
        let sizes = dimensions.iter().map(|&size| u64::from(size));
        let bytes = sizes.clone().try_fold(1_u64, u64::checked_mul);
        let shape = sizes.map(|size| size.to_string()).collect::<Vec<_>>().join(" x ");
        // One more is looked for.
        match bytes.filter(|&bytes| bytes < u64::MAX) {
            Some(bytes) => Ok(Self { bytes, shape }),
            None => {
                let problem =
                    format!("its header announces {shape} bytes, more than any file can hold");
                Err(DataError::malformed(path, problem))
            }
        }
    }

    /// Refuses what a compressed file of so many bytes cannot honestly hold, which would all be in memory.
    fn check_compressed(&self, path: &Path, length: u64) -> Result<(), DataError> {
        let Self { bytes, shape } = self;
        let most = HELD.max(length.saturating_mul(MOST_COMPRESSED));
        if *bytes <= most {
            return Ok(());
        }
        Err(DataError::malformed(
            path,
            format!(
                "announces {shape} bytes of data, but at most {most} are read from a compressed \
                 file of {length} bytes; decompressed (`gunzip`), it is read image by image"
            ),
        ))
    }

    /// Reads all of them, and makes sure that there are no others.
    fn read(&self, path: &Path, reader: impl Read) -> Result<Vec<u8>, DataError> {
        let mut values = Vec::new();
        let limit = self.bytes + 1;
        reader.take(limit).read_to_end(&mut values).map_err(|error| body_error(path, error))?;
        self.check(path, values.len() as u64)?;
        Ok(values)
    }

    fn check(&self, path: &Path, found: u64) -> Result<(), DataError> {
        let Self { bytes, shape } = self;
        let problem = if found > *bytes {
            format!("its header announces {shape} bytes of data, but more follow")
        } else if found < *bytes {
            format!(
                "is cut short: its header announces {shape} bytes of data, but only {found} follow"
            )
        } else {
            return Ok(());
        };
        Err(DataError::malformed(path, problem))
    }
}

fn header_error(path: &Path, error: io::Error) -> DataError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            DataError::malformed(path, "is too short to be an IDX file")
        }
        _ => body_error(path, error),
    }
}

fn body_error(path: &Path, error: io::Error) -> DataError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            DataError::malformed(path, "is cut short: its gzip data ends early")
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            DataError::malformed(path, format!("its gzip data is damaged: {error}"))
        }
        _ => DataError::io(path, error),
    }
}
