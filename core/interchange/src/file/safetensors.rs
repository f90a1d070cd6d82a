//! safetensors: a JSON header with names, types and places, then the values.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
};

use half::{bf16, f16};
use safetensors::{Dtype, tensor::Metadata};

use super::{Tensors, check_finite, room};
use crate::{Array, array::Dimensions};

/// What the safetensors library allows, too.
const LARGEST_HEADER: u64 = 100_000_000;

/// Reads all tensors, converted to `f32`.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn read(mut file: File) -> Result<Tensors, String> {
    let length = file.metadata().map_err(in_words)?.len();
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix).map_err(|_| "the file ends before its header".to_owned())?;
    let header = u64::from_le_bytes(prefix);
    if header > LARGEST_HEADER {
        return Err(format!("the header claims to be {header} bytes long"));
    }
    if 8 + header > length {
        return Err(format!("the header claims {header} bytes, but the file has only {length}"));
    }
    let mut text = vec![0; header as usize];
    file.read_exact(&mut text).map_err(in_words)?;
    let metadata: Metadata =
        serde_json::from_slice(&text).map_err(|error| format!("the header is damaged: {error}"))?;
    let expected = 8 + header + metadata.data_len() as u64;
    if expected != length {
        let problem = if expected > length { "cut short" } else { "followed by something else" };
        return Err(format!(
            "the tensors are {problem}: the header describes {expected} bytes, the file has {length}"
        ));
    }
    let mut tensors = Tensors::new();
    let mut place = 0;
    for name in metadata.offset_keys() {
        // Keys come from the same header.
        let Some(info) = metadata.info(&name) else { continue };
        let (start, end) = info.data_offsets;
        if start != place || end < start {
            return Err(format!("`{name}` does not begin where the tensor before it ends"));
        }
        place = end;
        file.seek(SeekFrom::Start(8 + header + start as u64)).map_err(in_words)?;
        let values = read_values(&mut file, &name, info.dtype, end - start)?;
        let count = info.shape.iter().try_fold(1usize, |count, &length| count.checked_mul(length));
        if count != Some(values.len()) {
            let shape = Dimensions(&info.shape);
            return Err(format!("`{name}` of {shape} has {} values", values.len()));
        }
        check_finite(&name, &values)?;
        tensors.insert(name, Array { shape: info.shape.clone(), values });
    }
    Ok(tensors)
}

/// Reads values piece by piece, so that their bytes are never in memory as a whole.
fn read_values(
    file: &mut File,
    name: &str,
    dtype: Dtype,
    bytes: usize,
) -> Result<Vec<f32>, String> {
    let (width, convert): (usize, fn(&[u8]) -> f32) = match dtype {
        // `chunks_exact` below gives as many bytes as the type has.
        Dtype::F32 => (4, |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        Dtype::F16 => (2, |b| f16::from_le_bytes([b[0], b[1]]).to_f32()),
        Dtype::BF16 => (2, |b| bf16::from_le_bytes([b[0], b[1]]).to_f32()),
        Dtype::F64 => {
            (8, |b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
        }
        other => {
            return Err(format!(
                "`{name}` is {other:?}; weights are F32, F16, BF16 or F64 (save them dequantised)"
            ));
        }
    };
    let mut values = room(name, bytes / width)?;
    let mut piece = vec![0; bytes.min(1 << 20)];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(piece.len());
        file.read_exact(&mut piece[..now]).map_err(in_words)?;
        values.extend(piece[..now].chunks_exact(width).map(convert));
        left -= now;
    }
    Ok(values)
}

fn in_words(error: io::Error) -> String {
    error.to_string()
}

/// A tensor as the safetensors library takes it.
struct View<'a>(&'a Array);

impl safetensors::View for View<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        self.0.values.len() * 4
    }
}

/// Writes tensors, with `format: pt` in the header, which PyTorch's loaders ask for.
pub(crate) fn write(tensors: &Tensors, file: &mut impl Write) -> io::Result<()> {
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let named = tensors.iter().map(|(name, array)| (name.as_str(), View(array)));
    let bytes = safetensors::serialize(named, Some(metadata)).map_err(io::Error::other)?;
    file.write_all(&bytes)
}
