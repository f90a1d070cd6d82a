//! RON configuration with errors that point at the line.
//!
//! A [`Document`] is one text: read from a file, perhaps changed by `--set`,
//! then parsed into any type that is `Deserialize + Serialize + JsonSchema`.
//! Names and types are checked by serde, ranges by the type's JSON schema, and
//! whatever is wrong comes back as a [`ConfigError`] that underlines the text
//! and says what would be right. The crate knows nothing about what is configured.
//!
//! ```
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use vitral_config::{Document, explain};
//!
//! /// How a model is trained.
//! #[derive(Deserialize, Serialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Train {
//!     /// Images of one step.
//!     #[schemars(range(min = 1))]
//!     batch: u32,
//!     /// Highest learning rate.
//!     #[serde(default)]
//!     learning_rate: f64,
//! }
//!
//! let mut document = Document::new("train.ron", "(batch: 64)");
//! document.set::<Train>("batch=128")?;
//! assert_eq!(document.parse::<Train>()?.batch, 128);
//! assert!(explain::<Train>("batch")?.contains("Images of one step."));
//!
//! let document = Document::new("train.ron", "(\n    bacth: 64,\n)");
//! let error = document.parse::<Train>().err().unwrap();
//! assert_eq!((error.line, error.column), (2, 5));
//! assert_eq!(error.message, "unknown field `bacth`");
//! assert!(error.help.as_ref().unwrap().contains("did you mean `batch`?"));
//! # Ok::<(), vitral_config::ConfigError>(())
//! ```

mod base;
mod branch;
mod describe;
mod diff;
mod document;
mod error;
mod explain;
mod findings;
mod format;
mod given;
mod limits;
mod path;
pub mod path_text;
mod place;
mod plugin;
mod reference;
mod schema;
mod set;
mod suggest;
mod token;
mod tree;
mod visible;
mod written;

pub use describe::{choices, commented, explain, fields_called, schema_of};
pub use diff::{Difference, Varying, differences, varying};
pub use document::Document;
pub use error::{ConfigError, Mistake};
pub use format::{to_ron, without};
pub use given::with_given;
pub use plugin::{OnPluginError, PluginSettings, PluginUse, PluginValue};
pub use reference::reference;
pub use schema::schema;
pub use suggest::nearest;
pub use visible::{is_deceptive, visible, visible_with};
