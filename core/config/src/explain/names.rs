//! Fields and variants: unknown, missing, given twice.

use ron::error::Error;

use super::view::View;
use crate::error::{Finding, line_and_column};
use crate::schema;
use crate::suggest;
use crate::token::Kind;

pub(crate) fn explain(view: &View<'_>, error: &Error) -> Option<Finding> {
    Some(match error {
        Error::NoSuchStructField { expected, found, .. } => unknown_field(view, found, expected),
        Error::NoSuchEnumVariant { expected, found, .. } => Finding {
            span: named(view, found),
            message: format!("unknown choice `{found}`"),
            label: "not one of the choices".to_owned(),
            help: plugin(view, found, expected)
                .or_else(|| suggest::help(found, expected, "choices")),
        },
        Error::MissingStructField { field, .. } => missing_field(view, field),
        Error::DuplicateStructField { field, .. } => duplicate_field(view, field),
        Error::SuggestRawIdentifier(found) => malformed_name(view, found),
        _ => return None,
    })
}

/// The name that ron has just read.
fn named(view: &View<'_>, found: &str) -> std::ops::Range<usize> {
    let plain = |text: &str| text.trim_start_matches("r#").trim_matches('"').to_owned();
    let before = view.source.tokens.iter().rev();
    let mut before = before.filter(|token| token.span.start < view.at);
    let token = before.find(|token| plain(view.text(token)) == found);
    view.span(token.or_else(|| view.touching()))
}

fn unknown_field(view: &View<'_>, found: &str, expected: &[&str]) -> Finding {
    let span = named(view, found);
    let near = suggest::nearest(found, expected).is_some();
    let elsewhere = unclosed(view).or_else(|| belongs(view, found, span.start, near));
    let list = match (expected.is_empty(), &elsewhere) {
        (true, _) => "no fields can be given here".to_owned(),
        (false, Some(_)) => format!("fields here: {}", expected.join(", ")),
        (false, None) => suggest::help(found, expected, "fields").unwrap_or_default(),
    };
    let help = match elsewhere {
        Some(note) => format!("{note}; {list}"),
        None => list,
    };
    Finding {
        span,
        message: format!("unknown field `{found}`"),
        label: "no such field".to_owned(),
        help: Some(help),
    }
}

/// A field seems unknown when the bracket that should end the group before it is missing.
fn unclosed(view: &View<'_>) -> Option<String> {
    super::unfinished::find(view.source)?;
    Some("the brackets in this text do not match, so one may be missing before this".to_owned())
}

/// Where a field of that name belongs, or what it is called here.
fn belongs(view: &View<'_>, found: &str, at: usize, near: bool) -> Option<String> {
    let homes = schema::homes(view.schema, found);
    let called = homes.iter().any(|home| home.name != found);
    // What is only misspelt belongs here; a name that is known from elsewhere is no misspelling.
    if near && !called {
        return None;
    }
    let (mut here, _) = view.source.around(at)?;
    here.0.pop();
    let node = view.source.exact(&here);
    let carried = schema::names(node, view.source.text);
    let is_here = |home: &&schema::Home| {
        let variant = home.variant.as_deref();
        home.path == here && variant.is_none_or(|variant| carried.contains(&variant))
    };
    let own: Vec<_> = homes.iter().filter(is_here).map(|home| format!("`{}`", home.name)).collect();
    if !own.is_empty() {
        return Some(format!("`{found}` is called {} here", own.join(" and ")));
    }
    let home = homes.iter().find(|home| home.path == here).or(homes.first())?;
    let of_variant = home.variant.as_ref().filter(|_| home.path == here);
    let group = match (of_variant, home.path.is_empty()) {
        (Some(variant), _) => format!("`{variant}( ... )`"),
        (None, true) => "the outermost parentheses".to_owned(),
        (None, false) => format!("`{}`", home.path),
    };
    Some(match home.name == found {
        true => format!("`{found}` belongs to {group}"),
        false => format!("`{found}` is called `{}`, which belongs to {group}", home.name),
    })
}

/// How to write the plugin that was taken for a choice of its own.
fn plugin(view: &View<'_>, found: &str, expected: &[&str]) -> Option<String> {
    if !expected.contains(&"Plugin") {
        return None;
    }
    let names: Vec<&str> = view.plugins.iter().map(String::as_str).collect();
    let name = suggest::same(found, &names)?;
    Some(format!("`{found}` is a plugin: write `Plugin(name: \"{name}\")`"))
}

fn missing_field(view: &View<'_>, field: &str) -> Finding {
    let closing = view.here().map_or(view.at, |token| token.span.start);
    let group = view.source.around(closing);
    let path = group.as_ref().map(|(path, _)| path.clone()).unwrap_or_default();
    let mut full = path;
    full.0.push(crate::path::Segment::Field(field.to_owned()));
    let meaning = view.schema_at(&full);
    Finding {
        span: match &group {
            Some((_, found)) => view.source.opening(found),
            None => view.end(),
        },
        message: format!("missing field `{field}`"),
        label: format!("this needs a `{field}`"),
        help: meaning.and_then(|meaning| schema::description(view.schema, meaning)),
    }
}

fn duplicate_field(view: &View<'_>, field: &str) -> Finding {
    let span = named(view, field);
    let group = view.source.around(span.start);
    let first = group.and_then(|(mut path, _)| {
        path.0.pop();
        let group = view.source.exact(&path)?.inner();
        let mut keys = group.items.iter().filter_map(|item| item.key.as_ref());
        keys.find(|key| key.name == field).map(|key| key.span.start)
    });
    Finding {
        span,
        message: format!("field `{field}` is given twice"),
        label: "given again here".to_owned(),
        help: first.map(|first| {
            format!("given first on line {}", line_and_column(view.source.text, first).0)
        }),
    }
}

/// A name like `weight-decay`, or something else where a name should be.
fn malformed_name(view: &View<'_>, found: &str) -> Finding {
    let token = view.here();
    if token.is_some_and(|token| token.kind != Kind::Word) {
        return super::types::no_name(view);
    }
    let fixed = found.replace(['-', '.', '+'], "_");
    Finding {
        span: view.at..view.at + found.len(),
        message: format!("`{found}` is not a name"),
        label: "names have letters, digits and `_` only".to_owned(),
        help: Some(format!("did you mean `{fixed}`?")),
    }
}
