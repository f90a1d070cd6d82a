//! `SHA256SUMS`: written last, checked first.

use std::{
    fmt::Write as _,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};
use vitral_files::{Access, Kind};

pub(super) const FILE: &str = "SHA256SUMS";

/// Checksums of the files of one folder.
#[derive(Default)]
pub(super) struct Sums {
    lines: String,
}

impl Sums {
    pub(super) fn add(&mut self, name: &str, content: &[u8]) {
        let hash = hex(&Sha256::digest(content));
        self.lines.push_str(&format!("{hash}  {name}\n"));
    }

    /// Adds a file that has been written.
    pub(super) fn add_file(&mut self, name: &str, path: &Path) -> io::Result<()> {
        self.lines.push_str(&format!("{}  {name}\n", hash_of(path)?));
        Ok(())
    }

    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        vitral_files::write_new(&folder.join(FILE), self.lines.as_bytes(), Access::Usual)
    }
}

/// Checks every file that the folder's list names.
///
/// # Errors
/// The first file that is missing or differs, in words.
pub(super) fn verify(folder: &Path) -> Result<(), String> {
    let list = vitral_files::read_text(&folder.join(FILE), Kind::STATE)
        .map_err(|error| format!("{FILE}: {error}"))?;
    if list.is_empty() || !list.ends_with('\n') {
        return Err(format!("{FILE} is cut short"));
    }
    for line in list.lines() {
        let (expected, name) =
            line.split_once("  ").ok_or_else(|| format!("{FILE} has the line `{line}`"))?;
        if name.contains(['/', '\\']) {
            return Err(format!("{FILE} names a file outside: {name}"));
        }
        let found = hash_of(&folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
        if found != expected {
            return Err(format!("the checksum of {name} is not the one in {FILE}"));
        }
    }
    Ok(())
}

fn hash_of(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let (file, size) = vitral_files::open(path, Kind::TENSORS)?;
    // Not more, should it grow meanwhile.
    io::copy(&mut file.take(size), &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
