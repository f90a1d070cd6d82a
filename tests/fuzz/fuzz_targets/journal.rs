//! What an unfinished cache has left: its journal and the file that it speaks of, as they are and with the
//! journal's checksums put right. Packing goes on from there, or starts anew, and ends with a cache that can
//! be read.
#![no_main]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};

use libfuzzer_sys::fuzz_target;
use twox_hash::XxHash3_64;
use vitral_data::{Cache, Idx, Keep, OnError, PackOptions, Source as _, pack};
use vitral_fuzz::{file, read_all, two};

const ENTRY: usize = 32;
const IMAGES: usize = 3;

fuzz_target!(|data: &[u8]| {
    let Some((journal, payload)) = two(data) else { return };
    go_on(journal, payload);
    go_on(&mended(journal), payload);
});

fn go_on(records: &[u8], payload: &[u8]) {
    let path = place();
    let journal = [start(), records].concat();
    fs::write(beside(&path, "journal"), journal).expect("the temporary folder takes files");
    fs::write(beside(&path, "partial"), payload).expect("the temporary folder takes files");
    match pack(source(), &path, &options(), &|_| {}) {
        Ok(report) => {
            // What the journal said was there may be damaged, and is then told where it is read.
            if let Ok(cache) = Cache::open(&path) {
                assert_eq!(cache.len() as u64, report.images);
                read_all(&cache);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    for path in [path.clone(), beside(&path, "journal"), beside(&path, "partial")] {
        let _ = fs::remove_file(path);
    }
}

fn source() -> &'static Idx {
    static SOURCE: OnceLock<Idx> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let images = [&[0, 0, 8, 3, 0, 0, 0, IMAGES as u8, 0, 0, 0, 4, 0, 0, 0, 4][..], &[9; 48]];
        let labels = [0, 0, 8, 1, 0, 0, 0, IMAGES as u8, 0, 1, 1];
        let (images, labels) = (file("i", &images.concat()), file("l", &labels));
        Idx::open(&images, &labels, None).expect("three images")
    })
}

fn options() -> PackOptions {
    PackOptions { keep: Keep::Pixels, max_side: None, on_error: OnError::Stop }
}

fn place() -> PathBuf {
    std::env::temp_dir().join(format!("vitral-fuzz-{}-journal.vcache", std::process::id()))
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// What the journal of this source begins with.
fn start() -> &'static [u8] {
    static START: OnceLock<Vec<u8>> = OnceLock::new();
    START.get_or_init(|| {
        let (path, found) = (place(), Mutex::new(Vec::new()));
        let journal = beside(&path, "journal");
        let look = |_| {
            let bytes = fs::read(&journal).unwrap_or_default();
            let mut found = found.lock().expect("nobody panics with it");
            *found = bytes.get(..16).map_or_else(|| found.clone(), <[u8]>::to_vec);
        };
        pack(source(), &path, &options(), &look).expect("three images can be packed");
        let _ = fs::remove_file(path);
        let found = found.into_inner().expect("nobody panics with it");
        assert_eq!(found.len(), 16);
        found
    })
}

/// Records with the right checksums, as far as there are whole ones.
fn mended(records: &[u8]) -> Vec<u8> {
    let mut bytes = records.to_vec();
    let mut at = 0;
    while let Some(count) = bytes.get(at + 16..at + 24) {
        let count = u64::from_le_bytes(count.try_into().expect("eight bytes"));
        let length =
            usize::try_from(count).ok().and_then(|n| n.checked_mul(ENTRY)?.checked_add(24));
        let whole = length.and_then(|length| at.checked_add(length)?.checked_add(8));
        let Some(whole) = whole.filter(|whole| *whole <= bytes.len()) else { break };
        let end = whole - 8;
        let sum = XxHash3_64::oneshot(&bytes[at..end]);
        bytes[end..end + 8].copy_from_slice(&sum.to_le_bytes());
        at = whole;
    }
    bytes
}
