//! Turns ron's errors into plain words and whole underlined tokens.
//!
//! ron reports where its cursor stood, which may be before, inside or behind
//! the token to blame. Each submodule explains one family of errors.

mod names;
mod syntax;
mod types;
mod unfinished;
mod view;

use ron::error::{Error, Position, SpannedError};
use serde_json::Value;

use crate::error::Finding;
use crate::tree::Source;
use view::View;

/// What is wrong with the text, for its reader.
pub(crate) fn explain(
    source: &Source<'_>,
    schema: &Value,
    plugins: &[String],
    error: &SpannedError,
) -> Finding {
    let at = offset_of(source.text, error.span.end);
    if let Some(problem) = unfinished::find(source).filter(|problem| at >= problem.from) {
        return problem.finding;
    }
    let view = View { source, schema, at, plugins };
    names::explain(&view, &error.code)
        .or_else(|| types::explain(&view, &error.code))
        .or_else(|| syntax::explain(&view, &error.code))
        .unwrap_or_else(|| otherwise(&view, &error.code))
}

/// What ron itself says, at the value that it had just read.
fn otherwise(view: &View<'_>, error: &Error) -> Finding {
    let message = error.to_string();
    Finding {
        span: view.value_behind(),
        label: "here".to_owned(),
        help: view.description(),
        message: lower_first(&message),
    }
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    }
}

fn offset_of(text: &str, position: Position) -> usize {
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines.by_ref().take(position.line.saturating_sub(1)).map(str::len).sum();
    let line = lines.next().unwrap_or_default();
    let mut columns = line.char_indices().map(|(at, _)| at);
    let column = columns.nth(position.col.saturating_sub(1));
    before + column.unwrap_or(line.len())
}
