//! A model's graph on its way into the formats of others: one walk over its tensor program, and one
//! [`table`] that says what each op becomes in each format.
//!
//! An op is either a node of the format, or is rewritten with simpler ops of programs ([`rules`]), which
//! are walked in turn. So what a format lacks is written down once, for all formats that lack it.

mod dimensions;
mod ledger;
mod of_model;
mod options;
mod rules;
mod sizes;
mod table;
mod verify;
mod walk;
mod weights;

pub(crate) use dimensions::{Arithmetic, Dimensions};
pub(crate) use ledger::{Ledger, bytes_of};
pub(crate) use of_model::graph_of;
pub use options::{GraphOptions, Progress, Written};
pub(crate) use sizes::{Part, Sizes};
pub use verify::{GraphFormat, Verified, verify};
pub(crate) use walk::{Builder, Value, Values, Walk, direct, unsupported};
pub(crate) use weights::{Weight, Weights};
