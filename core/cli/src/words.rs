//! Counts and columns as people read them.

use std::fmt::Display;

use unicode_width::UnicodeWidthStr;

/// A number with what it counts: `1 class`, `10 classes`. Large numbers come with separators already.
pub fn counted(count: impl Display, one: &str, many: &str) -> String {
    let count = count.to_string();
    let word = if count == "1" { one } else { many };
    format!("{count} {word}")
}

/// A value as RON writes it, in one line.
pub fn one_line(ron: &str) -> String {
    let mut line = ron.split_whitespace().collect::<Vec<_>>().join(" ");
    for (written, shown) in
        [("( ", "("), ("[ ", "["), (", )", ")"), (", ]", "]"), (" )", ")"), (" ]", "]")]
    {
        line = line.replace(written, shown);
    }
    line
}

/// How many columns of a terminal a text takes: two for each of 漢字, none for accents of their own.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// A text with blanks behind it, for a column of a table.
pub fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// Rows of cells as lines of a table: the first column from the left, the others from the right.
pub fn aligned<R: AsRef<[String]>>(rows: &[R]) -> Vec<String> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        let row = row.as_ref();
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(cell).max(*width);
        }
    }
    let line = |row: &R| {
        let mut line = String::new();
        for (place, (cell, width)) in row.as_ref().iter().zip(&widths).enumerate() {
            line += &match place {
                0 => padded(cell, *width),
                _ => format!("  {}{cell}", " ".repeat(width - columns(cell))),
            };
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_in_one_line() {
        let written = "[\n  Resize(\n    to: 35,\n  ),\n  Crop(),\n]";
        assert_eq!(one_line(written), "[Resize(to: 35), Crop()]");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let rows = [row(["", "0", "1"]), row(["0 漢", "12", ""]), row(["1 dog", ".", "7"])];
        assert_eq!(aligned(&rows), ["        0  1", "0 漢   12", "1 dog   .  7"]);
    }

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
