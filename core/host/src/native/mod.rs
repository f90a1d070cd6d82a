//! Plugins as native code: tables of functions, of this program or of a library.

mod calls;
mod instance;
mod library;

use vitral_abi::{c, convert};

pub(crate) use library::library;

use crate::{Declared, OpenError, plugin::Loaded};
use instance::Native;

/// Checks a plugin's table and reads what the plugin says of itself.
pub(crate) fn open(
    name: &str,
    table: &'static c::Plugin,
) -> Result<(Declared, Box<dyn Loaded>), OpenError> {
    let refuse = |problem: String| OpenError::new(name, problem);
    // Size and version come first in every version of the table.
    if table.major != c::MAJOR || table.minor > c::MINOR {
        return Err(refuse(format!(
            "it is built for contract {}.{}, and this vitral speaks {}.0 to {}.{}",
            table.major,
            table.minor,
            c::MAJOR,
            c::MAJOR,
            c::MINOR
        )));
    }
    if table.struct_size < size_of::<c::Plugin>() {
        return Err(refuse(format!(
            "its table has {} bytes, but contract 1.0 has {}",
            table.struct_size,
            size_of::<c::Plugin>()
        )));
    }
    let kind = convert::kind(table.kind).map_err(|error| refuse(error.to_string()))?;
    let describe = table.describe.ok_or_else(|| refuse("it has no function `describe`".into()))?;
    // SAFETY: the function takes nothing, and gives a pointer that is valid for ever, or null.
    let description = unsafe { describe().as_ref() };
    let description = description.ok_or_else(|| refuse("it describes itself by null".into()))?;
    // SAFETY: by contract everything that a description points to is valid for ever.
    let description = unsafe { convert::description(description) };
    let description = description.map_err(|error| refuse(error.to_string()))?;
    let native = Native::new(table, kind).map_err(refuse)?;
    Ok((Declared { kind, description }, Box::new(native)))
}
