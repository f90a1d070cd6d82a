//! Where the parts of a text that was put together were written, so that an error points into the file that its
//! reader has open.

use std::ops::Range;
use std::sync::Arc;

/// A text that somebody wrote, as it was before anything was changed in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub name: String,
    pub text: String,
}

/// For each byte of a text the origin that it comes from, if there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Of those that hold a byte, the first counts. What is in none of them was added.
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// Its bytes in the text.
    at: Range<usize>,
    origin: Arc<Origin>,
    place: Place,
}

/// Where a part stands in its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Byte for byte from here on.
    From(usize),
    /// It was put in the place of this.
    For(Range<usize>),
}

impl Part {
    /// What of it lies within `range`, as a text that starts there would have it.
    fn within(&self, range: &Range<usize>) -> Option<Self> {
        let (start, end) = (self.at.start.max(range.start), self.at.end.min(range.end));
        let place = match &self.place {
            Place::From(from) => Place::From(from + (start - self.at.start.min(start))),
            place => place.clone(),
        };
        let at = start - range.start..end.max(start) - range.start;
        (start < end).then(|| Self { at, origin: Arc::clone(&self.origin), place })
    }
}

/// Whether a byte stands between words, numbers and quotes.
fn is_between(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || b"()[]{},:".contains(byte)
}

impl Written {
    /// Of a whole text.
    pub(crate) fn all_of(name: &str, text: &str) -> Self {
        let origin = Arc::new(Origin { name: name.to_owned(), text: text.to_owned() });
        Self { parts: vec![Part { at: 0..text.len(), origin, place: Place::From(0) }] }
    }

    /// Of a part of the text.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        Self { parts: self.parts.iter().filter_map(|part| part.within(&range)).collect() }
    }

    /// Of `len` bytes that take the place of a part of this text.
    pub(crate) fn instead(&self, range: Range<usize>, len: usize) -> Self {
        let found = self.place(&range).map(|(origin, span)| Part {
            at: 0..len,
            origin: Arc::clone(origin),
            place: Place::For(span),
        });
        Self { parts: found.into_iter().filter(|_| len > 0).collect() }
    }

    /// Puts another text behind this one, which has `len` bytes.
    pub(crate) fn append(&mut self, len: usize, other: Self) {
        let moved = |part: Part| Part { at: part.at.start + len..part.at.end + len, ..part };
        self.parts.extend(other.parts.into_iter().map(moved));
    }

    /// Of a text that was changed in one place: what is the same at both ends, up to a whole word, stays where it was
    /// written.
    pub(crate) fn edited(&self, old: &str, new: &str) -> Self {
        let same = |(a, b): &(u8, u8)| a == b;
        let start = old.bytes().zip(new.bytes()).take_while(same).count();
        // Of 16 that becomes 6, the 6 is another.
        let mut before = old.as_bytes()[..start].iter();
        let start = before.rposition(is_between).map_or(0, |at| at + 1);
        let (rest, changed) = (&old.as_bytes()[start..], &new.as_bytes()[start..]);
        let end = rest.iter().rev().zip(changed.iter().rev()).take_while(|(a, b)| a == b).count();
        let behind = &old.as_bytes()[old.len() - end..];
        let end = behind.iter().position(is_between).map_or(0, |at| end - at);
        let mut written = self.slice(0..start);
        written.append(new.len() - end, self.slice(old.len() - end..old.len()));
        written
    }

    /// Where some bytes of the text were written; none where they were added, or not written together.
    pub(crate) fn place(&self, span: &Range<usize>) -> Option<(&Arc<Origin>, Range<usize>)> {
        let holds = |part: &&Part| part.at.start <= span.start && span.end <= part.at.end;
        let part = self.parts.iter().find(holds)?;
        let span = match &part.place {
            Place::From(from) => {
                let moved = |offset: usize| offset - part.at.start + from;
                moved(span.start)..moved(span.end)
            }
            Place::For(span) => span.clone(),
        };
        Some((&part.origin, span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(written: &Written, span: Range<usize>) -> Option<(&str, &str)> {
        let (origin, span) = written.place(&span)?;
        Some((&origin.name, &origin.text[span]))
    }

    #[test]
    fn what_stays_is_found_where_it_was_written() {
        let (old, new) = ("(a: 1, b: 2, c: 3)", "(a: 1, b: 222, c: 3)");
        let written = Written::all_of("a.ron", old).edited(old, new);
        assert_eq!(of(&written, 4..5), Some(("a.ron", "1")));
        assert_eq!(of(&written, 18..19), Some(("a.ron", "3")));
        assert_eq!(of(&written, 20..20), Some(("a.ron", "")));
        // It was added, or was around what was added.
        assert_eq!(of(&written, 10..13), None);
        assert_eq!(of(&written, 0..20), None);
        // A part of what there was is not what there was.
        for (old, new, span) in [("(a: 16)", "(a: 6)", 4..5), ("(a: \"b\")", "(a: \"bc\")", 4..8)] {
            assert_eq!(of(&Written::all_of("a.ron", old).edited(old, new), span), None, "{new}");
        }
        // Nothing has changed, or nothing is left.
        let same = Written::all_of("a.ron", old).edited(old, old);
        assert_eq!(of(&same, 4..5), Some(("a.ron", "1")));
        assert_eq!(of(&Written::all_of("a.ron", old).edited(old, ""), 0..0), None);
    }

    #[test]
    fn texts_are_put_together() {
        let (a, b) = (Written::all_of("a.ron", "(a: 1)"), Written::all_of("b.ron", "(b: Up)"));
        let mut both = a.slice(0..5);
        both.append(5, Written::default());
        both.append(7, b.slice(1..6));
        both.append(12, b.instead(4..6, 10));
        assert_eq!(of(&both, 4..5), Some(("a.ron", "1")));
        assert_eq!(of(&both, 5..7), None);
        assert_eq!(of(&both, 7..8), Some(("b.ron", "b")));
        assert_eq!(of(&both, 15..17), Some(("b.ron", "Up")));
        // A part of what was put in a place stands for all of that.
        assert_eq!(of(&both.slice(14..17), 1..2), Some(("b.ron", "Up")));
    }
}
