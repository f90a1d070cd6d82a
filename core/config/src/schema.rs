//! Finding one's way in a JSON schema.

use schemars::JsonSchema;
use serde_json::Value;

use crate::path::{Path, Segment};
use crate::tree::{Node, Source};

/// References to references, and alternatives in alternatives, end here.
const MAX_DEPTH: usize = 16;

/// The JSON schema (draft 2020-12) of a configuration.
pub fn schema<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

/// What a schema's `$ref` points at.
pub(crate) fn target<'s>(root: &'s Value, schema: &'s Value) -> Option<&'s Value> {
    let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
    root.pointer(pointer)
}

/// The variant that a branch of an externally tagged enum stands for, with its contents.
pub(crate) fn variant(branch: &Value) -> Option<(&str, &Value)> {
    let properties = branch.get("properties")?.as_object()?;
    let required = branch.get("required")?.as_array()?;
    let (name, contents) = properties.iter().next()?;
    let alone = properties.len() == 1 && required.len() == 1 && required[0] == name.as_str();
    (alone && branch.get("additionalProperties") == Some(&Value::Bool(false)))
        .then_some((name.as_str(), contents))
}

/// A schema and everything it refers to or offers as a choice.
pub(crate) fn alternatives<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let mut all = Vec::new();
    collect(root, schema, 0, &mut all);
    all
}

fn collect<'s>(root: &'s Value, schema: &'s Value, depth: usize, all: &mut Vec<&'s Value>) {
    if depth == MAX_DEPTH {
        return;
    }
    all.push(schema);
    let choices =
        ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array());
    for next in target(root, schema).into_iter().chain(choices.flatten()) {
        collect(root, next, depth + 1, all);
    }
}

/// The first sentence of what a schema, or what it refers to, says about itself.
pub(crate) fn description(root: &Value, schema: &Value) -> Option<String> {
    let own = |schema: &Value| schema.get("description")?.as_str().map(first_sentence);
    own(schema).or_else(|| own(target(root, schema)?))
}

fn first_sentence(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let paragraph = words.join(" ");
    // A full stop before a small letter, or in parentheses, is an abbreviation's: "e.g.", "et al. 2023".
    let ends = paragraph.match_indices(". ").map(|(at, _)| at);
    let end = ends.into_iter().find(|at| {
        let before = &paragraph[..*at];
        let open = before.matches('(').count() > before.matches(')').count();
        let next = paragraph[at + 2..].chars().next();
        let abbreviated = open || before.ends_with("et al");
        !abbreviated && next.is_some_and(|next| !next.is_lowercase())
    });
    paragraph[..end.map_or(paragraph.len(), |at| at + 1)].to_owned()
}

/// The names of the variants that a schema allows.
pub(crate) fn variants<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s str> {
    let mut names = Vec::new();
    for branch in alternatives(root, schema) {
        names.extend(branch.get("const").and_then(Value::as_str));
        let words = branch.get("enum").and_then(Value::as_array);
        names.extend(words.into_iter().flatten().filter_map(Value::as_str));
    }
    for branch in choices(root, schema) {
        names.extend(variant(branch).map(|(name, _)| name));
    }
    names
}

/// Where a field is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    /// The group that has it.
    pub path: Path,
    /// The variant that the group belongs to, where it is one's.
    pub variant: Option<String>,
    /// What it is called there.
    pub name: String,
}

/// The shallowest groups with a field of that name, or with one that says of itself that others call
/// it so.
pub(crate) fn homes(root: &Value, field: &str) -> Vec<Home> {
    let mut level = vec![(Path::default(), root)];
    for _ in 0..4 {
        let (mut found, mut deeper) = (Vec::new(), Vec::new());
        for (path, schema) in level {
            for (variant, group) in groups(root, schema) {
                let properties = group.get("properties").and_then(Value::as_object);
                for (name, property) in properties.into_iter().flatten() {
                    if name == field || other_names(property).any(|other| other == field) {
                        let (variant, name) = (variant.map(str::to_owned), name.clone());
                        found.push(Home { path: path.clone(), variant, name });
                    }
                    let mut path = path.clone();
                    path.0.push(Segment::Field(name.clone()));
                    deeper.push((path, property));
                }
            }
        }
        if !found.is_empty() {
            return found;
        }
        level = deeper;
    }
    Vec::new()
}

