//! Text of unknown origin on its way to people: what moves a terminal's cursor, or changes the direction of
//! what follows, is shown and not done.

use std::borrow::Cow;
use std::ops::Range;

/// Whether a character does something to the text around it instead of being a part of it: control
/// characters, and those that change the direction of text.
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// The same, but for line breaks and tabs.
fn is_acting(character: char) -> bool {
    is_deceptive(character) && !matches!(character, '\n' | '\t')
}

/// A text whose deceptive characters are written as `\u{1b}`, but for line breaks and tabs.
pub fn visible(text: &str) -> Cow<'_, str> {
    match text.chars().any(is_acting) {
        true => text.chars().fold(String::with_capacity(text.len() + 16), push).into(),
        false => text.into(),
    }
}

/// The same, with places in the text, which move with it.
pub fn visible_with(text: &str, places: &mut [Range<usize>]) -> String {
    let mut shown = String::with_capacity(text.len());
    // Where the characters behind each deceptive one were, and by how much they have moved.
    let mut moves = vec![(0, 0)];
    for (at, character) in text.char_indices() {
        shown = push(shown, character);
        if is_acting(character) {
            let end = at + character.len_utf8();
            moves.push((end, shown.len() - end));
        }
    }
    let moved = |at: usize| at + moves[moves.partition_point(|&(from, _)| from <= at) - 1].1;
    for place in places {
        *place = moved(place.start)..moved(place.end);
    }
    shown
}

fn push(mut shown: String, character: char) -> String {
    match is_acting(character) {
        true => shown.extend(character.escape_unicode()),
        false => shown.push(character),
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_on_a_terminal_is_shown() {
        assert!(matches!(visible("größer\n\t→ 🙂"), Cow::Borrowed(_)));
        assert_eq!(visible("a\u{1b}[2J\r\u{9b}b\u{7f}"), "a\\u{1b}[2J\\u{d}\\u{9b}b\\u{7f}");
        assert_eq!(visible("a\u{202e}b\u{2066}\u{61c}"), "a\\u{202e}b\\u{2066}\\u{61c}");
    }

    #[test]
    fn places_stay_at_what_they_were_at() {
        let text = "ä\u{1b}bc\u{202e}d";
        let at = |part: &str| text.find(part).map(|at| at..at + part.len()).unwrap();
        let mut places = ["ä", "bc", "\u{202e}", "d"].map(at);
        let shown = visible_with(text, &mut places);
        assert_eq!(shown, "ä\\u{1b}bc\\u{202e}d");
        assert_eq!(places.map(|place| shown[place].to_owned()), ["ä", "bc", "\\u{202e}", "d"]);
        let mut end = vec![text.len()..text.len(), 0..0];
        visible_with(text, &mut end);
        assert_eq!(end, [shown.len()..shown.len(), 0..0]);
    }
}
