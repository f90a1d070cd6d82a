//! Between plain types and their [C form](crate::c).
//!
//! What comes from the other side is copied and checked by [`FromC`]: numbers that stand for something,
//! text, nulls, lengths and alignment. Pointers themselves cannot be checked, so functions that follow
//! them are `unsafe`. What goes to the other side is borrowed: [`InC`] keeps what it points to alive;
//! only a plugin's description lives for ever ([`leak_description`]).
//!
//! Records, values and events follow from the contract. By hand are what has another shape in C, and
//! small things: [`kind`], [`level`] and their tags, `From` and `TryFrom` of an
//! [`Initializer`](crate::Initializer), text and lists ([`text`], [`items`], [`text_of`], [`list_of`]).

mod description;
mod error;
mod list;
mod monitor;
mod parts;
mod records;
mod trace;
mod traits;
mod value;

pub use description::{kind, kind_tag, leak_description};
pub use error::ConvertError;
pub use list::{MAX_LIST_BYTES, items, list_of, text, text_of};
pub use records::event;
pub use trace::{level, level_tag};
pub use traits::{FromC, InC, Kept, ToC};
pub use value::{attributes, settings};

/// A result of reading what came from the other side.
pub type Result<T> = std::result::Result<T, ConvertError>;
