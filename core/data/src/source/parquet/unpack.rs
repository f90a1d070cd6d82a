//! Compressed pages, unpacked up to a limit: what a page claims to be is not believed, so that a small file
//! cannot take much memory.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use lz4_flex::block::{DecompressError, decompress_into};
use parquet::basic::Compression;

use super::problem::Problem;

/// Unpacks a page's bytes to at most `limit` bytes.
pub(super) fn unpack(
    compression: Compression,
    packed: &[u8],
    limit: usize,
) -> Result<Vec<u8>, Problem> {
    match compression {
        Compression::UNCOMPRESSED => Ok(packed.to_vec()),
        Compression::SNAPPY => snappy(packed, limit),
        Compression::GZIP(_) => read(MultiGzDecoder::new(packed), packed, limit),
        Compression::BROTLI(_) => {
            read(brotli_decompressor::Decompressor::new(packed, 4096), packed, limit)
        }
        Compression::ZSTD(_) => read(zstd::Decoder::with_buffer(packed)?, packed, limit),
        Compression::LZ4_RAW => lz4_block(packed, limit),
        Compression::LZ4 => lz4(packed, limit),
        Compression::LZO => Err("its compression, LZO, cannot be read; zstd, snappy, gzip, \
             brotli, lz4 and none can"
            .into()),
    }
}

fn too_much(packed: &[u8], limit: usize) -> Problem {
    let bytes = packed.len();
    format!("a page of {bytes} bytes unpacks to more than {limit}, which images do not").into()
}

fn read(unpacked: impl Read, packed: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    unpacked.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(too_much(packed, limit));
    }
    Ok(bytes)
}

fn snappy(packed: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
    let wrong = |error: snap::Error| Problem::from(error.to_string());
    // The length is the stream's own claim; it unpacks to exactly that, or not at all.
    if snap::raw::decompress_len(packed).map_err(wrong)? > limit {
        return Err(too_much(packed, limit));
    }
    snap::raw::Decoder::new().decompress_vec(packed).map_err(wrong)
}

/// A block that does not say how long it is: the room for it is doubled until it suffices.
fn lz4_block(packed: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
    let mut room = packed.len().saturating_mul(4).max(1 << 10).min(limit);
    loop {
        let mut bytes = vec![0; room];
        match decompress_into(packed, &mut bytes) {
            Ok(length) => {
                bytes.truncate(length);
                return Ok(bytes);
            }
            Err(DecompressError::OutputTooSmall { .. }) if room < limit => {
                room = room.saturating_mul(2).min(limit);
            }
            Err(DecompressError::OutputTooSmall { .. }) => return Err(too_much(packed, limit)),
            Err(error) => return Err(error.to_string().into()),
        }
    }
}

/// The older kind: blocks, each behind its length unpacked and packed, as Hadoop writes them; or a bare block,
/// as other writers took it.
fn lz4(packed: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
    match hadoop_blocks(packed, limit) {
        Some(result) => result,
        None => lz4_block(packed, limit),
    }
}

/// Nothing if the lengths are not those of blocks.
fn hadoop_blocks(packed: &[u8], limit: usize) -> Option<Result<Vec<u8>, Problem>> {
    let mut blocks = Vec::new();
    let (mut rest, mut all) = (packed, 0_usize);
    while !rest.is_empty() {
        let (unpacked, after) = rest.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        let [unpacked, length] =
            [unpacked, length].map(|bytes| u32::from_be_bytes(*bytes) as usize);
        let (block, after) = after.split_at_checked(length)?;
        blocks.push((block, unpacked));
        all = all.saturating_add(unpacked);
        rest = after;
    }
    if all > limit {
        return Some(Err(too_much(packed, limit)));
    }
    let mut bytes = vec![0; all];
    let mut room = &mut *bytes;
    for (block, unpacked) in blocks {
        let (here, after) = std::mem::take(&mut room).split_at_mut(unpacked);
        if decompress_into(block, here).ok()? != unpacked {
            return None;
        }
        room = after;
    }
    Some(Ok(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LIMIT: usize = 1 << 20;

    fn packed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        match compression {
            Compression::SNAPPY => snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
            Compression::GZIP(_) => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Compression::ZSTD(_) => zstd::encode_all(bytes, 1).unwrap(),
            Compression::LZ4_RAW => lz4_flex::block::compress(bytes),
            Compression::LZ4 => {
                let halves = bytes.split_at(bytes.len() / 2);
                let block = |half: &[u8]| {
                    let block = lz4_flex::block::compress(half);
                    let [unpacked, length] = [half.len(), block.len()].map(|n| n as u32);
                    [&unpacked.to_be_bytes()[..], &length.to_be_bytes(), &block].concat()
                };
                [block(halves.0), block(halves.1)].concat()
            }
            _ => bytes.to_vec(),
        }
    }

    fn all() -> [Compression; 5] {
        [
            Compression::SNAPPY,
            Compression::GZIP(Default::default()),
            Compression::ZSTD(Default::default()),
            Compression::LZ4_RAW,
            Compression::LZ4,
        ]
    }

    #[test]
    fn pages_unpack_to_what_was_packed_and_to_no_more_than_the_limit() {
        let bytes: Vec<u8> = (0..LIMIT).map(|i| (i / 1000) as u8).collect();
        for compression in all() {
            let packed = packed(compression, &bytes);
            assert!(packed.len() < LIMIT / 8, "{compression}");
            let unpacked = |limit| unpack(compression, &packed, limit);
            assert!(unpacked(LIMIT).ok().unwrap() == bytes, "{compression}");
            for limit in [LIMIT - 1, 5] {
                let Problem(problem) = unpacked(limit).err().unwrap();
                assert!(problem.contains(&format!("more than {limit},")), "{problem}");
            }
            // Half of a block may be a block; it is less than the whole.
            let half = unpack(compression, &packed[..packed.len() / 2], LIMIT);
            assert!(half.ok().is_none_or(|half| half.len() < LIMIT), "{compression}");
        }
    }

    #[test]
    fn the_older_lz4_may_be_a_bare_block() {
        let block = lz4_flex::block::compress(&[7; 1000]);
        assert!(unpack(Compression::LZ4, &block, LIMIT).ok().unwrap() == [7; 1000]);
    }

    #[test]
    fn a_claim_of_many_bytes_makes_no_room_for_them() {
        // A length of 4 GiB in 5 bytes, and of 4 GiB in one of Hadoop's.
        let snappy = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        let hadoop = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        for (compression, bytes) in
            [(Compression::SNAPPY, &snappy[..]), (Compression::LZ4, &hadoop[..])]
        {
            let Problem(problem) = unpack(compression, bytes, LIMIT).err().unwrap();
            assert!(problem.contains("unpacks to more"), "{problem}");
        }
    }
}
