//! Native libraries.

use std::path::Path;

use libloading::Library;
use vitral_abi::c;

use crate::OpenError;

/// Opens a library and asks it for its table. The library is never closed: what it gave out stays
/// valid.
pub(crate) fn library(path: &Path) -> Result<&'static c::Plugin, OpenError> {
    let refuse = |problem: String| OpenError::new(path.display(), problem);
    // SAFETY: opening a library runs its code. The user has said that this one is trusted.
    let library = unsafe { Library::new(path) }
        .map_err(|error| refuse(format!("it cannot be loaded as a library: {error}")))?;
    let library = Box::leak(Box::new(library));
    // SAFETY: by contract the symbol of this name is a function of this type.
    let entry = unsafe { library.get::<c::Entry>(c::ENTRY.as_bytes()) }.map_err(|error| {
        let entry = c::ENTRY;
        refuse(format!("it is no plugin, as it does not export `{entry}`: {error}"))
    })?;
    // SAFETY: by contract the function takes nothing, and gives a table that is valid for ever, or
    // null.
    let table = unsafe { entry().as_ref() };
    table.ok_or_else(|| refuse("its table is null".into()))
}
