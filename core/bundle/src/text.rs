//! What texts of a manifest may look like, since they end up in file names and terminals.

use std::fmt;

use vitral_config::is_deceptive;

/// The most characters of a plugin's or parameter's name.
pub(crate) const MAX_NAME: usize = 64;

/// Whether a plugin may have that name: lower-case words joined by `-`.
pub fn is_plugin_name(name: &str) -> bool {
    is_words(name, '-')
}

/// Whether a parameter may have that name: lower-case words joined by `_`.
pub(crate) fn is_parameter_name(name: &str) -> bool {
    is_words(name, '_')
}

/// Whether a text is one line without control characters.
pub(crate) fn is_one_line(text: &str) -> bool {
    !text.chars().any(is_deceptive)
}

/// Whether a text has no control characters but line breaks.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.chars().any(|character| character != '\n' && is_deceptive(character))
}

/// A text of unknown origin in a form that is safe to show.
pub(crate) fn shown(text: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(text);
    let short: String = text.chars().take(MOST).collect();
    let dots = if short.len() < text.len() { "..." } else { "" };
    format!("{}{dots}", short.escape_debug())
}

/// "a, b and c".
pub(crate) fn list<T: fmt::Display>(items: &[T]) -> String {
    let words: Vec<String> = items.iter().map(T::to_string).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn is_words(name: &str, joint: char) -> bool {
    let is_word = |word: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !word.is_empty() && word.bytes().all(plain)
    };
    name.len() <= MAX_NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split(joint).all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_words() {
        assert!(is_plugin_name("token-mix") && is_plugin_name("a1"));
        assert!(is_parameter_name("window_size"));
        for wrong in ["", "-a", "a-", "a--b", "A", "1a", "a_b", "a/b", "ä", "..", &"a".repeat(65)]
        {
            assert!(!is_plugin_name(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_could_deceive_on_a_terminal_is_no_plain_text() {
        assert!(is_plain("two\nlines, größer") && !is_one_line("two\nlines"));
        for wrong in ["\u{1b}[2J", "\r", "\u{202e}", "\0"] {
            assert!(!is_plain(wrong), "{wrong:?}");
        }
        assert_eq!(shown(b"a\x1b\xff"), "a\\u{1b}\u{fffd}");
    }
}
