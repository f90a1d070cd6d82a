//! The reference of all fields, as a page: what `explain` says of one, of every one.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::describe::{meaning, names_elsewhere, own_text, takes, variant_branch, words};
use crate::schema::{self, groups, schema};

/// Every field of a configuration in Markdown: a section for each group of fields, in the order of the
/// schema, with what a field takes, its range, its default and what it means.
pub fn reference<T: JsonSchema>() -> String {
    let root = schema::<T>();
    let mut page = Page { root: &root, homes: HashMap::new(), text: String::new() };
    page.section("", &root);
    page.text
}

struct Page<'s> {
    root: &'s Value,
    /// Where a type that several fields have is described, by its name in the schema.
    homes: HashMap<&'s str, String>,
    text: String,
}

impl<'s> Page<'s> {
    /// The section of a field that holds others, and then those of these.
    fn section(&mut self, path: &str, field: &'s Value) {
        let mut inner: Vec<(String, &'s Value)> = Vec::new();
        if !path.is_empty() {
            self.text += &format!("\n## `{path}`\n");
            for said in [meaning(self.root, field), names_elsewhere(field)].into_iter().flatten() {
                self.text += &format!("\n{said}\n");
            }
        }
        let plain = words(self.root, field);
        if !plain.is_empty() {
            self.text.push('\n');
        }
        for word in plain {
            let name = word.get("const").and_then(Value::as_str).unwrap_or_default();
            self.item(name, "", own_text(word));
        }
        for (variant, group) in groups(self.root, field) {
            self.text.push('\n');
            if let Some(name) = variant {
                let said = variant_branch(self.root, field, name).and_then(own_text);
                self.text += &format!("**`{name}( ... )`** {}\n\n", said.unwrap_or_default());
            }
            let fields = group.get("properties").and_then(Value::as_object);
            for (name, field) in fields.into_iter().flat_map(Map::iter) {
                let path = match (path, variant) {
                    ("", _) => name.clone(),
                    (path, None) => format!("{path}.{name}"),
                    (path, Some(variant)) => format!("{path}.{variant}.{name}"),
                };
                self.field(name, path, field, &mut inner);
            }
        }
        for (path, field) in inner {
            self.section(&path, field);
        }
    }

    /// A field's item; if it holds fields, its section comes later, or is that of a field of its type.
    fn field(
        &mut self,
        name: &str,
        path: String,
        field: &'s Value,
        inner: &mut Vec<(String, &'s Value)>,
    ) {
        let (path, held) = match (items(self.root, field), values(self.root, field)) {
            (Some(items), _) => (format!("{path}[]"), items),
            (None, Some(values)) => (format!("{path}{{}}"), values),
            (None, None) => (path, field),
        };
        let holds = !groups(self.root, held).is_empty() || !words(self.root, held).is_empty();
        let mut said = meaning(self.root, field);
        if holds {
            let named = schema::alternatives(self.root, held).into_iter().find_map(definition);
            let home = match named {
                Some(named) if self.homes.contains_key(named) => self.homes[named].clone(),
                _ => {
                    if let Some(named) = named {
                        self.homes.insert(named, path.clone());
                    }
                    inner.push((path.clone(), held));
                    path
                }
            };
            let link = format!("See [`{home}`](#{}).", anchor(&home));
            said = Some(said.map_or_else(|| link.clone(), |said| format!("{said} {link}")));
        }
        let elsewhere = names_elsewhere(field);
        let said: Vec<String> = said.into_iter().chain(elsewhere).collect();
        self.item(name, &takes(self.root, field), Some(said.join(" ")));
    }

    fn item(&mut self, name: &str, takes: &str, said: Option<String>) {
        let takes = if takes.is_empty() { String::new() } else { format!(" {takes}.") };
        let said = said.map_or_else(String::new, |said| format!(" {said}"));
        self.text += &format!("- `{name}`:{takes}{said}\n");
    }
}

/// What a list's entries are.
fn items<'s>(root: &'s Value, field: &'s Value) -> Option<&'s Value> {
    let mut all = schema::alternatives(root, field).into_iter();
    all.find_map(|option| option.get("items").filter(|items| items.is_object()))
}

/// What a map's values are.
fn values<'s>(root: &'s Value, field: &'s Value) -> Option<&'s Value> {
    let mut all = schema::alternatives(root, field).into_iter();
    all.find_map(|option| option.get("additionalProperties").filter(|values| values.is_object()))
}

fn definition(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// What GitHub and others make of a heading: small letters, without anything but letters, digits, `_`
/// and `-`.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || "_-".contains(*c));
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[serde(default)]
    struct Outer {
        /// How many.
        #[schemars(range(min = 1, max = 9))]
        count: u32,
        /// The first.
        first: Inner,
        /// The others.
        others: Vec<Inner>,
        /// By their names.
        named: std::collections::BTreeMap<String, Named>,
        choice: Choice,
    }

    /// One with a name.
    #[derive(Deserialize, JsonSchema, serde::Serialize)]
    struct Named {
        /// Where it is.
        place: String,
    }

    impl Default for Outer {
        fn default() -> Self {
            let (first, others, named) = (Inner { on: true }, vec![], Default::default());
            Self { count: 3, first, others, named, choice: Choice::Nothing }
        }
    }

    /// An inner one.
    #[derive(Deserialize, JsonSchema, serde::Serialize)]
    struct Inner {
        /// Whether it is on.
        on: bool,
    }

    #[derive(Deserialize, JsonSchema, serde::Serialize)]
    enum Choice {
        /// None of it.
        Nothing,
        /// Some of it.
        Some {
            /// How much.
            share: f32,
        },
    }

    impl serde::Serialize for Outer {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_none()
        }
    }

    #[test]
    fn every_group_has_one_section_with_its_fields() {
        let text = reference::<Outer>();
        for expected in [
            "- `count`: an integer from 1 to 9; default `3`. How many.\n",
            "- `first`: a group `( ... )`. The first. See [`first`](#first).\n",
            "- `others`: a list `[ ... ]`; default `[]`. The others. See [`first`](#first).\n",
            "\n## `first`\n",
            "- `on`: `true` or `false`. Whether it is on.\n",
            "- `named`: a map `{ ... }`. By their names. See [`named{}`](#named).\n",
            "\n## `named{}`\n\nOne with a name.\n\n- `place`: a string. Where it is.\n",
            "\n## `choice`\n\n- `Nothing`",
            "- `Nothing`: None of it.\n",
            "**`Some( ... )`** Some of it.\n\n- `share`: a number. How much.\n",
        ] {
            assert!(text.contains(expected), "no {expected:?} in:\n{text}");
        }
        assert_eq!(text.matches("\n## ").count(), 3, "{text}");
    }

    #[test]
    fn anchors_are_those_of_headings() {
        assert_eq!(anchor("data.train.Idx.files"), "datatrainidxfiles");
        assert_eq!(anchor("model.attention[]"), "modelattention");
    }
}