/// What other programs call a field: `#[schemars(extend("otherNames" = ["lr"]))]`.
pub(crate) fn other_names(property: &Value) -> impl Iterator<Item = &str> {
    let names = property.get("otherNames").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// Every group of fields that may stand at a place, with the variant that it belongs to.
pub(crate) fn groups<'s>(root: &'s Value, schema: &'s Value) -> Vec<(Option<&'s str>, &'s Value)> {
    let all = alternatives(root, schema).into_iter();
    let mut groups: Vec<_> =
        all.filter(|option| variant(option).is_none()).map(|option| (None, option)).collect();
    for (name, contents) in choices(root, schema).into_iter().filter_map(variant) {
        groups.extend(alternatives(root, contents).into_iter().map(|option| (Some(name), option)));
    }
    groups.retain(|(_, group)| group.get("properties").is_some());
    groups
}

/// What a variant holds.
pub(crate) fn contents<'s>(root: &'s Value, schema: &'s Value, name: &str) -> Option<&'s Value> {
    let variants = choices(root, schema).into_iter().filter_map(variant);
    let mut named = variants.filter(|(other, _)| *other == name);
    named.next().map(|(_, contents)| contents)
}

/// The branches that `oneOf` and `anyOf` offer.
pub(crate) fn choices<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let offer = |schema: &'s Value| ["anyOf", "oneOf"].map(|key| schema.get(key)?.as_array());
    let all = alternatives(root, schema);
    all.into_iter().flat_map(offer).flatten().flatten().collect()
}

/// The schema of the value at a path; the text tells which variant it is in.
pub(crate) fn at<'s>(root: &'s Value, path: &Path, source: &Source<'_>) -> Option<&'s Value> {
    let mut schema = root;
    for (depth, segment) in path.0.iter().enumerate() {
        let node = source.exact(&Path(path.0[..depth].to_vec()));
        let options = inside(root, schema, Some(&names(node, source.text)));
        schema = options.into_iter().find_map(|option| step(option, segment))?;
    }
    Some(schema)
}

/// The names that a value carries: `Some(AdamW(...))` has two.
pub(crate) fn names<'t>(node: Option<&Node>, text: &'t str) -> Vec<&'t str> {
    let mut names = Vec::new();
    let mut next = node;
    while let Some(node) = next {
        names.extend(node.name.clone().map(|name| &text[name]));
        next = match node.items.as_slice() {
            [only] if node.name.is_some() && only.key.is_none() => Some(&only.value),
            _ => None,
        };
    }
    names
}

/// What may stand at a place: the contents of the named variants, of all without names,
/// then whatever is no variant.
pub(crate) fn inside<'s>(
    root: &'s Value,
    schema: &'s Value,
    names: Option<&[&str]>,
) -> Vec<&'s Value> {
    let mut options = Vec::new();
    for branch in choices(root, schema) {
        let wanted = |name: &str| names.is_none_or(|names| names.contains(&name));
        if let Some((_, contents)) = variant(branch).filter(|(name, _)| wanted(name)) {
            options.extend(alternatives(root, contents));
        }
    }
    let all = alternatives(root, schema).into_iter();
    options.extend(all.filter(|option| names.is_some() || variant(option).is_none()));
    options
}

pub(crate) fn step<'s>(schema: &'s Value, segment: &Segment) -> Option<&'s Value> {
    match segment {
        Segment::Field(name) => {
            let property = schema.get("properties").and_then(|all| all.get(name));
            property.or_else(|| schema.get("additionalProperties").filter(|all| all.is_object()))
        }
        Segment::Index(index) => {
            let prefix = schema.get("prefixItems").and_then(|all| all.get(index));
            prefix.or_else(|| schema.get("items").filter(|all| all.is_object()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_ends_at_its_full_stop() {
        for (text, sentence) in [
            ("Layers. More.", "Layers."),
            ("Layers, e.g. twelve\nor so. Then", "Layers, e.g. twelve or so."),
            ("A rate of 0.5 is fine", "A rate of 0.5 is fine"),
            ("Merges (Bolya et al. 2023) tokens. More.", "Merges (Bolya et al. 2023) tokens."),
            ("After Bolya et al. 2023. More.", "After Bolya et al. 2023."),
            ("Rises (from 0. Or 1), then falls. More.", "Rises (from 0. Or 1), then falls."),
            ("One\n\nTwo", "One"),
            ("", ""),
        ] {
            assert_eq!(first_sentence(text), sentence);
        }
    }
}
