//! What differs between two texts.

use crate::path::Path;
use crate::tree::{Item, Node, Shape, Source};

/// A field with another value in each of two texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its path, as `train.optimizer`.
    pub field: String,
    /// Its value in the first text, on one line; none if that does not have it.
    pub first: Option<String>,
    /// And in the second.
    pub second: Option<String>,
}

/// The fields whose values differ, in the order of the first text, and then those that the second one alone has.
/// Values are compared part by part: fields in groups that have the same name, values of maps that have the same
/// keys, and items of lists that are as long.
pub fn differences(first: &str, second: &str) -> Vec<Difference> {
    let sources = (Source::new(first), Source::new(second));
    let mut found = Vec::new();
    if let (Some(one), Some(other)) = (&sources.0.root, &sources.1.root) {
        Compare { first, second, found: &mut found }.nodes(&Path::default(), one, other);
    }
    found
}

/// A field that has not the same value in all of several texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Varying {
    /// Its path, as `train.optimizer`.
    pub field: String,
    /// Its value in each text, on one line; none where that does not have it.
    pub values: Vec<Option<String>>,
}

/// The fields whose values are not the same in all texts, as [`differences`] finds them between the first one
/// and each other. A group that differs as a whole from one of them is compared as a whole.
pub fn varying(texts: &[impl AsRef<str>]) -> Vec<Varying> {
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    let mut fields: Vec<String> = Vec::new();
    for other in texts.iter().skip(1) {
        for Difference { field, .. } in differences(texts[0], other) {
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
    }
    let is_within = |field: &str, group: &String| {
        field.strip_prefix(group.as_str()).is_some_and(|rest| rest.starts_with('.'))
    };
    let whole = |field: &&String| !fields.iter().any(|group| is_within(field, group));
    let sources: Vec<Source<'_>> = texts.iter().map(|text| Source::new(text)).collect();
    let value = |source: &Source<'_>, path: &Path| {
        source.exact(path).map(|node| on_one_line(source.text, node))
    };
    let varying = |field: &String| {
        let path = Path::parse(field).ok()?;
        let values = sources.iter().map(|source| value(source, &path)).collect();
        Some(Varying { field: field.clone(), values })
    };
    fields.iter().filter(whole).filter_map(varying).collect()
}

struct Compare<'a> {
    first: &'a str,
    second: &'a str,
    found: &'a mut Vec<Difference>,
}

impl Compare<'_> {
    fn nodes(&mut self, path: &Path, one: &Node, other: &Node) {
        let texts = (on_one_line(self.first, one), on_one_line(self.second, other));
        if texts.0 == texts.1 {
            return;
        }
        if !self.has_same_parts(one, other) {
            return self.differ(path, Some(texts.0), Some(texts.1));
        }
        for (index, item) in one.items.iter().enumerate() {
            let below = below(path, one, index, item);
            match counterpart(other, index, item) {
                Some(found) => self.nodes(&below, &item.value, &found.value),
                None => self.differ(&below, Some(on_one_line(self.first, &item.value)), None),
            }
        }
        for (index, item) in other.items.iter().enumerate() {
            if counterpart(one, index, item).is_none() {
                let second = on_one_line(self.second, &item.value);
                self.differ(&below(path, other, index, item), None, Some(second));
            }
        }
    }

    /// Whether two values are compared part by part.
    fn has_same_parts(&self, one: &Node, other: &Node) -> bool {
        let name = |text: &str, node: &Node| node.name.clone().map(|name| text[name].to_owned());
        let same = one.shape == other.shape && name(self.first, one) == name(self.second, other);
        let keys = |node: &Node| node.items.iter().all(|item| item.key.is_some());
        match (one.items.as_slice(), other.items.as_slice()) {
            _ if !same => false,
            ([], _) | (_, []) => false,
            // Of `Some(...)` and the like, which has no path of its own, what is in it.
            ([one_item], [other_item])
                if one.segment(0, one_item).is_none() && other.segment(0, other_item).is_none() =>
            {
                self.has_same_parts(&one_item.value, &other_item.value)
            }
            (one_items, other_items) if one.shape == Shape::Map => {
                let mut items = one_items.iter().enumerate();
                one_items.len() == other_items.len()
                    && items.all(|(index, item)| counterpart(other, index, item).is_some())
            }
            _ if keys(one) => keys(other),
            (one_items, other_items) => one_items.len() == other_items.len() && !keys(other),
        }
    }

    fn differ(&mut self, path: &Path, first: Option<String>, second: Option<String>) {
        self.found.push(Difference { field: path.to_string(), first, second });
    }
}

