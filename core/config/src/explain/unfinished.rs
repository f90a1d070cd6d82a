//! Strings, comments and brackets without an end, which ron notices late or not at all.

use crate::error::{Finding, line_and_column};
use crate::token::{Kind, Token};
use crate::tree::Source;

/// A problem, and from where on ron's own words are only its consequence.
pub(crate) struct Unfinished {
    pub from: usize,
    pub finding: Finding,
}

/// The first thing without an end.
pub(crate) fn find(source: &Source<'_>) -> Option<Unfinished> {
    let open_ended = |token: &&Token| token.kind == Kind::Text { closed: false };
    if let Some(string) = source.tokens.iter().find(open_ended) {
        return Some(unclosed_string(source, string));
    }
    if let Some(comment) = source.comments.iter().find(|comment| !comment.closed) {
        let start = comment.span.start;
        return Some(Unfinished {
            from: start,
            finding: Finding {
                span: start..start + 2,
                message: "this comment has no end".to_owned(),
                label: "`*/` is missing after this".to_owned(),
                help: None,
            },
        });
    }
    brackets(source)
}

fn unclosed_string(source: &Source<'_>, string: &Token) -> Unfinished {
    let text = &source.text[string.span.clone()];
    let line = text.lines().next().map_or(text.len(), str::len);
    Unfinished {
        from: string.span.start,
        finding: Finding {
            span: string.span.start..string.span.start + line,
            message: "this string has no end".to_owned(),
            label: "a closing quote is missing".to_owned(),
            help: None,
        },
    }
}

fn brackets(source: &Source<'_>) -> Option<Unfinished> {
    let mut open: Vec<(&Token, char)> = Vec::new();
    for token in &source.tokens {
        match token.kind {
            Kind::Open(bracket) => open.push((token, bracket)),
            Kind::Close(bracket) => {
                // An extra closing bracket is reported by ron as text behind the end.
                let (opening, opened) = open.pop()?;
                if closing_of(opened) != bracket {
                    return Some(mismatch(source, (opening, opened), (token, bracket)));
                }
            }
            _ => {}
        }
    }
    let (opening, bracket) = open.pop()?;
    Some(Unfinished {
        from: source.tokens.last().map_or(0, |token| token.span.end),
        finding: Finding {
            span: opening.span.clone(),
            message: format!("this `{bracket}` is never closed"),
            label: format!("its `{}` is missing", closing_of(bracket)),
            help: None,
        },
    })
}

fn mismatch(source: &Source<'_>, open: (&Token, char), close: (&Token, char)) -> Unfinished {
    let (line, column) = line_and_column(source.text, open.0.span.start);
    let wanted = closing_of(open.1);
    Unfinished {
        from: close.0.span.start,
        finding: Finding {
            span: close.0.span.clone(),
            message: format!("expected `{wanted}`, found `{}`", close.1),
            label: format!("does not close the `{}`", open.1),
            help: Some(format!("the `{}` on line {line}, column {column} is still open", open.1)),
        },
    }
}

fn closing_of(bracket: char) -> char {
    match bracket {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}
