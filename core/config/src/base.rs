//! A text that changes another one.

use std::ops::Range;

use crate::error::Finding;
use crate::tree::{Item, Node, Source};

/// A part of a text that two others were put together to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Of the text below.
    Base(Range<usize>),
    /// Of the text on top.
    Changes(Range<usize>),
    /// Between the two.
    New(&'static str),
}

/// A text with the fields of another on top: groups of fields are put together field by field, and everything
/// else takes the place of what there was, lists included.
pub(crate) fn merged(base: &str, changes: &str) -> Result<Vec<Part>, Finding> {
    let (below, above) = (Source::new(base), Source::new(changes));
    let (Some(old), Some(new)) = (&below.root, &above.root) else {
        return Ok(vec![Part::Changes(0..changes.len())]);
    };
    let mut merge = Merge { base, changes, parts: vec![Part::Base(0..old.span.start)] };
    merge.merge(old, new)?;
    merge.parts.push(Part::Base(old.span.end..base.len()));
    Ok(merge.parts)
}

struct Merge<'a> {
    base: &'a str,
    changes: &'a str,
    parts: Vec<Part>,
}

impl Merge<'_> {
    fn merge(&mut self, old: &Node, new: &Node) -> Result<(), Finding> {
        self.check_unique(new)?;
        let name = |text: &'_ str, node: &Node| node.name.clone().map(|name| text[name].to_owned());
        let is_same = name(self.base, old) == name(self.changes, new);
        if !is_same || !has_fields(old) || !has_fields(new) || old.close.is_none() {
            self.parts.push(Part::Changes(new.span.clone()));
            return Ok(());
        }
        let mut at = old.span.start;
        for item in &old.items {
            let Some(changed) = field(new, name_of(item)) else { continue };
            self.parts.push(Part::Base(at..item.value.span.start));
            self.merge(&item.value, &changed.value)?;
            at = item.value.span.end;
        }
        let end = old.items.last().map_or(old.open + 1, |item| item.value.span.end);
        self.parts.push(Part::Base(at..end));
        let mut needs_comma = !old.items.is_empty();
        for item in new.items.iter().filter(|item| field(old, name_of(item)).is_none()) {
            if needs_comma {
                self.parts.push(Part::New(", "));
            }
            let start = item.key.as_ref().map_or(item.value.span.start, |key| key.span.start);
            self.parts.push(Part::Changes(start..item.value.span.end));
            needs_comma = true;
        }
        self.parts.push(Part::Base(end..old.span.end));
        Ok(())
    }

    /// Of a field that is given twice, one would be lost.
    fn check_unique(&self, node: &Node) -> Result<(), Finding> {
        for (place, item) in node.items.iter().enumerate() {
            let Some(key) = &item.key else { continue };
            if node.items[..place].iter().any(|before| name_of(before) == key.name) {
                return Err(Finding {
                    span: key.span.clone(),
                    message: format!("`{}` is given twice", key.name),
                    label: "the second".into(),
                    help: Some("leave one of them out".into()),
                });
            }
        }
        Ok(())
    }
}

/// Whether a value is a group of fields, be it empty.
fn has_fields(node: &Node) -> bool {
    node.shape == crate::tree::Shape::Group && node.items.iter().all(|item| item.key.is_some())
}

fn name_of(item: &Item) -> &str {
    item.key.as_ref().map_or("", |key| &key.name)
}

fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Item> {
    node.items.iter().find(|item| name_of(item) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_put_together_and_all_else_takes_the_place() {
        for (base, changes, expected) in [
            ("(a: 1, b: 2)", "(b: 3)", "(a: 1, b: 3)"),
            ("(a: 1,)", "(b: 3)", "(a: 1, b: 3,)"),
            ("()", "(b: 3, c: 4,)", "(b: 3, c: 4)"),
            (
                "(\n  a: 1, // one\n  b: 2, // two\n)",
                "(b: 3)",
                "(\n  a: 1, // one\n  b: 3, // two\n)",
            ),
            ("(a: (b: 1, c: 2), d: 3)", "(a: (c: 4, e: 5))", "(a: (b: 1, c: 4, e: 5), d: 3)"),
            ("(o: Adam(b: 1, c: 2))", "(o: Adam(c: 3))", "(o: Adam(b: 1, c: 3))"),
            ("(o: Adam(b: 1))", "(o: Sgd(m: 2))", "(o: Sgd(m: 2))"),
            ("(o: Steps(3))", "(o: Steps(4))", "(o: Steps(4))"),
            ("(l: [1, 2, 3])", "(l: [4])", "(l: [4])"),
            ("(m: {\"a\": 1})", "(m: {\"b\": 1})", "(m: {\"b\": 1})"),
            ("(x: (a: 1))", "(x: None)", "(x: None)"),
            ("(x: None)", "(x: (a: 1))", "(x: (a: 1))"),
            ("", "(x: 1)", "(x: 1)"),
        ] {
            let text = |part: Part| match part {
                Part::Base(span) => &base[span],
                Part::Changes(span) => &changes[span],
                Part::New(text) => text,
            };
            let whole: String = merged(base, changes).unwrap().into_iter().map(text).collect();
            assert_eq!(whole, expected, "{base} and {changes}");
        }
        let twice = merged("(a: (b: 1))", "(a: (b: 2, b: 3))").unwrap_err();
        assert_eq!((twice.span, &*twice.message), (11..12, "`b` is given twice"));
    }
}