/// The path of an item of a value; that of the only one of `Some(...)` and the like is the value's own.
fn below(path: &Path, node: &Node, index: usize, item: &Item) -> Path {
    let mut path = path.clone();
    path.0.extend(node.segment(index, item));
    path
}

/// What stands for an item in another value: what has its name, or its place.
fn counterpart<'a>(node: &'a Node, index: usize, item: &Item) -> Option<&'a Item> {
    match &item.key {
        Some(key) => node
            .items
            .iter()
            .find(|other| other.key.as_ref().is_some_and(|other| other.name == key.name)),
        None => node.items.get(index),
    }
}

/// A value as people write it in a line, whatever its layout.
fn on_one_line(text: &str, node: &Node) -> String {
    if node.items.is_empty() {
        return text[node.span.clone()].split_whitespace().collect::<Vec<_>>().join(" ");
    }
    let (open, close) = match node.shape {
        Shape::List => ('[', ']'),
        Shape::Map => ('{', '}'),
        _ => ('(', ')'),
    };
    let name = node.name.clone().map_or("", |name| &text[name]);
    let item = |item: &Item| {
        let key = item.key.as_ref().map(|key| format!("{}: ", &text[key.span.clone()]));
        format!("{}{}", key.unwrap_or_default(), on_one_line(text, &item.value))
    };
    let items: Vec<String> = node.items.iter().map(item).collect();
    format!("{name}{open}{}{close}", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(first: &str, second: &str) -> Vec<String> {
        let shown = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        let line = |found: Difference| {
            format!("{}: {} | {}", found.field, shown(found.first), shown(found.second))
        };
        differences(first, second).into_iter().map(line).collect()
    }

    #[test]
    fn fields_that_differ_are_told_and_layout_is_not() {
        assert!(
            told("(a: 1, b: (c: [1, 2]))", "(\n  a: 1,\n  b: (c: [\n 1, 2, ]), // so\n)")
                .is_empty()
        );
        let first = "(a: 1, o: Adam(b: 1, c: 2), l: [1, 2], x: (y: \"s\"))";
        let second = "(a: 2, o: Adam(b: 1, c: 3), l: [(z: 1)], e: Steps(4))";
        let expected = [
            "a: 1 | 2",
            "o.c: 2 | 3",
            "l: [1, 2] | [(z: 1)]",
            "x: (y: \"s\") | -",
            "e: - | Steps(4)",
        ];
        assert_eq!(told(first, second), expected);
        assert_eq!(told("(o: Adam(b: 1))", "(o: Sgd(b: 1))"), ["o: Adam(b: 1) | Sgd(b: 1)"]);
    }

    #[test]
    fn what_differs_within_lists_maps_and_choices_is_told_alone() {
        let first = "(l: [1, (a: 2, b: 3)], m: {\"x y\": (c: 1)}, e: Some(Auto(n: 4)), s: (0, 5), t: Linear(0.1))";
        let second = "(l: [1, (a: 2, b: 4)], m: {\"x y\": (c: 2)}, e: Some(Auto(n: 5)), s: (1, 5), t: Linear(0.2))";
        let expected = [
            "l[1].b: 3 | 4",
            "m[\"x y\"].c: 1 | 2",
            "e.n: 4 | 5",
            "s[0]: 0 | 1",
            "t: Linear(0.1) | Linear(0.2)",
        ];
        assert_eq!(told(first, second), expected);
        let other_keys = told("(m: {\"x\": 1})", "(m: {\"y\": 1})");
        assert_eq!(other_keys, ["m: {\"x\": 1} | {\"y\": 1}"]);
    }

    #[test]
    fn of_several_texts_the_fields_that_vary_are_told_with_each_value() {
        let texts = [
            "(a: 1, o: Adam(b: 1, c: 2), s: 7)",
            "(a: 1, o: Adam(b: 1, c: 3), s: 7)",
            "(a: 2, o: Adam(b: 1, c: 2), s: 7, e: 1)",
        ];
        let told = |texts: &[&str]| -> Vec<String> {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
            let line = |found: Varying| {
                let values: Vec<String> = found.values.iter().map(shown).collect();
                format!("{}: {}", found.field, values.join(" | "))
            };
            varying(texts).into_iter().map(line).collect()
        };
        assert_eq!(told(&texts), ["o.c: 2 | 3 | 2", "a: 1 | 1 | 2", "e: - | - | 1"]);
        let other = "(a: 1, o: Sgd(b: 1), s: 7)";
        assert_eq!(
            told(&[texts[0], texts[1], other]),
            ["o: Adam(b: 1, c: 2) | Adam(b: 1, c: 3) | Sgd(b: 1)"]
        );
        assert!(told(&texts[..1]).is_empty() && told(&[]).is_empty());
    }
}
