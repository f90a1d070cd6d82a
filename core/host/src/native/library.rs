//! Native libraries.

use std::{io::Read, path::Path};

use libloading::Library;
use vitral_abi::c;

use super::{contract, header};
use crate::OpenError;

/// Opens a library and asks it for its table. The library is never closed: what it gave out stays
/// valid.
pub(crate) fn library(path: &Path) -> Result<&'static c::Plugin, OpenError> {
    let refuse = |problem: String| OpenError::new(path.display(), problem);
    // A name without a folder would be looked for among the system's libraries.
    let path =
        path.canonicalize().map_err(|error| refuse(format!("it cannot be read: {error}")))?;
    let start = start(&path).map_err(|error| refuse(format!("it cannot be read: {error}")))?;
    header::check(&start).map_err(refuse)?;
    // SAFETY: opening a library runs its code. The user has said that this one is trusted.
    let library = unsafe { Library::new(&path) }
        .map_err(|error| refuse(format!("it cannot be loaded as a library: {error}")))?;
    let library = Box::leak(Box::new(library));
    // SAFETY: by contract the symbol of this name is a function of this type.
    let entry = unsafe { library.get::<c::Entry>(c::ENTRY.as_bytes()) }.map_err(|error| {
        let entry = c::ENTRY;
        refuse(format!("it is not a plugin, as it does not export `{entry}`: {error}"))
    })?;
    // SAFETY: by contract the function takes nothing, and gives a table that is valid for ever, or
    // null.
    let table = unsafe { entry() };
    if table.is_null() || !table.is_aligned() {
        let what = if table.is_null() { "null" } else { "not aligned" };
        return Err(refuse(format!("its table is {what}")));
    }
    // SAFETY: every version of the table begins with its size and version; nothing else is read.
    let (size, major, minor) = unsafe {
        (
            (&raw const (*table).struct_size).read(),
            (&raw const (*table).major).read(),
            (&raw const (*table).minor).read(),
        )
    };
    contract(size, major, minor).map_err(refuse)?;
    // SAFETY: the table has all fields of this contract, is never written, and is valid for ever.
    Ok(unsafe { &*table })
}

/// The first bytes of a file.
fn start(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    vitral_files::open(path, vitral_files::Kind::LIBRARY)?
        .0
        .take(header::LENGTH)
        .read_to_end(&mut start)?;
    Ok(start)
}
