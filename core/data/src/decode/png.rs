//! What of a PNG file is decoded: its image, and which way up it is.

use std::borrow::Cow;

const SIGNATURE: usize = 8;
/// Texts and colour profiles. Nobody reads them here, and a compressed one of 1 MB can become a gigabyte.
const METADATA: [&[u8; 4]; 4] = [b"tEXt", b"zTXt", b"iTXt", b"iCCP"];

/// The file without its texts and colour profiles; what is damaged stays, for the decoder to tell.
pub(super) fn without_metadata(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut kept: Option<Vec<u8>> = None;
    let mut at = SIGNATURE;
    while let Some(end) = chunk_end(bytes, at) {
        let is_metadata = METADATA.iter().any(|kind| bytes[at + 4..].starts_with(*kind));
        match &mut kept {
            None if is_metadata => kept = Some(bytes[..at].to_vec()),
            Some(kept) if !is_metadata => kept.extend_from_slice(&bytes[at..end]),
            _ => {}
        }
        at = end;
    }
    match kept {
        None => Cow::Borrowed(bytes),
        Some(mut kept) => {
            kept.extend_from_slice(&bytes[at.min(bytes.len())..]);
            Cow::Owned(kept)
        }
    }
}

/// Where a chunk ends: length, kind, content and checksum.
fn chunk_end(bytes: &[u8], at: usize) -> Option<usize> {
    let length = bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)?;
    at.checked_add(12)?.checked_add(length as usize).filter(|&end| end <= bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        // Checksums are the decoder's business.
        [&(content.len() as u32).to_be_bytes()[..], kind, content, b"sum!"].concat()
    }

    #[test]
    fn texts_and_profiles_go_and_all_else_stays() {
        let [head, text, profile] = [(b"IHDR", 13), (b"zTXt", 70), (b"iCCP", 900)]
            .map(|(kind, length)| chunk(kind, &vec![7; length]));
        let [exif, data, end] = [(b"eXIf", 20), (b"IDAT", 50), (b"IEND", 0)]
            .map(|(k, length)| chunk(k, &vec![9; length]));
        let sign = b"\x89PNG\r\n\x1a\n".to_vec();
        let whole = [&sign, &head, &text, &exif, &profile, &data, &text, &end].map(Vec::as_slice);
        let plain = [&sign, &head, &exif, &data, &end].map(Vec::as_slice).concat();
        assert_eq!(*without_metadata(&whole.concat()), plain);
        assert!(matches!(without_metadata(&plain), Cow::Borrowed(_)));
        for length in 0..whole.concat().len() {
            let cut = &whole.concat()[..length];
            assert!(without_metadata(cut).len() <= length);
        }
        let damaged = [&plain[..], &[0xff; 4], b"zTXt"].concat();
        assert_eq!(*without_metadata(&damaged), damaged);
    }
}
