//! Plugins as native code: tables of functions, of this program or of a library.

mod calls;
mod header;
mod instance;
mod keeper;
mod library;

use std::mem::offset_of;

use vitral_abi::{
    Description, c,
    convert::{self, FromC},
};

pub(crate) use library::library;

use crate::{Declared, OpenError, loaded::Loaded};
use instance::Native;

/// Checks a plugin's table and reads what the plugin says of itself.
pub(crate) fn open(
    name: &str,
    table: &'static c::Plugin,
) -> Result<(Declared, Box<dyn Loaded>), OpenError> {
    let refuse = |problem: String| OpenError::new(name, problem);
    contract(table.struct_size, table.major, table.minor).map_err(refuse)?;
    let kind = convert::kind(table.kind).map_err(|error| refuse(error.to_string()))?;
    let describe = table.describe.ok_or_else(|| refuse("it has no function `describe`".into()))?;
    // SAFETY: the function takes nothing, and gives a pointer that is valid for ever, or null.
    let description = unsafe { describe().as_ref() };
    let description = description.ok_or_else(|| refuse("its description is null".into()))?;
    // SAFETY: by contract everything that a description points to is valid for ever.
    let description = unsafe { Description::from_c(description) };
    let description = description.map_err(|error| refuse(error.to_string()))?;
    let native = Native::new(table, kind).map_err(refuse)?;
    Ok((Declared { kind, description }, Box::new(native)))
}

/// Checks a table's size and version, which come first in every version of the table.
fn contract(size: usize, major: u16, minor: u16) -> Result<(), String> {
    let whole = size_of::<c::Plugin>();
    let too_small = || Err(format!("its table has {size} bytes, but contract 1.0 has {whole}"));
    if size < offset_of!(c::Plugin, kind) {
        return too_small();
    }
    if major != c::MAJOR || minor > c::MINOR {
        return Err(format!(
            "it is built for contract {major}.{minor}, but this vitral supports {}.0 to {}.{}",
            c::MAJOR,
            c::MAJOR,
            c::MINOR
        ));
    }
    if size < whole { too_small() } else { Ok(()) }
}
