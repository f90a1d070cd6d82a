//! safetensors: a JSON header with names, types and places, then the values.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
};

use safetensors::{Dtype, tensor::Metadata};

use super::{
    contents::{Contents, Tensors, Wanted},
    element::{ELEMENTS, Element},
};
use crate::{Array, array::Dimensions};

/// What the safetensors library allows, too.
const LARGEST_HEADER: u64 = 100_000_000;

/// Reads the tensors that are wanted, converted to `f32`.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn read(mut file: File, wanted: Wanted<'_>) -> Result<Contents, String> {
    let length = file.metadata().map_err(in_words)?.len();
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix).map_err(|_| "the file ends before its header".to_owned())?;
    let header = u64::from_le_bytes(prefix);
    if header > LARGEST_HEADER {
        return Err(format!("the header claims to be {header} bytes long"));
    }
    if 8 + header > length {
        return Err(format!(
            "the file is cut short: its header claims {header} bytes, but it has only {length}"
        ));
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
    let mut contents = Contents::default();
    let mut place = 0;
    for name in metadata.offset_keys() {
        // Keys come from the same header.
        let Some(info) = metadata.info(&name) else { continue };
        let (start, end) = info.data_offsets;
        if start != place || end < start {
            return Err(format!("`{name}` does not begin where the tensor before it ends"));
        }
        place = end;
        if !wanted(&name) {
            contents.unread.insert(name);
            continue;
        }
        let element = match info.dtype {
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::BF16,
            Dtype::F64 => Element::F64,
            Dtype::BOOL
            | Dtype::U8
            | Dtype::I8
            | Dtype::I16
            | Dtype::U16
            | Dtype::I32
            | Dtype::U32
            | Dtype::I64
            | Dtype::U64 => {
                contents.integers.insert(name, format!("{:?}", info.dtype));
                continue;
            }
            other => return Err(format!("`{name}` is {other:?}; {ELEMENTS}")),
        };
        let bytes = (end - start) as u64;
        let count = bytes / element.width();
        let shape = &info.shape;
        let claimed =
            shape.iter().try_fold(1u64, |count, &length| count.checked_mul(length as u64));
        if claimed != Some(count) || count * element.width() != bytes {
            return Err(format!("`{name}` of {} has {count} values", Dimensions(shape)));
        }
        file.seek(SeekFrom::Start(8 + header + start as u64)).map_err(in_words)?;
        let values = element.read(&mut file, &name, count as usize)?;
        contents.tensors.insert(name, Array { shape: shape.clone(), values });
    }
    Ok(contents)
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
