//! `--set path.to.field=value`: edits the text and leaves the rest of it alone.

use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::error::Finding;
use crate::path::{Path, Segment};
use crate::tree::{Node, Shape, Source};
use crate::{format, schema};

/// The text after an assignment, or what is wrong in the assignment.
pub(crate) fn set(text: &str, assignment: &str, root: &Value) -> Result<String, Finding> {
    let Some((path_text, value_text)) = assignment.split_once('=') else {
        return Err(wrong(
            0..assignment.len(),
            "an assignment is `path.to.field=value`",
            "`=` is missing",
        ));
    };
    let place = span_of_trimmed(path_text, 0);
    let path = read_path(path_text, &place)?;
    let source = Source::new(text);
    if let Some(message) = source.too_long() {
        return Err(wrong(place, message, "cannot be set"));
    }
    let found = source.find(&path);
    let old = found.as_ref().filter(|found| found.depth == path.0.len());
    let value = read_value(value_text, path_text.len() + 1, old.map(|found| found.node.inner()))?;
    let edits = match (&found, old) {
        (_, Some(old)) if old.node.span.is_empty() => {
            vec![(old.node.span.clone(), format!(" {value}"))]
        }
        (_, Some(old)) => vec![(old.node.span.clone(), value)],
        (Some(found), None) => {
            let rest = missing(root, &source, &path, found.depth).map_err(|(message, help)| {
                Finding { help: Some(help), ..wrong(place.clone(), message, "cannot be set") }
            })?;
            insert(&source, found.node, &rest, value).map_err(|message| {
                let parent = Path(path.0[..found.depth].to_vec());
                let parent = match parent.is_empty() {
                    true => "the configuration".to_owned(),
                    false => format!("`{parent}`"),
                };
                wrong(place, format!("{parent} {message}"), "cannot be set")
            })?
        }
        (None, None) => {
            let rest = missing(root, &source, &path, 0).map_err(|(message, help)| Finding {
                help: Some(help),
                ..wrong(place.clone(), message, "cannot be set")
            })?;
            let whole = build(&rest, value).map_err(|message| {
                wrong(place, format!("the configuration {message}"), "cannot be set")
            })?;
            vec![(text.len()..text.len(), separated(text, &whole))]
        }
    };
    Ok(apply(text, edits))
}

fn wrong(span: Range<usize>, message: impl Into<String>, label: &str) -> Finding {
    Finding {
        span,
        message: message.into(),
        label: label.to_owned(),
        help: Some("for example `--set train.epochs=5`".to_owned()),
    }
}

fn read_path(text: &str, place: &Range<usize>) -> Result<Path, Finding> {
    if place.is_empty() {
        return Err(wrong(0..1, "the path before `=` is missing", "name a field here"));
    }
    Path::parse(&text[place.clone()]).map_err(|(at, message)| {
        let start = place.start + at;
        wrong(start..place.end, format!("not a path: {message}"), "malformed")
    })
}

/// The value in RON; quoted for the user where only a string can be meant.
fn read_value(text: &str, offset: usize, old: Option<&Node>) -> Result<String, Finding> {
    let place = span_of_trimmed(text, 0);
    let trimmed = &text[place.clone()];
    let old_is_text = old.is_some_and(|old| old.shape == Shape::Text);
    let source = Source::new(trimmed);
    let parsed = format::options().from_str::<IgnoredAny>(trimmed);
    if let (Ok(_), Some(node)) = (&parsed, &source.root) {
        let named = |names: &[&str]| {
            let name = node.name.clone().map(|name| &trimmed[name]);
            name.is_some_and(|name| names.contains(&name))
        };
        let fits_text = node.shape == Shape::Text || named(&["None", "Some"]);
        if !old_is_text || fits_text {
            // Without comments: one behind the value would hide the rest of the line.
            return Ok(trimmed[node.span.clone()].to_owned());
        }
    }
    let bare = !trimmed.is_empty() && !trimmed.contains(['"', '\n', '(', ')', '[', ']', '{', '}']);
    if old_is_text && !trimmed.contains('"') || bare {
        return Ok(quoted(trimmed));
    }
    let span = offset + place.start..(offset + place.end).max(offset + place.start + 1);
    if trimmed.is_empty() {
        let finding = wrong(span, "the value after `=` is missing", "write a value here");
        return Err(finding);
    }
    let problem = match parsed {
        Err(error) => format!("the value after `=` is not valid RON: {}", error.code),
        Ok(_) => "the value after `=` is not valid RON".to_owned(),
    };
    Err(Finding {
        help: Some(
            "strings need double quotes, inside single ones for the shell: --set 'name=\"a b\"'"
                .to_owned(),
        ),
        ..wrong(span, problem, "cannot be read")
    })
}

