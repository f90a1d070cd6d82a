//! Counts and columns as people read them.

use std::fmt::Display;

use unicode_width::UnicodeWidthStr;

/// A number with what it counts: `1 class`, `10 classes`. Large numbers come with separators already.
pub fn counted(count: impl Display, one: &str, many: &str) -> String {
    let count = count.to_string();
    let word = if count == "1" { one } else { many };
    format!("{count} {word}")
}

/// How many columns of a terminal a text takes: two for each of 漢字, none for accents of their own.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// A text with blanks behind it, for a column of a table.
pub fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_all_else_is_plural() {
        let of = |count: u32| counted(count, "class", "classes");
        assert_eq!([0, 1, 2, 11].map(of), ["0 classes", "1 class", "2 classes", "11 classes"]);
        assert_eq!(counted("0.5", "epoch", "epochs"), "0.5 epochs");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let padded: Vec<String> =
            ["ab", "漢", "e\u{301}"].iter().map(|text| padded(text, 3)).collect();
        assert_eq!(padded, ["ab ", "漢 ", "e\u{301}  "]);
    }
}
