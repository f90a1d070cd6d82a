//! What the schema says of fields, for people: the texts are the fields' own doc comments.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use crate::branch::{has_type, list};
use crate::error::{ConfigError, Finding};
use crate::path::{Path, Segment};
use crate::schema::{self, alternatives, groups, schema};
use crate::suggest;
use crate::tree::{Node, Source};

/// The width that texts are wrapped at.
const WIDTH: usize = 96;

/// The JSON schema of one field, with what it refers to.
///
/// # Errors
/// There is no such field.
pub fn schema_of<T: JsonSchema>(path: &str) -> Result<Value, ConfigError> {
    let root = schema::<T>();
    let mut field = look_up(&root, path)?.clone();
    let mut definitions = Map::new();
    refer(&root, &field, &mut definitions);
    if let (Value::Object(field), false) = (&mut field, definitions.is_empty()) {
        field.insert("$defs".to_owned(), Value::Object(definitions));
    }
    if let (Value::Object(field), Some(dialect)) = (&mut field, root.get("$schema")) {
        field.insert("$schema".to_owned(), dialect.clone());
    }
    Ok(field)
}

/// Fields with this name, or of which other programs have one with this name: `train.batch` for `batch_size`.
pub fn fields_called<T: JsonSchema>(name: &str) -> Vec<String> {
    let found = schema::homes(&schema::<T>(), name).into_iter();
    let mut fields: Vec<String> = Vec::new();
    for schema::Home { mut path, name, .. } in found {
        path.0.push(Segment::Field(name));
        let field = path.to_string();
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    fields
}

/// What one field means and takes: its text, type, range and default, and those of what is in it.
///
/// # Errors
/// There is no such field.
pub fn explain<T: JsonSchema>(path: &str) -> Result<String, ConfigError> {
    let root = schema::<T>();
    let field = look_up(&root, path)?;
    let mut text = format!("{path}: {}\n", takes(&root, field));
    if let Some(meaning) = meaning(&root, field) {
        text += &wrapped(&meaning, "    ");
    }
    if let Some(names) = names_elsewhere(field) {
        text += &wrapped(&names, "    ");
    }
    for branch in words(&root, field) {
        let name = branch.get("const").and_then(Value::as_str).unwrap_or_default();
        text += &format!("\n  {name}\n");
        text += &wrapped(&own_text(branch).unwrap_or_default(), "      ");
    }
    for (variant, group) in groups(&root, field) {
        match variant {
            Some(name) => {
                text += &format!("\n  {name}( ... )\n");
                let choice = variant_branch(&root, field, name);
                text += &wrapped(&choice.and_then(own_text).unwrap_or_default(), "      ");
            }
            None => text.push('\n'),
        }
        let properties = group.get("properties").and_then(Value::as_object);
        let indent = if variant.is_some() { "      " } else { "  " };
        for (name, property) in properties.into_iter().flatten() {
            text += &format!("{indent}{name}: {}\n", takes(&root, property));
            let meaning = schema::description(&root, property).unwrap_or_default();
            text += &wrapped(&meaning, &format!("{indent}    "));
        }
    }
    Ok(text)
}

/// The choices of an enum, with the first sentence of what each is.
pub fn choices<T: JsonSchema>() -> Vec<(String, String)> {
    let root = schema::<T>();
    let named = |branch: &Value| -> Vec<(String, String)> {
        let meaning = schema::description(&root, branch).unwrap_or_default();
        let words = list(branch, "enum").iter().chain(branch.get("const"));
        let variant = schema::variant(branch).map(|(name, _)| name);
        let names = words.filter_map(Value::as_str).chain(variant);
        names.map(|name| (name.to_owned(), meaning.clone())).collect()
    };
    schema::choices(&root, &root).into_iter().flat_map(named).collect()
}

/// A text in RON with every field's meaning above it, as comments.
pub fn commented<T: JsonSchema>(text: &str) -> String {
    let root = schema::<T>();
    let source = Source::new(text);
    let mut comments = Vec::new();
    if let Some(node) = &source.root {
        collect(&root, &source, node, &mut Path::default(), &mut comments);
    }
    comments.sort_by_key(|(at, _)| *at);
    let mut commented = text.to_owned();
    for (at, comment) in comments.into_iter().rev() {
        commented.insert_str(at, &comment);
    }
    commented
}

/// Comments for the fields below a value, and the starts of the lines that they go before.
fn collect(
    root: &Value,
    source: &Source<'_>,
    node: &Node,
    path: &mut Path,
    comments: &mut Vec<(usize, String)>,
) {
    let inner = node.inner();
    for (at, item) in inner.items.iter().enumerate() {
        path.0.push(match &item.key {
            Some(key) => Segment::Field(key.name.clone()),
            None => Segment::Index(at),
        });
        if let (Some(key), Some(field)) = (&item.key, schema::at(root, path, source)) {
            let line = source.text[..key.span.start].rfind('\n').map_or(0, |newline| newline + 1);
            let indent = &source.text[line..key.span.start];
            if let Some(text) = meaning(root, field).filter(|_| indent.trim().is_empty()) {
                comments.push((line, wrapped(&text, &format!("{indent}// "))));
            }
        }
        collect(root, source, &item.value, path, comments);
        path.0.pop();
    }
}

/// The schema at a path, in whatever choice has it.
fn look_up<'s>(root: &'s Value, path: &str) -> Result<&'s Value, ConfigError> {
    let wrong = |span, message: String, help| {
        let label = "no such field".to_owned();
        ConfigError::at("field", path, Finding { span, message, label, help })
    };
    let segments = Path::parse(path)
        .map_err(|(at, message)| wrong(at..path.len(), format!("not a path: {message}"), None))?;
    let mut here = root;
    for (at, segment) in segments.0.iter().enumerate() {
        let options = schema::inside(root, here, None);
        let next = options.iter().find_map(|option| schema::step(option, segment));
        here = next.ok_or_else(|| {
            let group = Path(segments.0[..at].to_vec());
            let start = group.to_string().len();
            let start = if start == 0 { 0 } else { (start + 1).min(path.len()) };
            let fields = groups(root, here)
                .into_iter()
                .filter_map(|(_, group)| group.get("properties").and_then(Value::as_object));
            let names: Vec<&str> = fields.flat_map(Map::keys).map(String::as_str).collect();
            let found = Path(vec![segment.clone()]).to_string();
            let elsewhere = schema::homes(root, &found).into_iter().next().map(|home| {
                let mut full = home.path;
                full.0.push(Segment::Field(home.name));
                format!("did you mean `{full}`?")
            });
            let help = match suggest::nearest(&found, &names) {
                None => elsewhere.or_else(|| suggest::help(&found, &names, "fields")),
                Some(_) => suggest::help(&found, &names, "fields"),
            };
            wrong(start..path.len(), format!("there is no field `{found}`"), help)
        })?;
    }
    Ok(here)
}

