//! Which branch of `anyOf` or `oneOf` a value was written under.

use serde_json::Value;

use crate::schema::alternatives;

/// Whether a value could have been written under a branch of `anyOf` or `oneOf`.
pub(crate) fn fits(root: &Value, branch: &Value, value: &Value) -> bool {
    let all = alternatives(root, branch);
    let schema = all.iter().find(|schema| schema.get("$ref").is_none());
    let Some(schema) = schema.copied() else {
        return false;
    };
    let typed =
        schema.get("type").is_none() || kinds(value).iter().any(|kind| has_type(schema, kind));
    let constant = schema.get("const").is_none_or(|constant| constant == value);
    let listed = schema.get("enum").is_none() || list(schema, "enum").contains(value);
    typed && constant && listed && fields_fit(schema, value) && choices_fit(root, schema, value)
}

fn fields_fit(schema: &Value, value: &Value) -> bool {
    let Some(fields) = value.as_object() else {
        return true;
    };
    let required = list(schema, "required").iter().filter_map(Value::as_str);
    let property = |name: &str| schema.get("properties").and_then(|all| all.get(name));
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    required.into_iter().all(|name| fields.contains_key(name))
        && fields.iter().all(|(name, value)| match property(name) {
            Some(property) => property.get("const").is_none_or(|tag| tag == value),
            None => !closed,
        })
}

fn choices_fit(root: &Value, schema: &Value, value: &Value) -> bool {
    ["anyOf", "oneOf"].into_iter().all(|key| {
        let branches = list(schema, key);
        branches.is_empty() || branches.iter().any(|branch| fits(root, branch, value))
    })
}

/// The JSON schema types that a value is of.
fn kinds(value: &Value) -> &'static [&'static str] {
    match value {
        Value::Null => &["null"],
        Value::Bool(_) => &["boolean"],
        Value::Number(number) if number.is_f64() => &["number"],
        Value::Number(_) => &["integer", "number"],
        Value::String(_) => &["string"],
        Value::Array(_) => &["array"],
        Value::Object(_) => &["object"],
    }
}

/// Whether a schema names a type.
pub(crate) fn has_type(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => false,
    }
}

/// A keyword's list, empty where the schema has none.
pub(crate) fn list<'s>(schema: &'s Value, key: &str) -> &'s [Value] {
    schema.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
