//! The plugin author's loop, which the program's `vitral plugin` commands call.
//!
//! - [`new`] writes a plugin to start from, in any [`Language`], [`build`] makes its WebAssembly component and its native
//!   library, [`check`] says whether they do what any plugin must, [`bench()`] how long they take, and
//!   [`pack`] puts them into a bundle.
//! - [`Workshop`] builds a plugin's folder when its source has changed, for experiments that name one.
//! - [`Artifacts`] is what the last three work on: a built plugin's folder, a bundle, an installed
//!   plugin or a component.
//!
//! Nothing here prints. What goes on is told to a callback, line by line.

#![recursion_limit = "256"]

mod artifacts;
mod bench;
mod build;
mod check;
mod error;
mod files;
mod fresh;
mod language;
mod new;
mod pack;

pub use artifacts::{Access, Artifacts};
pub use bench::{Bench, BenchOptions, Row, Spread, bench};
pub use build::{BuildOptions, Built, build};
pub use check::{CheckOptions, Finding, Outcome, Report, check};
pub use error::AuthorError;
pub use fresh::{Folder, Workshop};
pub use language::Language;
pub use new::{At, Name, Sdk, new};
pub use pack::pack;

/// Where lines about what goes on are told to.
pub type Progress<'p> = &'p mut dyn FnMut(&str);
