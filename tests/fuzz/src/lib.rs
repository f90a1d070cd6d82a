//! What the fuzz targets share: files for parsers that want paths, and what must hold of whatever a
//! source opens.

use std::fs;
use std::path::PathBuf;
use std::process;

use vitral_data::{Image, Source, Stored};

/// Images that are read of one source.
const MOST_IMAGES: usize = 16;

/// Larger images are left alone: decoding them is allowed to take long, which would look like a hang.
pub const MOST_PIXELS: u64 = 1 << 21;

/// Writes an input where a parser can open it: one file for each name, in the folder that the system
/// has for such (`TMPDIR`).
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("vitral-fuzz-{}-{name}", process::id()));
    fs::write(&path, bytes).expect("the temporary folder takes files");
    path
}

/// Two files of one input, whose first two bytes are the length of the first.
pub fn two(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk()?;
    rest.split_at_checked(u16::from_le_bytes(*length).into())
}

/// What [`two`] takes apart.
pub fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    let length = u16::try_from(first.len()).expect("a seed is small");
    [&length.to_le_bytes(), first, second].concat()
}

/// Whatever was opened can be read, image by image, without a panic, and does not contradict itself.
pub fn read_all(source: &dyn Source) {
    assert!(!source.is_empty());
    let mut buffer = Vec::new();
    for index in 0..source.len() {
        assert!((source.label(index) as usize) < source.class_names().len(), "image {index}");
        assert!(!source.name(index).is_empty(), "image {index}");
        if index >= MOST_IMAGES {
            continue;
        }
        let Ok(stored) = source.load(index, &mut buffer) else {
            assert!(source.read(index).is_err(), "image {index}");
            continue;
        };
        if let Some(image) = decoded(stored) {
            assert_eq!(source.read(index).ok(), Some(image), "image {index}");
        }
    }
    if let Some(groups) = source.groups() {
        let ends: Vec<_> = (0..groups.count()).map(|group| groups.samples(group)).collect();
        assert_eq!(ends.first().map(|range| range.start), Some(0));
        assert!(ends.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(ends.last().map(|range| range.end as usize), Some(source.len()));
    }
}

/// The image, of the size that it was said to have; nothing if it is damaged, or large.
pub fn decoded(stored: Stored<'_>) -> Option<Image> {
    let size = stored.size();
    if let Ok((width, height, _)) = size
        && u64::from(width) * u64::from(height) > MOST_PIXELS
    {
        return None;
    }
    let image = stored.decode().ok()?;
    let (width, height, _) = size.expect("what can be decoded has a size");
    assert_eq!((image.width(), image.height()), (width, height));
    Some(image)
}

/// For targets in which panics of a library are caught and become errors: only one that is not caught
/// ends the process. `VITRAL_FUZZ_PANICS` has every one told.
pub fn allow_caught_panics() {
    if std::env::var_os("VITRAL_FUZZ_PANICS").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
}
