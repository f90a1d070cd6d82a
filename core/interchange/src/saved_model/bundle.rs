//! TensorFlow's TensorBundle: `variables.data-00000-of-00001` with the values side by side, and
//! `variables.index`, a sorted table of names (LevelDB's format) that says where each one is.

use std::path::Path;

use super::graph::{FLOAT, HALF, TensorFlow, sizes_of};
use crate::{
    InterchangeError,
    graph::{Progress, Weight, Weights},
    output::Output,
    protobuf::{Message, varint},
};

/// The end of every table.
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
/// Bytes of a table's end: two places, filled up, and the magic number.
const FOOTER: usize = 48;

/// Writes the variables into a folder; gives the bytes of both files.
pub(super) fn write(
    folder: &Path,
    variables: &[Weight],
    weights: &Weights,
    progress: Progress<'_>,
) -> Result<u64, InterchangeError> {
    let total = variables.iter().map(|variable| variable.bytes).sum();
    let stored = if weights.f16() { HALF } else { FLOAT };
    let mut data = Output::create(&folder.join("variables.data-00000-of-00001"))?;
    // One file, little-endian (0, which is left out), version 1.
    let header = Message::new().int(1, 1).message(3, &Message::new().int(1, 1));
    let mut entries = vec![(String::new(), header)];
    progress(0, total);
    for variable in variables {
        let bytes = weights.bytes::<TensorFlow>(variable)?;
        let entry = Message::new()
            .int(1, stored)
            .message(2, &sizes_of(&variable.sizes))
            .int(4, data.position() as i64)
            .int(5, bytes.len() as i64)
            .fixed32(6, masked(crc32c::crc32c(&bytes)));
        entries.push((variable.name.clone(), entry));
        data.write(&bytes)?;
        progress(data.position(), total);
    }
    entries.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
    let mut index = Output::create(&folder.join("variables.index"))?;
    index.write(&table(&entries))?;
    Ok(data.finish()? + index.finish()?)
}

/// Checksums of data that holds checksums are masked.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A table of sorted entries: one block of them, a block of nothing, and a block that says where the
/// first one is.
fn table(entries: &[(String, Message)]) -> Vec<u8> {
    let mut table = Vec::new();
    let content = entries.iter().map(|(key, value)| (key.as_str(), value.as_bytes()));
    let entries_at = append(&mut table, block(content));
    let nothing_at = append(&mut table, block([]));
    let last = entries.last().map_or("", |(key, _)| key);
    let index_at = append(&mut table, block([(last, &entries_at[..])]));
    let mut footer = [nothing_at, index_at].concat();
    footer.resize(FOOTER - 8, 0);
    footer.extend(MAGIC.to_le_bytes());
    table.extend(footer);
    table
}

/// Keys and values, each key in full.
fn block<'e>(entries: impl IntoIterator<Item = (&'e str, &'e [u8])>) -> Vec<u8> {
    let (mut block, mut restarts) = (Vec::new(), Vec::new());
    for (key, value) in entries {
        restarts.push(block.len() as u32);
        varint(&mut block, 0);
        varint(&mut block, key.len() as u64);
        varint(&mut block, value.len() as u64);
        block.extend(key.as_bytes());
        block.extend(value);
    }
    if restarts.is_empty() {
        restarts.push(0);
    }
    block.extend(restarts.iter().flat_map(|at| at.to_le_bytes()));
    block.extend((restarts.len() as u32).to_le_bytes());
    block
}

/// Adds a block with its checksum; gives its place.
fn append(table: &mut Vec<u8>, block: Vec<u8>) -> Vec<u8> {
    let mut place = Vec::new();
    varint(&mut place, table.len() as u64);
    varint(&mut place, block.len() as u64);
    let start = table.len();
    table.extend(block);
    // Not compressed.
    table.push(0);
    let crc = masked(crc32c::crc32c(&table[start..]));
    table.extend(crc.to_le_bytes());
    place
}
