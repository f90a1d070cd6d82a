//! The files of a bundle that is being made or was read, and their bytes.

use std::io;

use crate::{seal, ustar};

/// A file of a bundle: its path and its bytes.
pub(crate) type Entry = (String, Vec<u8>);

/// The bytes of a bundle with these entries, which are in order already.
pub(crate) fn encode(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (path, content) in entries {
        let appended = ustar::append(&mut archive, path, content);
        appended.map_err(|error| io::Error::other(format!("`{path}` {error}")))?;
    }
    ustar::finish(&mut archive);
    seal::seal(&archive)
}