/// Copies the definitions that a schema needs.
fn refer(root: &Value, schema: &Value, definitions: &mut Map<String, Value>) {
    match schema {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str);
            let name = name.and_then(|name| name.strip_prefix("#/$defs/"));
            if let (Some(name), Some(target)) = (name, schema::target(root, schema))
                && !definitions.contains_key(name)
            {
                definitions.insert(name.to_owned(), target.clone());
                refer(root, target, definitions);
            }
            fields.values().for_each(|field| refer(root, field, definitions));
        }
        Value::Array(items) => items.iter().for_each(|item| refer(root, item, definitions)),
        _ => {}
    }
}

/// All that a field says of itself, or else its type does.
pub(crate) fn meaning(root: &Value, field: &Value) -> Option<String> {
    own_text(field).or_else(|| own_text(schema::target(root, field)?))
}

pub(crate) fn own_text(schema: &Value) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

pub(crate) fn names_elsewhere(field: &Value) -> Option<String> {
    let names: Vec<String> = schema::other_names(field).map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| format!("Elsewhere called {}.", names.join(", ")))
}

/// The choices without values.
pub(crate) fn words<'s>(root: &'s Value, field: &'s Value) -> Vec<&'s Value> {
    let all = alternatives(root, field).into_iter();
    all.filter(|option| option.get("const").is_some_and(Value::is_string)).collect()
}

