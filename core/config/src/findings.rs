//! Everything that is wrong in a text, and not the first thing alone.
//!
//! ron stops at the first mistake. Where that is one of a name or a value, the field or the item of a
//! list that it stands in is blanked out, so that every other byte keeps its place, and the text is
//! read again.

use ron::error::Error;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Finding;
use crate::schema::schema;
use crate::tree::{Removable, Source};
use crate::{explain, format, limits, suggest};

/// How many mistakes are told at most.
const MOST: usize = 20;
/// Bytes that are read to find them, the text anew for each: of a long text, fewer are told.
const READ: usize = 1 << 20;

/// The value of a text, or all that is wrong with it, in its order.
pub(crate) fn parse<T>(text: &str, plugins: &[String]) -> Result<T, Vec<Finding>>
where
    T: DeserializeOwned + Serialize + JsonSchema,
{
    let schema = schema::<T>();
    let mut text = text.to_owned();
    let (mut found, mut removed) = (Vec::new(), Vec::new());
    let most = (READ / text.len().max(1)).clamp(1, MOST);
    while found.len() < most {
        let source = Source::without(&text, &removed);
        if let Some(message) = source.too_long() {
            let last = source.tokens.last().map_or(0..0, |token| token.span.clone());
            let label = "up to here".to_owned();
            return Err(vec![Finding { span: last, message, label, help: None }]);
        }
        match format::options().from_str::<T>(&text) {
            Ok(value) => {
                found.extend(out_of_range(&source, &schema, &value, found.is_empty()));
                if found.is_empty() {
                    return Ok(value);
                }
                break;
            }
            Err(error) => {
                let finding = explain::explain(&source, &schema, plugins, &error);
                if follows(&error.code, &finding, &text, &removed) {
                    break;
                }
                let item = source.removable(finding.span.start);
                let item = item.filter(|_| leaves_the_rest_sound(&error.code));
                found.push(finding);
                let Some(item) = item else { break };
                blank(&mut text, &item);
                removed.push(item);
            }
        }
    }
    found.sort_by_key(|finding| finding.span.start);
    found.truncate(MOST);
    Err(found)
}

fn out_of_range<T: Serialize>(
    source: &Source<'_>,
    schema: &serde_json::Value,
    value: &T,
    with_defaults: bool,
) -> Vec<Finding> {
    match serde_json::to_value(value) {
        Ok(json) if with_defaults => limits::violations_or_defaults(source, schema, &json),
        // What was blanked out has its default for the moment.
        Ok(json) => limits::violations(source, schema, &json),
        Err(error) => vec![Finding {
            span: 0..0,
            message: format!("cannot be checked: {error}"),
            label: String::new(),
            help: None,
        }],
    }
}

/// Whether a mistake only follows from what was blanked out before.
fn follows(code: &Error, finding: &Finding, text: &str, removed: &[Removable]) -> bool {
    let lacks = |field: &str| {
        let mut names = removed.iter().filter_map(|item| item.name.as_deref());
        names.any(|name| suggest::nearest(name, &[field]).is_some())
    };
    match code {
        // It was given, wrongly, or was meant by a name that is near.
        Error::MissingStructField { field, .. } if lacks(field) => true,
        Error::NoSuchStructField { .. }
        | Error::NoSuchEnumVariant { .. }
        | Error::MissingStructField { .. }
        | Error::DuplicateStructField { .. } => false,
        _ => {
            let source = Source::new(text);
            let around = source.removable(finding.span.start).map(|item| item.span);
            let around = around.unwrap_or(0..text.len());
            removed
                .iter()
                .any(|item| around.start <= item.span.start && item.span.end <= around.end)
        }
    }
}

/// Whether the text is read as it was meant once the item with the mistake is left out: where its
/// brackets, commas and quotes are in order.
fn leaves_the_rest_sound(code: &Error) -> bool {
    matches!(
        code,
        Error::NoSuchStructField { .. }
            | Error::NoSuchEnumVariant { .. }
            | Error::MissingStructField { .. }
            | Error::DuplicateStructField { .. }
            | Error::ExpectedInteger
            | Error::IntegerOutOfBounds
            | Error::ExpectedFloat
            | Error::ExpectedBoolean
            | Error::ExpectedString
            | Error::ExpectedArray
            | Error::ExpectedMap
            | Error::ExpectedOption
            | Error::ExpectedNamedStructLike(_)
            | Error::ExpectedStructLike
            | Error::ExpectedDifferentStructName { .. }
            | Error::ExpectedDifferentLength { .. }
            | Error::InvalidValueForType { .. }
            | Error::Message(_)
    )
}

/// Replaces an item by blanks; lines stay.
fn blank(text: &mut String, item: &Removable) {
    let blanks: String = text[item.span.clone()]
        .chars()
        .flat_map(|c| match c {
            '\n' => "\n".chars(),
            c => "    "[..c.len_utf8()].chars(),
        })
        .collect();
    text.replace_range(item.span.clone(), &blanks);
}
