//! Splits RON into tokens. Never fails: what is no token is [`Kind::Other`].

use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Open(char),
    Close(char),
    Comma,
    Colon,
    /// An identifier: a field, a variant, `true`, `None`, `inf`.
    Word,
    Number,
    /// A string, raw or not, of text or of bytes.
    Text {
        closed: bool,
    },
    Char,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub span: Range<usize>,
}

/// A comment and whether it ends before the text does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comment {
    pub span: Range<usize>,
    pub closed: bool,
}

/// All tokens of a text, and apart from them its comments.
pub(crate) fn tokenize(text: &str) -> (Vec<Token>, Vec<Comment>) {
    first_tokens(text, usize::MAX)
}

/// The first tokens and comments of a text, so many of them together.
pub(crate) fn first_tokens(text: &str, most: usize) -> (Vec<Token>, Vec<Comment>) {
    let mut scanner = Scanner { text, at: 0 };
    let (mut tokens, mut comments) = (Vec::new(), Vec::new());
    loop {
        scanner.skip_while(is_space);
        let start = scanner.at;
        if tokens.len() + comments.len() == most {
            return (tokens, comments);
        }
        if let Some(closed) = scanner.comment() {
            let span = start..scanner.at;
            comments.push(Comment { span, closed });
        } else if let Some(kind) = scanner.token() {
            let span = start..scanner.at;
            tokens.push(Token { kind, span });
        } else {
            return (tokens, comments);
        }
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest().chars().nth(ahead)
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek(0)?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn skip_while(&mut self, wanted: fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }

    /// Moves behind `end`, or to the end of the text; says which.
    fn skip_past(&mut self, end: &str) -> bool {
        let found = self.rest().find(end);
        self.at = found.map_or(self.text.len(), |found| self.at + found + end.len());
        found.is_some()
    }

    fn comment(&mut self) -> Option<bool> {
        if self.rest().starts_with("//") {
            let rest = self.rest();
            self.at += rest.find('\n').unwrap_or(rest.len());
            return Some(true);
        }
        if !self.rest().starts_with("/*") {
            return None;
        }
        let mut depth = 0;
        while !self.rest().is_empty() {
            if self.rest().starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if self.rest().starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Some(true);
                }
            } else {
                self.bump();
            }
        }
        Some(false)
    }

    fn token(&mut self) -> Option<Kind> {
        if let Some(kind) = self.prefixed_literal() {
            return Some(kind);
        }
        let first = self.bump()?;
        Some(match first {
            '(' | '[' | '{' => Kind::Open(first),
            ')' | ']' | '}' => Kind::Close(first),
            ',' => Kind::Comma,
            ':' => Kind::Colon,
            '"' => self.escaped_text(),
            '\'' => self.character(),
            '0'..='9' | '+' | '-' | '.' => self.number(first),
            'r' if self.rest().starts_with('#') => {
                self.bump();
                self.skip_while(|c| is_word(c) || "+-.".contains(c));
                Kind::Word
            }
            first if is_word(first) => {
                self.skip_while(is_word);
                Kind::Word
            }
            _ => Kind::Other,
        })
    }

    /// `b"…"`, `b'…'`, `r"…"`, `r#"…"#`, `br#"…"#`.
    fn prefixed_literal(&mut self) -> Option<Kind> {
        let rest = self.rest();
        if rest.starts_with("b\"") {
            self.at += 2;
            return Some(self.escaped_text());
        }
        if rest.starts_with("b'") {
            self.at += 2;
            return Some(self.character());
        }
        let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if !raw[hashes..].starts_with('"') {
            return None;
        }
        self.at += rest.len() - raw.len() + hashes + 1;
        let closed = self.skip_past(&format!("\"{}", "#".repeat(hashes)));
        Some(Kind::Text { closed })
    }

    fn escaped_text(&mut self) -> Kind {
        loop {
            match self.bump() {
                Some('"') => return Kind::Text { closed: true },
                Some('\\') => {
                    self.bump();
                }
                Some(_) => {}
                None => return Kind::Text { closed: false },
            }
        }
    }

    /// A character behind its opening quote; a lone quote stays a token of its own.
    fn character(&mut self) -> Kind {
        let start = self.at;
        if self.bump() == Some('\\') {
            self.bump();
        }
        let line = self.rest().find('\n').unwrap_or(self.rest().len());
        match self.rest()[..line].find('\'') {
            Some(end) if end <= 8 => {
                self.at += end + 1;
                Kind::Char
            }
            _ => {
                self.at = start;
                Kind::Other
            }
        }
    }

    fn number(&mut self, first: char) -> Kind {
        let hexadecimal = first == '0' && self.rest().starts_with('x');
        let mut previous = first;
        while let Some(next) = self.peek(0) {
            let exponent = "+-".contains(next) && "eE".contains(previous) && !hexadecimal;
            if !(is_word(next) || next == '.' || exponent) {
                break;
            }
            self.bump();
            previous = next;
        }
        Kind::Number
    }
}

/// What RON takes for white space.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let (tokens, _) = tokenize(text);
        tokens.iter().map(|token| &text[token.span.clone()]).collect()
    }

    #[test]
    fn every_kind_of_token_is_found_whole() {
        for token in [
            "name",
            "_x",
            "éa",
            "r#type",
            "12",
            "-1.5e-3",
            "+.5",
            "0xFF_u8",
            "-inf",
            "\"a\\\"b\"",
            "r\"\\\"",
            "r##\"a\"#b\"##",
            "b\"x\"",
            "br#\"\"\"#",
            "'x'",
            "'\\''",
            "'\\u{1F980}'",
            "b'x'",
            "(",
            "]",
            "{",
            ",",
            ":",
            "=",
        ] {
            assert_eq!(words(&format!(" {token} ")), [token]);
        }
    }

    #[test]
    fn comments_are_kept_apart_and_nest() {
        let text = "a /* b /* c */ d */ e // f\ng";
        assert_eq!(words(text), ["a", "e", "g"]);
        let (_, comments) = tokenize(text);
        assert_eq!(comments.len(), 2);
        assert!(comments.iter().all(|comment| comment.closed));
        assert!(!tokenize("/* /* */").1[0].closed);
    }

    #[test]
    fn unfinished_tokens_reach_to_the_end() {
        for text in ["\"abc", "\"abc\\", "r#\"abc\"", "b\"é"] {
            let (tokens, _) = tokenize(text);
            assert_eq!(tokens[0].kind, Kind::Text { closed: false });
            assert_eq!(tokens[0].span, 0..text.len());
        }
    }
}
