//! Commas, colons, brackets, strings and comments that are not as RON wants them.

use ron::error::Error;

use super::view::View;
use crate::error::{Finding, line_and_column};
use crate::token::{Kind, Token};

pub(crate) fn explain(view: &View<'_>, error: &Error) -> Option<Finding> {
    Some(match error {
        Error::ExpectedComma => comma(view),
        Error::ExpectedMapColon => colon(view),
        Error::ExpectedStructLikeEnd | Error::ExpectedOptionEnd => closing(view, ')'),
        Error::ExpectedArrayEnd => closing(view, ']'),
        Error::ExpectedMapEnd => closing(view, '}'),
        Error::Eof => Finding {
            span: view.end(),
            message: "the text ends too early".to_owned(),
            label: "something is missing after this".to_owned(),
            help: None,
        },
        Error::TrailingCharacters => Finding {
            span: view.span(view.here()),
            message: "there is text after the end".to_owned(),
            label: "nothing may follow the closing `)`".to_owned(),
            help: Some("is there a closing bracket too many before this?".to_owned()),
        },
        Error::UnexpectedChar(c) => unexpected(view, *c),
        Error::InvalidEscape(problem) => escape(view, problem),
        Error::FloatUnderscore | Error::UnderscoreAtBeginning => Finding {
            span: view.span(view.touching()),
            message: "a `_` in this number is in the wrong place".to_owned(),
            label: "write `_` between digits only".to_owned(),
            help: None,
        },
        Error::ExceededRecursionLimit => Finding {
            span: view.span(view.here()),
            message: "too many brackets inside each other".to_owned(),
            label: "too deep".to_owned(),
            help: None,
        },
        _ => return None,
    })
}

fn comma(view: &View<'_>) -> Finding {
    let (here, before) = (view.here(), view.before());
    let opens = here.is_some_and(|token| token.kind == Kind::Open('('));
    let Some(before) = before else {
        return misplaced(view, here);
    };
    if opens && before.kind == Kind::Word {
        let word = view.text(before);
        return Finding {
            span: view.span(here),
            message: format!("`{word}` takes no values in parentheses"),
            label: "does not belong here".to_owned(),
            help: Some(format!("write only `{word}`")),
        };
    }
    if view.inside() || here.is_some_and(|token| !starts_value(token)) {
        return misplaced(view, here);
    }
    if matches!(before.kind, Kind::Text { .. }) && view.text(before).contains('\n') {
        return runaway(view, before);
    }
    Finding {
        span: before.span.clone(),
        message: "expected a comma".to_owned(),
        label: "`,` is missing after this".to_owned(),
        help: None,
    }
}

/// A character that begins nothing; ron also says so of the one behind a lone `/`.
fn unexpected(view: &View<'_>, c: char) -> Finding {
    let text = view.source.text;
    let behind = text[..view.at].strip_suffix(c);
    let slash = behind.filter(|text| text.ends_with('/'));
    let start = slash.map_or(view.at, |text| text.len() - 1);
    let run = view.run(start);
    let after_colon = text[..start].trim_end().ends_with(':');
    if slash.is_some() && after_colon && run.len() > 1 {
        let path = &text[run.clone()];
        return Finding {
            message: format!("`{path}` is not a value"),
            label: "a path is a string".to_owned(),
            help: Some(format!("write it in quotes: \"{path}\"")),
            span: run,
        };
    }
    let shown = text[start..].chars().next().unwrap_or(c);
    Finding {
        span: start..start + shown.len_utf8(),
        message: format!("unexpected `{}`", shown.escape_debug()),
        label: "does not belong here".to_owned(),
        help: None,
    }
}

fn starts_value(token: &Token) -> bool {
    use Kind::{Char, Number, Open, Text, Word};
    matches!(token.kind, Open(_) | Word | Number | Text { .. } | Char)
}

fn misplaced(view: &View<'_>, token: Option<&Token>) -> Finding {
    Finding {
        span: view.span(token),
        message: format!("expected a comma, found {}", view.words(token)),
        label: "does not belong here".to_owned(),
        help: None,
    }
}

/// A string over several lines that is followed by no comma: its own end is missing.
fn runaway(view: &View<'_>, string: &Token) -> Finding {
    let text = view.text(string);
    let line = text.lines().next().map_or(text.len(), str::len);
    let (number, _) = line_and_column(view.source.text, string.span.end);
    Finding {
        span: string.span.start..string.span.start + line,
        message: "this string has no closing quote on its line".to_owned(),
        label: format!("goes on until line {number}"),
        help: Some("close it with `\"`".to_owned()),
    }
}

fn colon(view: &View<'_>) -> Finding {
    let here = view.here();
    let text = here.map_or("", |token| view.text(token));
    let name = view.before().filter(|token| token.kind == Kind::Word);
    let (Some(name), false) = (name, text == "=") else {
        let name = view.before().map_or("name", |token| view.text(token));
        return Finding {
            span: view.span(here),
            message: format!("expected `:`, found {}", view.words(here)),
            label: "expected `:`".to_owned(),
            help: Some(format!("write `{name}: value`")),
        };
    };
    Finding {
        span: name.span.clone(),
        message: format!("expected `:` and a value behind `{}`", view.text(name)),
        label: "`:` is missing after this".to_owned(),
        help: None,
    }
}

fn closing(view: &View<'_>, bracket: char) -> Finding {
    let here = view.here();
    Finding {
        span: view.span(here),
        message: format!("expected `{bracket}`, found {}", view.words(here)),
        label: format!("`{bracket}` is missing before this"),
        help: None,
    }
}

fn escape(view: &View<'_>, problem: &str) -> Finding {
    let string = view.touching();
    let span = view.span(string);
    let upto = view.at.clamp(span.start, span.end);
    let start = view.source.text[span.start..upto].rfind('\\');
    let start = start.map_or(span.start, |at| span.start + at);
    let shown = &view.source.text[start..upto.max(start)];
    Finding {
        span: start..upto.max(start + 1),
        message: match problem {
            "Unknown escape character" => format!("`{shown}` is not an escape in a string"),
            _ => format!("`{shown}` is malformed: {}", super::lower_first(problem)),
        },
        label: "after a backslash".to_owned(),
        help: Some("write `\\\\` for a backslash, or use `/` in paths".to_owned()),
    }
}
