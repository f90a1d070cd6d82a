//! A forgiving outline of a RON text: which value stands where.
//!
//! It serves error messages and `--set`, so it accepts broken texts and keeps
//! what it can. Names before parentheses (`AdamW( ... )`, `Some( ... )`) are
//! transparent: a path goes through them without naming them.

use std::ops::Range;

use crate::path::{Path, Segment};
use crate::token::{self, Comment, Kind, Token};

/// Deeper nesting than RON itself allows is not looked into.
const MAX_DEPTH: usize = 160;

/// Names, values, signs and comments of the longest text that is read, each of which takes some hundred
/// bytes here, and with many of one kind time for each pair. A list of all classes of ImageNet-21k has 44,000.
pub(crate) const MOST_TOKENS: usize = 1 << 17;

/// A text with its tokens and its outline.
pub(crate) struct Source<'a> {
    pub text: &'a str,
    pub tokens: Vec<Token>,
    pub comments: Vec<Comment>,
    pub root: Option<Node>,
    /// Items of lists that were blanked out, by the list's path and their place in it, both as the
    /// user wrote them.
    gone: Vec<(Path, usize)>,
}

/// An item that can be left out of a text, whose remainder stays as sound as it was.
pub(crate) struct Removable {
    /// From its key or its value to its comma.
    pub span: Range<usize>,
    /// The field's name, or the key.
    pub name: Option<String>,
    /// Of an item of a list: the list, and the place in it.
    place: Option<(Path, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `( ... )`, with or without a name before it.
    Group,
    List,
    Map,
    /// A name alone: `true`, `None`, a unit variant.
    Word,
    Text,
    Number,
    /// A character, or nothing where a value should be.
    Other,
}

/// A value in the text.
#[derive(Debug)]
pub(crate) struct Node {
    pub shape: Shape,
    pub span: Range<usize>,
    /// The name before `(`, or the word itself.
    pub name: Option<Range<usize>>,
    /// The brackets around the items; the closing one may be missing.
    pub open: usize,
    pub close: Option<usize>,
    pub items: Vec<Item>,
}

/// A value inside brackets, with its field name or key if it has one.
#[derive(Debug)]
pub(crate) struct Item {
    pub key: Option<Key>,
    pub value: Node,
    /// End of the comma behind the value.
    pub comma: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Key {
    pub span: Range<usize>,
    pub name: String,
}

/// How far a path could be followed.
pub(crate) struct Found<'s> {
    pub node: &'s Node,
    /// Where the field is named whose value this is.
    pub key: Option<Range<usize>>,
    /// How many of the path's segments the text has.
    pub depth: usize,
}

impl<'a> Source<'a> {
    pub fn new(text: &'a str) -> Self {
        let (tokens, comments) = token::first_tokens(text, MOST_TOKENS + 1);
        let mut builder = Builder { text, tokens: &tokens, next: 0 };
        builder.skip_attributes();
        let root = builder.value(0);
        Self { text, tokens, comments, root, gone: Vec::new() }
    }

    /// Why the text is not read, where it is too long for that: the outline is then of its beginning.
    pub fn too_long(&self) -> Option<String> {
        let found = self.tokens.len() + self.comments.len();
        (found > MOST_TOKENS).then(|| {
            format!("the text has more than {MOST_TOKENS} names, values, signs and comments; the rest is not read")
        })
    }

    /// A text without what was taken out of it.
    pub fn without(text: &'a str, removed: &[Removable]) -> Self {
        let gone = removed.iter().filter_map(|item| item.place.clone()).collect();
        Self { gone, ..Self::new(text) }
    }

    /// The innermost item around an offset that has a name or stands in a list.
    pub fn removable(&self, offset: usize) -> Option<Removable> {
        let (mut node, mut path, mut found) = (self.root.as_ref()?, Path::default(), None);
        while let Some((segment, item)) = node.item_at(offset) {
            let start = item.key.as_ref().map_or(item.value.span.start, |key| key.span.start);
            let span = start..item.comma.unwrap_or(item.value.span.end);
            let name = item.key.as_ref().map(|key| key.name.clone());
            if name.is_some() {
                found = Some(Removable { span, name, place: None });
            } else if let (Shape::List, Some(Segment::Index(at))) = (node.shape, &segment) {
                let (list, at) = (self.written(&path), self.place_in(&self.written(&path), *at));
                found = Some(Removable { span, name, place: Some((list, at)) });
            }
            path.0.extend(segment);
            node = &item.value;
        }
        found
    }

    /// A path as the user would count, where items of lists were taken out.
    pub fn written(&self, path: &Path) -> Path {
        let mut written = Path::default();
        for segment in &path.0 {
            let segment = match segment {
                Segment::Index(at) => Segment::Index(self.place_in(&written, *at)),
                field => field.clone(),
            };
            written.0.push(segment);
        }
        written
    }

    fn place_in(&self, list: &Path, mut at: usize) -> usize {
        let gone = self.gone.iter().filter(|(path, _)| path == list);
        let mut gone: Vec<usize> = gone.map(|(_, at)| *at).collect();
        gone.sort_unstable();
        for gone in gone {
            at += usize::from(gone <= at);
        }
        at
    }

