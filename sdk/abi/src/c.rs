//! The boundary of a native plugin, as C sees it.
//!
//! A native plugin is a shared library that exports one symbol, [`ENTRY`]: a function that returns a
//! table of functions, [`Plugin`]. The host calls them with a table of its own, [`Host`].
//!
//! # Rules
//!
//! - **Ownership.** Every pointer that is passed belongs to the side that passes it, and is valid
//!   until the call returns. Whoever wants to keep something copies it. Only the table and the
//!   description that a plugin returns are valid for ever; a library is never unloaded.
//! - **Results** are handed over by calling the host's functions, which copy them.
//! - **Versions.** A table begins with its size and version. Fields are only ever appended; a side
//!   reads no field that lies beyond the other's size. A plugin loads if its major version is the
//!   host's and its minor version is not newer.
//! - **Errors.** A function that may fail calls `Host::fail` with a message and returns
//!   [`FAILED`]. No panic and no exception crosses the boundary.
//! - **Threads.** An instance is used by one thread at a time, not always the same. Instances know
//!   nothing of each other. The host's table is for the thread of the call it was given to.
//! - **Text** is UTF-8, without a terminating zero.
//! - Tags are numbers, and one that a side does not know is an error of that value, never undefined.

mod description;
mod event;
mod form;
mod list;
mod monitor;
mod records;
mod tables;
mod trace;
mod value;

pub use description::*;
pub use event::*;
pub use form::Form;
pub use list::*;
pub use monitor::*;
pub use records::*;
pub use tables::*;
pub use trace::*;
pub use value::*;

/// Major version of this contract.
pub const MAJOR: u16 = crate::VERSION.0;
/// Minor version of this contract.
pub const MINOR: u16 = crate::VERSION.1;

/// The call did what was asked.
pub const OK: u32 = 0;
/// The call failed; the host has been told why.
pub const FAILED: u32 = 1;
/// The plugin panicked; its instance must not be used again.
pub const PANICKED: u32 = 2;

/// `Plugin::kind`: changes one image in a data worker.
pub const IMAGE_AUGMENTATION: u32 = 0;
/// `Plugin::kind`: changes a batch, as a tensor program.
pub const BATCH_AUGMENTATION: u32 = 1;
/// `Plugin::kind`: a layer's attention, as a tensor program.
pub const ATTENTION: u32 = 2;
/// `Plugin::kind`: hears of what happens in a run.
pub const MONITOR: u32 = 3;