/// A RON string that holds a text.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A step that the text lacks, and the choice that the value behind it is by default, where it is one.
struct Step<'p> {
    segment: &'p Segment,
    choice: Option<String>,
}

/// The steps of a path from a depth on. A choice that lacks the field that is to be set is refused, with
/// how to set it all the same.
fn missing<'p>(
    root: &Value,
    source: &Source<'_>,
    path: &'p Path,
    depth: usize,
) -> Result<Vec<Step<'p>>, (String, String)> {
    let parent = Path(path.0[..depth].to_vec());
    let mut here = schema::at(root, &parent, source);
    let mut names: Vec<String> =
        schema::names(source.exact(&parent), source.text).into_iter().map(str::to_owned).collect();
    let mut steps = Vec::new();
    for (at, segment) in path.0.iter().enumerate().skip(depth) {
        here = here.and_then(|here| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let options = schema::inside(root, here, Some(&names));
            options.into_iter().find_map(|option| schema::step(option, segment))
        });
        let next = path.0.get(at + 1);
        let choice = match (here, next) {
            (Some(here), Some(Segment::Field(field))) => {
                let group = Path(path.0[..=at].to_vec());
                default_choice(root, here, &group, field)?
            }
            _ => None,
        };
        names = choice.iter().cloned().collect();
        steps.push(Step { segment, choice });
    }
    Ok(steps)
}

/// The choice that a value is by default, if that has the field.
fn default_choice(
    root: &Value,
    schema: &Value,
    path: &Path,
    field: &str,
) -> Result<Option<String>, (String, String)> {
    let groups = schema::groups(root, schema);
    let has = |variant: Option<&str>| {
        let mut own = groups.iter().filter(|(name, _)| *name == variant);
        own.any(|(_, group)| group.get("properties").is_some_and(|all| all.get(field).is_some()))
    };
    let default = match schema.get("default") {
        Some(Value::Object(fields)) if fields.len() == 1 => fields.keys().next().cloned(),
        Some(Value::String(word)) => Some(word.clone()),
        Some(other @ (Value::Number(_) | Value::Bool(_))) => Some(other.to_string()),
        _ => None,
    };
    let Some(default) = default.filter(|_| !has(None)) else { return Ok(None) };
    if has(Some(&default)) {
        return Ok(Some(default));
    }
    let mut others = groups.iter().filter_map(|(name, _)| name.filter(|name| has(Some(name))));
    match others.next() {
        Some(other) => Err((
            format!("`{path}` is `{default}` by default, which has no `{field}`"),
            format!("`{other}` has it: --set '{path}={other}({field}: ...)'"),
        )),
        // The text, once it is read, tells what is wrong with it.
        None => Ok(None),
    }
}

type Edit = (Range<usize>, String);