    /// Follows a path as far as the text has it.
    pub fn find(&self, path: &Path) -> Option<Found<'_>> {
        let mut found = Found { node: self.root.as_ref()?, key: None, depth: 0 };
        for segment in &path.0 {
            let Some(item) = found.node.step(segment) else {
                break;
            };
            found.node = &item.value;
            found.key = item.key.as_ref().map(|key| key.span.clone());
            found.depth += 1;
        }
        Some(found)
    }

    /// The value at a path, if the text has all of it.
    pub fn exact(&self, path: &Path) -> Option<&Node> {
        let found = self.find(path)?;
        (found.depth == path.0.len()).then_some(found.node)
    }

    /// A short span that stands for a value: all of it on one line, else its
    /// name, its field's name or its opening bracket.
    pub fn head(&self, found: &Found<'_>) -> Range<usize> {
        let node = found.node;
        if !self.text[node.span.clone()].contains('\n') {
            return node.span.clone();
        }
        self.opening(found)
    }

    /// The name before a value's bracket, its field's name, or the bracket.
    pub fn opening(&self, found: &Found<'_>) -> Range<usize> {
        let node = found.node;
        let bracket = node.open..(node.open + 1).min(node.span.end);
        let name = node.name.clone().or_else(|| found.key.clone());
        name.unwrap_or(bracket)
    }

    /// The innermost value around an offset, with its path.
    pub fn around(&self, offset: usize) -> Option<(Path, Found<'_>)> {
        let mut path = Path::default();
        let mut found = Found { node: self.root.as_ref()?, key: None, depth: 0 };
        while let Some((segment, item)) = found.node.item_at(offset) {
            path.0.extend(segment);
            found.node = &item.value;
            found.key = item.key.as_ref().map(|key| key.span.clone());
            found.depth += 1;
        }
        Some((path, found))
    }
}

impl Node {
    /// The value inside `Some(value)`, `Fixed(value)` and the like.
    pub fn inner(&self) -> &Node {
        match self.items.as_slice() {
            [only] if self.name.is_some() && only.key.is_none() => only.value.inner(),
            _ => self,
        }
    }

    fn step(&self, segment: &Segment) -> Option<&Item> {
        let direct = |node: &'_ Node, item: &Item| match segment {
            Segment::Field(name) => item.key.as_ref().is_some_and(|key| key.name == *name),
            Segment::Index(_) => node.shape != Shape::Map && item.key.is_none(),
        };
        let skip = match segment {
            Segment::Field(_) => 0,
            Segment::Index(index) => *index,
        };
        let look = |node: &'_ Node| {
            let mut places = (0..node.items.len()).filter(|at| direct(node, &node.items[*at]));
            places.nth(skip)
        };
        let inner = self.inner();
        match look(inner) {
            Some(at) => inner.items.get(at),
            None => look(self).and_then(|at| self.items.get(at)),
        }
    }

    /// The item around an offset, and its segment if a path names it.
    fn item_at(&self, offset: usize) -> Option<(Option<Segment>, &Item)> {
        let at = self.items.iter().position(|item| {
            let start = item.key.as_ref().map_or(item.value.span.start, |key| key.span.start);
            (start..item.value.span.end.max(start + 1)).contains(&offset)
        })?;
        let item = &self.items[at];
        Some((self.segment(at, item), item))
    }

    /// What a path has for an item at a place; nothing for the only one of `Some(...)` and the like.
    pub fn segment(&self, at: usize, item: &Item) -> Option<Segment> {
        match &item.key {
            Some(key) => Some(Segment::Field(key.name.clone())),
            None if self.name.is_some() && self.items.len() == 1 => None,
            None => Some(Segment::Index(at)),
        }
    }
}

struct Builder<'t> {
    text: &'t str,
    tokens: &'t [Token],
    next: usize,
}

