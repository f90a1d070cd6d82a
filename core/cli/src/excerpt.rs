//! What of a text is shown around a mistake in it: of a text that nobody wrote by hand, not all.

use std::{borrow::Cow, ops::Range};

/// Bytes of a text that is shown as it is.
const SMALL: usize = 1 << 16;
/// Bytes of a line.
const LONGEST: usize = 400;
/// Lines before the mistake, and behind its first.
const AROUND: usize = 3;

/// A text with a place in it, so cut that what is far from the place is empty lines: all lines keep their
/// numbers.
#[derive(Debug, PartialEq, Eq)]
pub struct Excerpt<'t> {
    pub text: Cow<'t, str>,
    pub span: Range<usize>,
    /// Whether the line was cut before the place, so that its columns are others.
    pub is_moved: bool,
}

impl<'t> Excerpt<'t> {
    /// The span lies on boundaries of characters.
    pub fn new(text: &'t str, span: Range<usize>) -> Self {
        if text.len() <= SMALL && text.lines().all(|line| line.len() <= LONGEST) {
            return Self { text: Cow::Borrowed(text), span, is_moved: false };
        }
        let place = text[..span.start].matches('\n').count();
        let (mut shown, mut at) = (String::new(), 0);
        let mut found = Self { text: Cow::Borrowed(""), span: 0..0, is_moved: false };
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let (start, whole) = (at, line.strip_suffix('\n').unwrap_or(line));
            at += line.len();
            if number.abs_diff(place) <= AROUND {
                let inside = if number == place { span.start - start } else { 0 };
                let first = match inside > LONGEST / 2 {
                    true => whole.floor_char_boundary(inside - LONGEST / 2),
                    false => 0,
                };
                let last = whole.floor_char_boundary(first + LONGEST);
                let before = shown.len();
                shown.push_str(&whole[first..last]);
                if number == place {
                    let end = (span.end - start).clamp(inside, last.max(inside));
                    let moved = |offset: usize| (before + offset - first).min(shown.len());
                    found.span = moved(inside)..moved(end);
                    found.is_moved = first > 0;
                }
                if last < whole.len() {
                    shown.push('…');
                }
            }
            if number > place + AROUND {
                break;
            }
            shown.push('\n');
        }
        Self { text: Cow::Owned(shown), ..found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_hand_is_shown_as_it_is() {
        let text = "(\n  x: 1,\n)";
        let found = Excerpt::new(text, 4..5);
        assert_eq!(found, Excerpt { text: text.into(), span: 4..5, is_moved: false });
        assert!(Excerpt::new("", 0..0).text.is_empty());
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let line = format!("{}ä: 7,{}", "x".repeat(9999), "y".repeat(9999));
        let text = format!("first\n{line}\nlast");
        let start = text.find('ä').unwrap();
        let found = Excerpt::new(&text, start..start + 2);
        assert_eq!(&found.text[found.span.clone()], "ä");
        assert!(found.is_moved && found.text.len() < 500, "{}", found.text);
        assert!(found.text.starts_with("first\nx") && found.text.ends_with("…\nlast\n"));
        let whole = Excerpt::new(&text, 0..text.len());
        assert_eq!(&whole.text[whole.span], "first");
        let end = Excerpt::new(&text, text.len()..text.len());
        assert_eq!(&end.text[..end.span.end], &*format!("first\n{}…\nlast", "x".repeat(LONGEST)));
    }

    #[test]
    fn lines_far_away_are_empty_and_counted() {
        let text = "abcdef\n".repeat(100_000);
        let start = 7 * 50_000;
        let found = Excerpt::new(&text, start + 2..start + 4);
        assert_eq!(&found.text[found.span.clone()], "cd");
        assert_eq!(found.text[..found.span.start].matches('\n').count(), 50_000);
        assert!(found.text.len() < 51_000);
    }
}
