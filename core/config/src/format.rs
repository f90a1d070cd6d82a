//! The dialect of RON that Vitral reads and writes.
//!
//! Structs are plain `( ... )`, options are written as their value or `None`,
//! and a variant that wraps a struct shows the fields directly: `AdamW(beta1: 0.9)`.

use ron::Options;
use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use serde::Serialize;

use crate::ConfigError;

/// The extensions in force for every text, without the text having to enable them.
pub(crate) fn options() -> Options {
    Options::default().with_default_extension(
        Extensions::IMPLICIT_SOME
            | Extensions::UNWRAP_NEWTYPES
            | Extensions::UNWRAP_VARIANT_NEWTYPES,
    )
}

/// Writes a value the way [`Document::parse`](crate::Document::parse) reads it.
pub fn to_ron<T: Serialize>(value: &T) -> Result<String, ConfigError> {
    let pretty = PrettyConfig::new().new_line("\n").struct_names(false);
    options().to_string_pretty(value, pretty).map(|text| text + "\n").map_err(|error| {
        ConfigError::without_place("configuration", format!("cannot be written: {error}"))
    })
}
