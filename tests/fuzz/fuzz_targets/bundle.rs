//! A bundle, as it is; with its seal put right; and as the archive under a seal that is right.
#![no_main]

use std::io::Write as _;

use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};
use vitral_bundle::Bundle;

/// Start of the seal: a skippable zstd frame of 32 bytes.
const SEAL: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];
const SEAL_BYTES: usize = SEAL.len() + 32;

fuzz_target!(|data: &[u8]| {
    open(data);
    if data.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        open(&sealed(&data[..data.len().saturating_sub(SEAL_BYTES)]));
    } else {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("level 1 is one");
        encoder.write_all(data).expect("memory takes bytes");
        open(&sealed(&encoder.finish().expect("memory takes bytes")));
    }
});

fn sealed(frame: &[u8]) -> Vec<u8> {
    [frame, &SEAL, &Sha256::digest(frame)].concat()
}

fn open(bytes: &[u8]) {
    let bundle = match Bundle::from_bytes("fuzz.vitral", bytes) {
        Ok(bundle) => bundle,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for artifact in &bundle.manifest().artifacts {
        let content = bundle.file(&artifact.path).expect("every artifact is there");
        assert_eq!(content.len() as u64, artifact.bytes);
    }
    let _ = (bundle.declared(), bundle.digest(), bundle.file_name(), bundle.signature(&[]).ok());
}