impl Builder<'_> {
    fn peek(&self) -> Option<Kind> {
        self.tokens.get(self.next).map(|token| token.kind)
    }

    fn here(&self) -> usize {
        let token = self.tokens.get(self.next);
        token.map_or(self.text.len(), |token| token.span.start)
    }

    /// End of the token before the current one.
    fn behind(&self) -> usize {
        let before = self.next.checked_sub(1).and_then(|at| self.tokens.get(at));
        before.map_or(0, |token| token.span.end)
    }

    /// `#![enable(...)]` lines before the value.
    fn skip_attributes(&mut self) {
        while self.peek() == Some(Kind::Other) && self.text[self.here()..].starts_with('#') {
            while !matches!(self.peek(), None | Some(Kind::Close(']'))) {
                self.next += 1;
            }
            self.next = (self.next + 1).min(self.tokens.len());
        }
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        let token = self.tokens.get(self.next)?;
        let start = token.span.start;
        let leaf = |shape| Node {
            shape,
            span: token.span.clone(),
            name: (shape == Shape::Word).then(|| token.span.clone()),
            open: start,
            close: None,
            items: Vec::new(),
        };
        let shape = match token.kind {
            Kind::Word => Shape::Word,
            Kind::Number => Shape::Number,
            Kind::Text { .. } => Shape::Text,
            Kind::Char => Shape::Other,
            Kind::Open(bracket) => return Some(self.bracketed(bracket, start, None, depth)),
            Kind::Close(_) | Kind::Comma | Kind::Colon | Kind::Other => return None,
        };
        self.next += 1;
        if shape == Shape::Word && self.peek() == Some(Kind::Open('(')) {
            return Some(self.bracketed('(', start, Some(token.span.clone()), depth));
        }
        Some(leaf(shape))
    }

    fn bracketed(
        &mut self,
        bracket: char,
        start: usize,
        name: Option<Range<usize>>,
        depth: usize,
    ) -> Node {
        let (shape, closing) = match bracket {
            '(' => (Shape::Group, ')'),
            '[' => (Shape::List, ']'),
            _ => (Shape::Map, '}'),
        };
        let open = self.here();
        self.next += 1;
        let items = if depth < MAX_DEPTH {
            self.items(depth)
        } else {
            self.skip_items();
            Vec::new()
        };
        let close = (self.peek() == Some(Kind::Close(closing))).then(|| self.here());
        if close.is_some() {
            self.next += 1;
        }
        Node { shape, span: start..self.behind(), name, open, close, items }
    }

    /// Items up to any closing bracket.
    fn items(&mut self, depth: usize) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        while !matches!(self.peek(), None | Some(Kind::Close(_))) {
            if let Some(item) = self.item(depth) {
                items.push(item);
                continue;
            }
            let end = self.tokens[self.next].span.end;
            if let (Some(Kind::Comma), Some(last)) = (self.peek(), items.last_mut()) {
                last.comma.get_or_insert(end);
            }
            self.next += 1;
        }
        items
    }

    fn item(&mut self, depth: usize) -> Option<Item> {
        let first = self.value(depth + 1)?;
        if self.peek() != Some(Kind::Colon) {
            return Some(Item { key: None, value: first, comma: None });
        }
        self.next += 1;
        let colon = self.behind();
        let value = self.value(depth + 1).unwrap_or(Node {
            shape: Shape::Other,
            span: colon..colon,
            name: None,
            open: colon,
            close: None,
            items: Vec::new(),
        });
        let written = &self.text[first.span.clone()];
        let name = match first.shape {
            Shape::Text => ron::from_str(written).unwrap_or_else(|_| written.to_owned()),
            _ => written.strip_prefix("r#").unwrap_or(written).to_owned(),
        };
        let key = Key { span: first.span, name };
        Some(Item { key: Some(key), value, comma: None })
    }

    /// Moves to the bracket that closes the current one.
    fn skip_items(&mut self) {
        let mut depth = 0usize;
        while let Some(kind) = self.peek() {
            match kind {
                Kind::Open(_) => depth += 1,
                Kind::Close(_) if depth == 0 => return,
                Kind::Close(_) => depth -= 1,
                _ => {}
            }
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r##"#![enable(implicit_some)]
(
    name: r#"a ) b"#, // not: this
    model: Vit(heads: 3, /* x: 1 */ layers: [1, (p: 'q'), 3]),
    optimizer: Some(AdamW(betas: (0.9, 0.999))),
    sizes: Fixed([7, 8]),
    map: {"a.b": 1, "c": (d: 2)},
    unit: None,
)"##;

    #[test]
    fn paths_lead_to_their_values() {
        let source = Source::new(TEXT);
        for (path, value) in [
            ("name", "r#\"a ) b\"#"),
            ("model.heads", "3"),
            ("model.layers[1].p", "'q'"),
            ("model.layers[2]", "3"),
            ("optimizer.betas[1]", "0.999"),
            ("optimizer", "Some(AdamW(betas: (0.9, 0.999)))"),
            ("sizes[1]", "8"),
            ("map[\"a.b\"]", "1"),
            ("map.c.d", "2"),
            ("unit", "None"),
        ] {
            let node = source.exact(&Path::parse(path).unwrap());
            assert_eq!(node.map(|node| &TEXT[node.span.clone()]), Some(value), "{path}");
        }
    }

    #[test]
    fn a_path_beyond_the_text_stops_at_the_nearest_parent() {
        let source = Source::new(TEXT);
        for (path, depth) in [("model.depth", 1), ("x.y", 0), ("sizes[2]", 1), ("x", 0)] {
            assert_eq!(source.find(&Path::parse(path).unwrap()).unwrap().depth, depth);
        }
    }

    #[test]
    fn an_offset_leads_back_to_its_path() {
        let source = Source::new(TEXT);
        for (needle, path) in [
            ("heads", "model.heads"),
            ("'q'", "model.layers[1].p"),
            ("0.999", "optimizer.betas[1]"),
            ("8]", "sizes[1]"),
            ("2)}", "map.c.d"),
        ] {
            let (found, _) = source.around(TEXT.find(needle).unwrap()).unwrap();
            assert_eq!(found.to_string(), path);
        }
    }

    #[test]
    fn nesting_without_end_is_survived() {
        let text = "[".repeat(100_000) + &"(a:".repeat(100_000);
        assert!(Source::new(&text).root.is_some());
    }
}