/// Edits that put `rest` with its value inside the nearest parent there is.
fn insert(
    source: &Source<'_>,
    parent: &Node,
    rest: &[Step<'_>],
    value: String,
) -> Result<Vec<Edit>, String> {
    let inner = parent.inner();
    let parent = match inner.shape {
        Shape::Group | Shape::List | Shape::Map | Shape::Word => inner,
        _ => parent,
    };
    // `rest` has at least one segment, or the value would have been replaced.
    let (Some(first), deeper) = (rest.first(), rest.get(1..).unwrap_or_default()) else {
        return Err("cannot be set".to_owned());
    };
    let value = build(deeper, value)?;
    let value = match (&first.choice, deeper.is_empty()) {
        (Some(choice), false) => format!("{choice}{value}"),
        _ => value,
    };
    let entry = match (first.segment, parent.shape) {
        (Segment::Field(name), Shape::Group) if !is_tuple(parent) => format!("{name}: {value}"),
        (Segment::Field(name), Shape::Map) => format!("{}: {value}", quoted(name)),
        (Segment::Field(name), Shape::Word) => return into_word(source, parent, name, &value),
        (Segment::Index(at), Shape::List) if *at == parent.items.len() => value,
        (Segment::Index(at), Shape::List) => {
            let (count, s) = (parent.items.len(), if parent.items.len() == 1 { "" } else { "s" });
            return Err(format!("has {count} item{s}, so there is no [{at}]"));
        }
        (Segment::Index(_), _) => return Err("is not a list".to_owned()),
        (Segment::Field(name), _) => return Err(format!("has no fields, so no `{name}`")),
    };
    Ok(append(source, parent, &entry))
}

fn is_tuple(group: &Node) -> bool {
    group.items.iter().any(|item| item.key.is_none())
}

/// `AdamW` becomes `AdamW(name: value)`, and `None` becomes `(name: value)`.
fn into_word(
    source: &Source<'_>,
    word: &Node,
    name: &str,
    value: &str,
) -> Result<Vec<Edit>, String> {
    match &source.text[word.span.clone()] {
        "None" => Ok(vec![(word.span.clone(), format!("({name}: {value})"))]),
        "true" | "false" | "inf" | "NaN" => Err(format!("has no fields, so no `{name}`")),
        _ => {
            let end = word.span.end;
            Ok(vec![(end..end, format!("({name}: {value})"))])
        }
    }
}

/// The text of a value inside groups that do not exist yet.
fn build(steps: &[Step<'_>], value: String) -> Result<String, String> {
    steps.iter().rev().try_fold(value, |value, step| {
        let choice = step.choice.as_deref().unwrap_or_default();
        match step.segment {
            Segment::Field(name) => Ok(format!("({name}: {choice}{value})")),
            Segment::Index(0) => Ok(format!("[{choice}{value}]")),
            Segment::Index(at) => Err(format!("has no list there, so there is no [{at}]")),
        }
    })
}

/// Adds an entry behind the last one, laid out like it.
fn append(source: &Source<'_>, parent: &Node, entry: &str) -> Vec<Edit> {
    let Some(last) = parent.items.last() else {
        let behind = parent.open + 1;
        return vec![(behind..behind, entry.to_owned())];
    };
    let value_end = last.value.span.end;
    let start = last.key.as_ref().map_or(last.value.span.start, |key| key.span.start);
    let Some(indent) = own_line(source.text, start) else {
        return match last.comma {
            Some(comma) => vec![(comma..comma, format!(" {entry},"))],
            None => vec![(value_end..value_end, format!(", {entry}"))],
        };
    };
    let after = rest_of_line(source, parent, last.comma.unwrap_or(value_end));
    let line = (after..after, format!("\n{indent}{entry},"));
    match last.comma {
        Some(_) => vec![line],
        None => vec![(value_end..value_end, ",".to_owned()), line],
    }
}

/// The white space before something that begins its line.
fn own_line(text: &str, start: usize) -> Option<&str> {
    let line = &text[..start];
    let line = &line[line.rfind('\n')? + 1..];
    line.chars().all(|c| c == ' ' || c == '\t').then_some(line)
}

/// Behind the comments that follow on the same line, where the line then ends.
fn rest_of_line(source: &Source<'_>, parent: &Node, from: usize) -> usize {
    let text = source.text;
    let end = parent.close.unwrap_or(parent.span.end).max(from);
    let Some(newline) = text[from..end].find('\n') else {
        return from;
    };
    let line_end = from + newline;
    let inside = |comment: &crate::token::Comment| {
        comment.span.start < line_end && line_end < comment.span.end
    };
    if source.comments.iter().any(inside) { from } else { line_end }
}

/// A new value behind what the text has: comments at most.
fn separated(text: &str, value: &str) -> String {
    let break_before = !text.is_empty() && !text.ends_with('\n');
    format!("{}{value}\n", if break_before { "\n" } else { "" })
}

/// Applies edits that are in text order and do not overlap.
fn apply(text: &str, edits: Vec<Edit>) -> String {
    let mut edited = text.to_owned();
    for (span, replacement) in edits.into_iter().rev() {
        edited.replace_range(span, &replacement);
    }
    edited
}

fn span_of_trimmed(text: &str, offset: usize) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    offset + start..offset + start + text.trim().len()
}
