//! Reading somewhere in a file that several threads read.

use std::fs::File;
use std::io;
use std::path::Path;

/// Fills `buffer` from byte `at` on, from a file that is open; `path` is its own.
#[cfg(unix)]
pub(super) fn read_at(file: &File, _path: &Path, at: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

/// The same where threads would move each other's place in an open file.
#[cfg(not(unix))]
pub(super) fn read_at(_file: &File, path: &Path, at: u64, buffer: &mut [u8]) -> io::Result<()> {
    use std::io::{Read, Seek};
    let (mut file, _) = vitral_files::open(path, vitral_files::Kind::IDX)?;
    file.seek(io::SeekFrom::Start(at))?;
    file.read_exact(buffer)
}
