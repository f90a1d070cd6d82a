//! No byte of a bundle can change, or go missing, without being found.

use crate::support::{keys, open, packed, sealed, unsealed};

#[test]
fn every_flipped_bit_of_a_bundle_is_found() {
    let mut bundle = packed("1.2.0");
    for index in 0..bundle.len() {
        for bit in 0..8 {
            bundle[index] ^= 1 << bit;
            assert!(open(&bundle).is_err(), "byte {index}, bit {bit}");
            bundle[index] ^= 1 << bit;
        }
    }
    open(&bundle).unwrap();
}

#[test]
fn a_bundle_that_is_cut_off_or_goes_on_is_refused() {
    let bundle = packed("1.2.0");
    for length in 0..bundle.len() {
        assert!(open(&bundle[..length]).is_err(), "cut at {length}");
    }
    let more = [bundle.as_slice(), b"x"].concat();
    assert!(open(&more).is_err());
    let twice = [bundle.as_slice(), &bundle].concat();
    assert!(open(&twice).is_err());
}

#[test]
fn every_byte_that_is_changed_before_sealing_is_found_too() {
    let (secret, pair) = keys();
    let bundle = open(&open(&packed("1.2.0")).unwrap().signed(&secret).unwrap()).unwrap();
    let mut archive = unsealed(&bundle.signed(&secret).unwrap());
    let comment = b"untrusted comment: ";
    let comment = archive.windows(comment.len()).position(|part| part == comment).unwrap();
    let signature =
        comment..archive[comment..].iter().position(|byte| *byte == 0).unwrap() + comment;
    for index in 0..archive.len() {
        archive[index] ^= 1 << (index % 8);
        if let Ok(bundle) = open(&sealed(&archive)) {
            assert!(signature.contains(&index), "byte {index}");
            let trusted = bundle.require_trusted(std::slice::from_ref(pair.public()));
            let first_line = archive[signature.clone()].iter().position(|byte| *byte == b'\n');
            let in_comment = index < comment + first_line.unwrap();
            assert!(trusted.is_err() || in_comment, "byte {index} of the signature");
        }
        archive[index] ^= 1 << (index % 8);
    }
    open(&sealed(&archive)).unwrap().require_trusted(&[pair.public().clone()]).unwrap();
}

#[test]
fn every_archive_that_is_cut_off_before_sealing_is_refused() {
    let archive = unsealed(&packed("1.2.0"));
    for length in (0..archive.len()).step_by(64).chain(archive.len() - 1024..archive.len()) {
        assert!(open(&sealed(&archive[..length])).is_err(), "cut at {length}");
    }
    open(&sealed(&archive)).unwrap();
}

#[test]
fn a_damaged_bundle_is_told_from_a_file_of_another_kind() {
    let bundle = packed("1.2.0");
    let mut changed = bundle.clone();
    changed[60] ^= 1;
    for (bytes, expected) in [
        (b"PK\x03\x04 zip".as_slice(), "this is not a bundle"),
        (b"", "this is not a bundle"),
        (&bundle[..100], "cut off"),
        (&changed, "it is damaged"),
        (&zstd::encode_all(b"x".as_slice(), 1).unwrap(), "not packed by `vitral plugin pack`"),
    ] {
        let error = open(bytes).unwrap_err().to_string();
        assert!(error.starts_with("test.vitral: ") && error.contains(expected), "{error}");
    }
}
