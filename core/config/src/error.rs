//! The one error of this crate: what is wrong, where, and what would be right.

use std::fmt;
use std::ops::{Deref, Range};

/// What a [`ConfigError`] has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, or whatever else the text came from.
    pub name: String,
    /// The text that `span` points into.
    pub text: String,
    /// The bytes to underline, on character boundaries; `None` where no text is to blame.
    pub span: Option<Range<usize>>,
    /// Line of the span's start, from 1; 0 without a span.
    pub line: usize,
    /// Column of the span's start in characters, from 1; 0 without a span.
    pub column: usize,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// A few words to stand under the underlined text.
    pub label: String,
    /// What would be right, or what the field means.
    pub help: Option<String>,
    /// What else is wrong in the same text, in its order.
    pub others: Vec<ConfigError>,
}

/// A configuration that cannot be used. Its fields are those of [`Mistake`];
/// they are boxed to keep results small.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(Box<Mistake>);

/// What was found wrong in a text, before the text's name is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub span: Range<usize>,
    pub message: String,
    pub label: String,
    pub help: Option<String>,
}

impl ConfigError {
    /// An error that is not about a place in a text.
    pub(crate) fn without_place(name: &str, message: String) -> Self {
        Self(Box::new(Mistake {
            name: name.to_owned(),
            text: String::new(),
            span: None,
            line: 0,
            column: 0,
            message,
            label: String::new(),
            help: None,
            others: Vec::new(),
        }))
    }

    /// The same with what else is wrong.
    pub(crate) fn and(mut self, others: impl Iterator<Item = Self>) -> Self {
        self.0.others = others.collect();
        self
    }

    pub(crate) fn at(name: &str, text: &str, finding: Finding) -> Self {
        let start = text.floor_char_boundary(finding.span.start);
        let end = text.ceil_char_boundary(finding.span.end).max(start);
        let (line, column) = line_and_column(text, start);
        Self(Box::new(Mistake {
            name: name.to_owned(),
            text: text.to_owned(),
            span: Some(start..end),
            line,
            column,
            message: short(finding.message),
            label: short(finding.label),
            help: finding.help.map(short),
            others: Vec::new(),
        }))
    }
}

impl Deref for ConfigError {
    type Target = Mistake;

    fn deref(&self) -> &Mistake {
        &self.0
    }
}

impl From<ConfigError> for Mistake {
    fn from(error: ConfigError) -> Self {
        *error.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.name)?;
        if self.span.is_some() {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        write!(f, " {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        self.others.iter().try_for_each(|other| write!(f, "\n{other}"))
    }
}

/// Bytes of what is said of a mistake, which may quote a part of the text.
const LONGEST: usize = 4000;

/// The beginning of what is longer than anybody reads.
fn short(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

/// Line and column of a byte offset, both from 1, the column in characters.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        assert_eq!(line_and_column("", 0), (1, 1));
        assert_eq!(line_and_column("é: x\nöü", 3), (1, 3));
        assert_eq!(line_and_column("é: x\nöü", 8), (2, 2));
        assert_eq!(line_and_column("a\n", 99), (2, 1));
    }

    #[test]
    fn an_error_reads_like_a_compilers() {
        let error = ConfigError::at(
            "a.ron",
            "(\n  x: 1)",
            Finding {
                span: 4..5,
                message: "unknown field `x`".into(),
                label: "unknown".into(),
                help: Some("did you mean `y`?".into()),
            },
        );
        assert_eq!(error.to_string(), "a.ron:2:3: unknown field `x`\n  help: did you mean `y`?");
    }
}
