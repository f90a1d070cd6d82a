//! The dialect of RON that Vitral reads and writes.
//!
//! Structs are plain `( ... )`, options are written as their value or `None`,
//! and a variant that wraps a struct shows the fields directly: `AdamW(beta1: 0.9)`.

use ron::Options;
use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use serde::Serialize;

use crate::ConfigError;
use crate::path::Path;
use crate::token::tokenize;
use crate::tree::Source;

/// The extensions in force for every text, without the text having to enable them.
pub(crate) fn options() -> Options {
    Options::default().with_default_extension(
        Extensions::IMPLICIT_SOME
            | Extensions::UNWRAP_NEWTYPES
            | Extensions::UNWRAP_VARIANT_NEWTYPES,
    )
}

/// Writes a value the way [`Document::parse`](crate::Document::parse) reads it.
///
/// A choice called `None` is written like the `None` of an option, and read as what its field is; so
/// no option holds such a choice.
pub fn to_ron<T: Serialize>(value: &T) -> Result<String, ConfigError> {
    let pretty = PrettyConfig::new().new_line("\n").struct_names(false);
    let text = options().to_string_pretty(value, pretty).map_err(|error| {
        ConfigError::without_place("configuration", format!("cannot be written: {error}"))
    })?;
    Ok(without_raw_none(text + "\n"))
}

/// A text without one of its fields, comma and line included; the same text where it is not there.
pub fn without(text: &str, field: &str) -> String {
    let source = Source::new(text);
    let path = Path::parse(field).unwrap_or_default();
    let found = source.find(&path).filter(|found| found.depth == path.0.len());
    let item = found.and_then(|found| source.removable(found.key?.start));
    let Some(item) = item else { return text.to_owned() };
    let line = text[..item.span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[item.span.end..].find('\n').map_or(text.len(), |at| item.span.end + at + 1);
    let alone =
        text[line..item.span.start].trim().is_empty() && text[item.span.end..end].trim().is_empty();
    let span = if alone { line..end } else { item.span };
    format!("{}{}", &text[..span.start], &text[span.end..])
}

/// ron writes such a choice as `r#None`, which nobody would.
fn without_raw_none(mut text: String) -> String {
    let (tokens, _) = tokenize(&text);
    for token in tokens.iter().rev() {
        if &text[token.span.clone()] == "r#None" {
            text.replace_range(token.span.clone(), "None");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_left_out_with_its_line() {
        for (text, field, rest) in [
            ("(\n  a: 1,\n  b: 2,\n)", "a", "(\n  b: 2,\n)"),
            ("(\n  a: (\n    c: 1,\n  ),\n  b: 2,\n)", "a.c", "(\n  a: (\n  ),\n  b: 2,\n)"),
            ("(a: 1, b: 2)", "a", "( b: 2)"),
            ("(a: 1)", "x", "(a: 1)"),
            ("(a: 1)", "a.x", "(a: 1)"),
        ] {
            assert_eq!(without(text, field), rest);
        }
    }

    #[test]
    fn a_choice_called_none_is_written_so() {
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize, schemars::JsonSchema)]
        enum Stem {
            None,
            #[allow(dead_code)]
            ResNet,
        }
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize, schemars::JsonSchema)]
        struct Model {
            stem: Stem,
            heads: Option<u32>,
            name: String,
        }
        let model = Model { stem: Stem::None, heads: None, name: "r#None".into() };
        let text = to_ron(&model).unwrap();
        assert!(text.contains("stem: None") && text.contains("\"r#None\""), "{text}");
        assert_eq!(crate::Document::new("t.ron", text).parse::<Model>().unwrap(), model);
    }
}
