//! Between plain types and their [C form](crate::c).
//!
//! What comes from the other side is copied and checked: numbers that stand for something, text,
//! nulls, lengths and alignment. Pointers themselves cannot be checked, so functions that follow
//! them are `unsafe`. What goes to the other side is borrowed: [`CSettings`] and its like keep what
//! they point to alive; only a plugin's description lives for ever ([`leak_description`]).
//!
//! | type | to C | from C |
//! |---|---|---|
//! | [`Description`](crate::Description) | [`leak_description`] | [`description`] |
//! | [`Setting`](crate::Setting)s | [`CSettings`] | [`settings`] |
//! | [`Attribute`](crate::Attribute)s | [`CAttributes`] | [`attributes`] |
//! | [`Event`](crate::Event) | [`CEvent`] | [`event`] |
//! | [`Action`](crate::Action) | [`CAction`] | [`action`] |
//! | [`Kind`](crate::Kind), [`LogLevel`](crate::LogLevel) | [`kind_tag`], [`level_tag`] | [`kind`], [`level`] |
//! | [`Initializer`](crate::Initializer) | `From` | `TryFrom` |
//! | [`Layer`](crate::Layer), [`Batch`](crate::Batch), [`Sample`](crate::Sample), [`Interests`](crate::Interests) | `From` | `From` |
//! | text, lists of plain items | [`text_of`], [`list_of`] | [`text`], [`items`] |

mod description;
mod error;
mod list;
mod monitor;
mod trace;
mod value;

pub use description::{description, kind, kind_tag, leak_description};
pub use error::ConvertError;
pub use list::{MAX_LIST_BYTES, items, list_of, text, text_of};
pub use monitor::{CAction, CEvent, action, event};
pub use trace::{level, level_tag};
pub use value::{CAttributes, CSettings, attributes, settings, value};

/// A result of reading what came from the other side.
pub type Result<T> = std::result::Result<T, ConvertError>;
