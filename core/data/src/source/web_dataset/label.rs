//! What an entry says of its sample's class.

use std::io::Read;

use serde_json::Value;

use super::super::classes::Label;

/// The most bytes that an entry with a label may have.
const MAX_BYTES: u64 = 1 << 20;

/// Keys of a JSON object that are named in a message.
const NAMED_KEYS: usize = 10;

/// What was found in an entry.
pub(super) enum Told {
    Label(Label),
    /// A JSON object without the key: which ones it has, and how to choose one.
    OtherKeys(String),
}

/// Reads an entry's label; its extension says how.
pub(super) fn read(
    entry: &mut impl Read,
    extension: &str,
    label_key: &str,
) -> Result<Told, String> {
    let mut text = String::new();
    let count = entry.take(MAX_BYTES + 1).read_to_string(&mut text);
    if count.map_err(|error| error.to_string())? as u64 > MAX_BYTES {
        return Err(format!("is larger than {} MiB", MAX_BYTES >> 20));
    }
    let text = text.trim();
    let label = match extension.rsplit('.').next() {
        Some("json") => return of_json(text, label_key),
        Some("cls") => text
            .parse()
            .map(Label::Number)
            .map_err(|_| format!("holds {text:.40?}, where the number of a class is needed"))?,
        _ if text.is_empty() => return Err("is empty, where a class is needed".into()),
        Some("txt") => Label::Name(text.to_owned()),
        _ => text.parse().map_or_else(|_| Label::Name(text.to_owned()), Label::Number),
    };
    Ok(Told::Label(label))
}

/// The label in a JSON object, or the JSON itself if it is a number or a name.
fn of_json(text: &str, label_key: &str) -> Result<Told, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    let (found, whose) = match &value {
        Value::Object(_) => (member(&value, label_key), format!("its `{label_key}`")),
        other => (Some(other), "it".into()),
    };
    match found {
        None | Some(Value::Null) => Ok(Told::OtherKeys(other_keys(&value, label_key))),
        Some(Value::String(name)) => Ok(Told::Label(Label::Name(name.clone()))),
        Some(value) => match whole(value) {
            Some(number) => Ok(Told::Label(Label::Number(number))),
            None => Err(format!("{whose} is neither a whole number nor a name")),
        },
    }
}

/// An object's member: by its key or, where there is none of that name, by the keys on the way to it, as in
/// `annotation.label`.
fn member<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    let by_path = || key.split('.').try_fold(object, |value, part| value.get(part));
    object.get(key).or_else(by_path)
}

/// A whole number, also where it is written as 3.0.
fn whole(value: &Value) -> Option<i64> {
    let exact = |number: f64| number.fract() == 0.0 && number.abs() < 9e15;
    value.as_i64().or_else(|| value.as_f64().filter(|number| exact(*number)).map(|n| n as i64))
}

/// "its json has no `label`, but class_id, caption; `label_key: "class_id"` would take the first".
fn other_keys(value: &Value, label_key: &str) -> String {
    let mut keys = Vec::new();
    collect_keys(value, "", &mut keys);
    let usable = keys.iter().find(|(_, value)| value.is_string() || whole(value).is_some());
    let shown: Vec<_> = keys.iter().take(NAMED_KEYS).map(|(key, _)| key.as_str()).collect();
    let more = if keys.len() > NAMED_KEYS { ", ..." } else { "" };
    let has = match shown.is_empty() {
        true => "and nothing else".into(),
        false => format!("but {}{more}", shown.join(", ")),
    };
    let choice = usable.map(|(key, _)| {
        format!("; `label_key` says which holds the class, as in `label_key: {key:?}`")
    });
    format!("its json has no `{label_key}`, {has}{}", choice.unwrap_or_default())
}

/// The keys of an object's values, those of objects in it with the path to them.
fn collect_keys<'a>(value: &'a Value, path: &str, keys: &mut Vec<(String, &'a Value)>) {
    let Value::Object(members) = value else { return };
    for (key, value) in members {
        let key = format!("{path}{key:.60}");
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                collect_keys(value, &format!("{key}."), keys);
            }
            Value::Null => {}
            _ => keys.push((key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str, extension: &str, key: &str) -> Result<Label, String> {
        match read(&mut text.as_bytes(), extension, key)? {
            Told::Label(label) => Ok(label),
            Told::OtherKeys(keys) => Err(keys),
        }
    }

    #[test]
    fn labels_are_in_json_under_any_key() {
        let json = r#"{"class_id": 3, "score": 4.0, "what": {"name": "cat", "a.b": 5}, "odd": [1], "label": null}"#;
        let found = |key| label(json, "json", key);
        assert_eq!(found("class_id").unwrap(), Label::Number(3));
        assert_eq!(found("score").unwrap(), Label::Number(4));
        assert_eq!(found("what.name").unwrap(), Label::Name("cat".into()));
        assert_eq!(label(r#"{"a.b": 5}"#, "json", "a.b").unwrap(), Label::Number(5));
        assert!(found("odd").unwrap_err().contains("`odd` is neither a whole number nor a name"));
        let other = found("label").unwrap_err();
        let parts = [
            "no `label`, but class_id, odd, score, what.a.b, what.name",
            "`label_key: \"class_id\"`",
        ];
        assert!(parts.iter().all(|part| other.contains(part)), "{other}");
        assert_eq!(label("7", "json", "label").unwrap(), Label::Number(7));
        assert_eq!(label("\"cat\"", "x.json", "label").unwrap(), Label::Name("cat".into()));
        assert!(label("{}", "json", "label").unwrap_err().contains("and nothing else"));
        assert!(label("[1, 2]", "json", "label").unwrap_err().contains("it is neither"));
    }

    #[test]
    fn other_entries_hold_a_number_or_a_name() {
        assert_eq!(label(" 3\n", "target.cls", "label").unwrap(), Label::Number(3));
        assert!(label("cat", "cls", "label").unwrap_err().contains("holds \"cat\""));
        assert_eq!(label("3", "txt", "label").unwrap(), Label::Name("3".into()));
        assert_eq!(label("3", "id", "label").unwrap(), Label::Number(3));
        assert_eq!(label("emu", "id", "label").unwrap(), Label::Name("emu".into()));
        assert!(label(" ", "txt", "label").unwrap_err().contains("is empty"));
    }
}