/// The branch that holds a variant, which has its description.
pub(crate) fn variant_branch<'s>(
    root: &'s Value,
    field: &'s Value,
    name: &str,
) -> Option<&'s Value> {
    let mut branches = schema::choices(root, field).into_iter();
    branches.find(|branch| schema::variant(branch).is_some_and(|(other, _)| other == name))
}

/// Type, range and default in a few words.
pub(crate) fn takes(root: &Value, field: &Value) -> String {
    let all = alternatives(root, field);
    let mut kinds: Vec<String> = Vec::new();
    let choices = schema::variants(root, field);
    if !choices.is_empty() {
        kinds.push(choices.join(" | "));
    }
    for option in &all {
        let kind = if has_type(option, "integer") || has_type(option, "number") {
            let kind = if has_type(option, "integer") { "an integer" } else { "a number" };
            format!("{kind}{}", range(option))
        } else if has_type(option, "boolean") {
            "`true` or `false`".to_owned()
        } else if has_type(option, "string") && option.get("const").is_none() {
            if option.get("enum").is_some() { continue } else { "a string".to_owned() }
        } else if has_type(option, "array") {
            match option.get("prefixItems") {
                Some(_) => format!("{} values `( ... )`", list(option, "prefixItems").len()),
                None => "a list `[ ... ]`".to_owned(),
            }
        } else if option.get("properties").is_some() && schema::variant(option).is_none() {
            // Of a choice, its own fields are shown below.
            if choices.is_empty() { "a group `( ... )`".to_owned() } else { continue }
        } else if has_type(option, "object")
            && option.get("additionalProperties").is_some_and(Value::is_object)
        {
            "a map `{ ... }`".to_owned()
        } else {
            continue;
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    if all.iter().any(|option| has_type(option, "null")) {
        kinds.push("`None`".to_owned());
    }
    let default = field.get("default").and_then(shown);
    let default = default.map_or_else(String::new, |shown| format!("; default {shown}"));
    format!("{}{default}", kinds.join(", or "))
}

/// A default that fits on the line.
fn shown(default: &Value) -> Option<String> {
    match default {
        Value::Null => Some("`None`".to_owned()),
        Value::String(text) => Some(format!("`{text}`")),
        Value::Object(fields) if fields.len() == 1 => {
            let (name, value) = fields.iter().next()?;
            let fields = value.as_object()?;
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}: {}", number(value))).collect();
            Some(format!("`{name}({})`", fields.join(", ")))
        }
        Value::Object(_) => None,
        other => Some(format!("`{}`", number(other))),
    }
}

/// A number as short as it was written: JSON has an `f32` with the digits of an `f64`.
fn number(value: &Value) -> String {
    let single = value.as_f64().filter(|_| value.is_f64()).map(|double| (double, double as f32));
    match single {
        Some((double, single)) if f64::from(single) == double => format!("{single:?}"),
        _ => value.to_string(),
    }
}

fn range(schema: &Value) -> String {
    let bound = |key: &str| schema.get(key).filter(|bound| **bound != json!(0) || key != "minimum");
    let least = schema.get("minimum");
    match (least, bound("maximum")) {
        (Some(least), Some(most)) => return format!(" from {least} to {most}"),
        (None, Some(most)) => return format!(" of at most {most}"),
        (Some(least), None) if bound("minimum").is_some() => {
            return format!(" of at least {least}");
        }
        _ => {}
    }
    match bound("exclusiveMinimum") {
        Some(least) => format!(" above {least}"),
        None => String::new(),
    }
}

/// A text in lines of their own, each behind the same words.
fn wrapped(text: &str, before: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let length = before.chars().count() + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && length > WIDTH {
            lines += &format!("{before}{line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    if !line.is_empty() {
        lines += &format!("{before}{line}\n");
    }
    lines
}
