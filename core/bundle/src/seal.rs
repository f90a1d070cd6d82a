//! A bundle's outermost layer: one zstd frame, and behind it the seal, a digest of the frame.
//!
//! The seal is a skippable zstd frame, so that `zstd -d` and `tar --zstd` read a bundle like any
//! other archive. It finds changes in bytes that decompression does not look at. It is no protection
//! against people, who can make a new seal; the signature is.

use std::io::{self, Read, Write};

use crate::digest::Digest;

/// Start of a zstd frame.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Start of the seal: a skippable frame of 32 bytes.
const SEAL: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];
const SEAL_BYTES: usize = SEAL.len() + 32;

const LEVEL: i32 = 19;
/// Back references reach 8 MiB, which is also what decompression may need of memory.
const WINDOW_LOG: u32 = 23;

/// Compresses and seals.
pub(crate) fn seal(archive: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.include_checksum(true)?;
    encoder.include_contentsize(true)?;
    encoder.set_pledged_src_size(Some(archive.len() as u64))?;
    encoder.write_all(archive)?;
    let mut sealed = encoder.finish()?;
    let digest = Digest::of(&sealed);
    sealed.extend_from_slice(&SEAL);
    sealed.extend_from_slice(digest.as_bytes());
    Ok(sealed)
}

/// Checks the seal, and gives what it covers.
pub(crate) fn check(sealed: &[u8]) -> Result<&[u8], String> {
    if !sealed.starts_with(&ZSTD) {
        return Err("this is not a bundle: it does not start like a zstd file".to_owned());
    }
    let split = sealed.len().checked_sub(SEAL_BYTES);
    let (frame, seal) = split.map(|at| sealed.split_at(at)).unwrap_or_default();
    let Some(digest) = seal.strip_prefix(&SEAL).and_then(|digest| digest.try_into().ok()) else {
        return Err("it does not end with a bundle's seal: it is cut off, or was not packed by \
                    `vitral plugin pack`"
            .to_owned());
    };
    let (expected, found) = (Digest::from_bytes(digest), Digest::of(frame));
    match expected == found {
        true => Ok(frame),
        false => Err(format!(
            "it is damaged: the SHA-256 of its content is {found}, but its seal says {expected}"
        )),
    }
}

/// Decompresses what is under a seal. At the end it checks that nothing is behind the frame.
pub(crate) struct Unsealed<'f> {
    decoder: Option<zstd::Decoder<'static, &'f [u8]>>,
}

impl<'f> Unsealed<'f> {
    pub(crate) fn new(frame: &'f [u8]) -> io::Result<Self> {
        let mut decoder = zstd::Decoder::with_buffer(frame)?.single_frame();
        decoder.window_log_max(WINDOW_LOG)?;
        Ok(Self { decoder: Some(decoder) })
    }
}

impl Read for Unsealed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        let read = decoder.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            let rest = self.decoder.take().map(zstd::Decoder::finish).unwrap_or_default();
            if !rest.is_empty() {
                return Err(io::Error::other(format!(
                    "{} bytes follow the compressed archive",
                    rest.len()
                )));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(sealed: &[u8]) -> Result<Vec<u8>, String> {
        let frame = check(sealed)?;
        let mut content = Vec::new();
        let mut unsealed = Unsealed::new(frame).map_err(|error| error.to_string())?;
        unsealed.read_to_end(&mut content).map_err(|error| error.to_string())?;
        Ok(content)
    }

    fn sealed(frame: &[u8]) -> Vec<u8> {
        [frame, &SEAL, Digest::of(frame).as_bytes()].concat()
    }

    #[test]
    fn what_is_sealed_comes_back() {
        let content = b"some text, some text, some text".repeat(99);
        assert_eq!(open(&seal(&content).unwrap()), Ok(content.clone()));
        assert_eq!(seal(&content).unwrap(), seal(&content).unwrap());
    }

    #[test]
    fn ordinary_zstd_readers_skip_the_seal() {
        let sealed = seal(b"text").unwrap();
        assert_eq!(zstd::decode_all(sealed.as_slice()).unwrap(), b"text");
    }

    #[test]
    fn nothing_but_one_frame_is_under_a_seal() {
        let one = zstd::encode_all(b"text".as_slice(), 1).unwrap();
        assert_eq!(open(&sealed(&one)), Ok(b"text".to_vec()));
        let skippable = [SEAL.as_slice(), &[7; 32]].concat();
        for frame in [
            [one.as_slice(), &one].concat(),
            [one.as_slice(), b"x"].concat(),
            [one.as_slice(), &skippable].concat(),
            [skippable.as_slice(), &one].concat(),
            one[..one.len() - 1].to_vec(),
            Vec::new(),
        ] {
            assert!(open(&sealed(&frame)).is_err(), "{frame:x?}");
        }
    }

    #[test]
    fn frames_that_need_much_memory_are_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(WINDOW_LOG + 1).unwrap();
        encoder.write_all(&vec![1; 40 << 20]).unwrap();
        let error = open(&sealed(&encoder.finish().unwrap())).unwrap_err();
        assert!(error.contains("memory"), "{error}");
    }
}
