//! What stands around the place where ron gave up.

use std::ops::Range;

use serde_json::Value;

use crate::path::Path;
use crate::schema;
use crate::token::{Kind, Token};
use crate::tree::{Node, Source};

/// A text, its schema and ron's cursor.
pub(crate) struct View<'a> {
    pub source: &'a Source<'a>,
    pub schema: &'a Value,
    pub at: usize,
    /// Names of plugins that can be used.
    pub plugins: &'a [String],
}

impl<'a> View<'a> {
    /// The token at the cursor, or the next one.
    pub fn here(&self) -> Option<&'a Token> {
        self.source.tokens.iter().find(|token| token.span.end > self.at)
    }

    /// The token before [`here`](Self::here).
    pub fn before(&self) -> Option<&'a Token> {
        let tokens = &self.source.tokens;
        let next = tokens.partition_point(|token| token.span.end <= self.at);
        tokens.get(next.checked_sub(1)?)
    }

    /// The token that the cursor stands in or right behind, else the next one, else the last.
    pub fn touching(&self) -> Option<&'a Token> {
        let touches = |token: &&Token| token.span.start < self.at && self.at <= token.span.end;
        let touching = self.source.tokens.iter().find(touches);
        touching.or_else(|| self.here()).or(self.source.tokens.last())
    }

    /// Whether the cursor stands inside a token that began before it.
    pub fn inside(&self) -> bool {
        self.here().is_some_and(|token| token.span.start < self.at)
    }

    pub fn text(&self, token: &Token) -> &'a str {
        &self.source.text[token.span.clone()]
    }

    /// Whether a token stands before a colon.
    pub fn is_key(&self, token: &Token) -> bool {
        let tokens = &self.source.tokens;
        let at = tokens.iter().position(|other| other == token);
        let next = at.and_then(|at| tokens.get(at + 1));
        next.is_some_and(|next| next.kind == Kind::Colon)
    }

    /// Everything from an offset up to white space, a comma, a bracket or a quote.
    pub fn run(&self, start: usize) -> Range<usize> {
        let rest = &self.source.text[start..];
        let ends = |c: char| c.is_whitespace() || ",()[]{}\"".contains(c);
        start..start + rest.find(ends).unwrap_or(rest.len())
    }

    /// The span of a token, or of the end of the text.
    pub fn span(&self, token: Option<&Token>) -> Range<usize> {
        match token {
            Some(token) => token.span.clone(),
            None => self.end(),
        }
    }

    /// The last character of the text.
    pub fn end(&self) -> Range<usize> {
        let text = self.source.text.trim_end();
        let last = text.chars().next_back().map_or(0, char::len_utf8);
        text.len() - last..text.len()
    }

    /// The value that begins with a token; only the token if the value has several lines.
    pub fn value_from(&self, token: &Token) -> Range<usize> {
        let end = match &self.source.root {
            Some(root) => ending(root, token.span.start).unwrap_or(token.span.end),
            None => token.span.end,
        };
        let span = token.span.start..end;
        match self.source.text[span.clone()].contains('\n') {
            true => token.span.clone(),
            false => span,
        }
    }

    /// The value that ends where ron stopped; only its opening if it has several lines.
    pub fn value_behind(&self) -> Range<usize> {
        let found = self.source.around(self.at.saturating_sub(1));
        match found {
            Some((_, found)) if found.node.span.end == self.at => self.source.head(&found),
            _ => self.span(self.touching()),
        }
    }

    /// The path of the value at a token.
    pub fn path(&self, token: Option<&Token>) -> Path {
        let offset = token.map_or(self.source.text.len(), |token| token.span.start);
        self.source.around(offset).map(|(path, _)| path).unwrap_or_default()
    }

    pub fn schema_at(&self, path: &Path) -> Option<&'a Value> {
        schema::at(self.schema, path, self.source)
    }

    /// What the field at the cursor is for.
    pub fn description(&self) -> Option<String> {
        let path = self.path(self.touching());
        if path.is_empty() {
            return None;
        }
        schema::description(self.schema, self.schema_at(&path)?)
    }

    /// A token in words, to stand after "found".
    pub fn words(&self, token: Option<&Token>) -> String {
        let Some(token) = token else {
            return "the end of the text".to_owned();
        };
        let text = self.text(token);
        match token.kind {
            Kind::Open('(') => "a group `( ... )`".to_owned(),
            Kind::Open('[') => "a list `[ ... ]`".to_owned(),
            Kind::Open(_) => "a map `{ ... }`".to_owned(),
            Kind::Text { .. } => "a string".to_owned(),
            Kind::Word if matches!(text, "true" | "false" | "None") => format!("`{text}`"),
            Kind::Word => format!("the word `{text}`"),
            _ => format!("`{text}`"),
        }
    }
}

/// The end of the outermost value that starts at an offset.
fn ending(root: &Node, start: usize) -> Option<usize> {
    let mut node = root;
    loop {
        if node.span.start == start {
            return Some(node.span.end);
        }
        let holds = |item: &&crate::tree::Item| {
            item.value.span.contains(&start)
                || item.key.as_ref().is_some_and(|key| key.span.start == start)
        };
        let item = node.items.iter().find(holds)?;
        if let Some(key) = item.key.as_ref().filter(|key| key.span.start == start) {
            return Some(key.span.end);
        }
        node = &item.value;
    }
}
