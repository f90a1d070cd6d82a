//! What is found beside a data set's images and is not read, so that it can be told.

use std::collections::BTreeMap;

/// Extensions that are named; of the others, there is their number.
const NAMED: usize = 8;

/// What to call one of them, and several.
pub(super) const FILES: (&str, &str) = ("file", "files");
pub(super) const ENTRIES: (&str, &str) = ("entry", "entries");

/// Files that are not read, counted by their extensions.
#[derive(Debug, Default)]
pub(super) struct Unread {
    kinds: BTreeMap<String, Kind>,
}

#[derive(Debug)]
struct Kind {
    files: usize,
    first: String,
}

impl Unread {
    /// Counts a file by its extension, which is empty where it has none. Its name is asked for if it is
    /// the first of its kind.
    pub(super) fn add(&mut self, extension: &str, name: impl FnOnce() -> String) {
        let extension = extension.to_ascii_lowercase();
        let kind = self.kinds.entry(extension).or_insert_with(|| Kind { files: 0, first: name() });
        kind.files += 1;
    }

    /// Adds what was counted elsewhere, after what is counted here.
    pub(super) fn merge(&mut self, other: Self) {
        for (extension, kind) in other.kinds {
            let known = self.kinds.entry(extension).or_insert(Kind { files: 0, first: kind.first });
            known.files += kind.files;
        }
    }

    /// How many files have an extension.
    pub(super) fn count(&self, extension: &str) -> usize {
        self.kinds.get(extension).map_or(0, |kind| kind.files)
    }

    /// How many there are in all, and of which kinds, the most frequent first: "21 files: 20 .bmp
    /// (cat/b0.bmp, ...), 1 .txt (cat/notes.txt)". Nothing if there are none.
    pub(super) fn describe(&self, what: (&str, &str)) -> Option<String> {
        let all: usize = self.kinds.values().map(|kind| kind.files).sum();
        if all == 0 {
            return None;
        }
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.files));
        let shown = kinds.iter().take(NAMED).map(|(extension, Kind { files, first })| {
            let more = if *files > 1 { ", ..." } else { "" };
            match extension.is_empty() {
                true => format!("{files} without an extension ({first}{more})"),
                false => format!("{files} .{extension} ({first}{more})"),
            }
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        let what = if all == 1 { what.0 } else { what.1 };
        let more = match kinds.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more kinds"),
        };
        Some(format!("{all} {what}: {shown}{more}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_and_the_most_frequent_come_first() {
        let mut unread = Unread::default();
        assert_eq!(unread.describe(FILES), None);
        unread.add("txt", || "notes.txt".into());
        assert_eq!(unread.describe(FILES).unwrap(), "1 file: 1 .txt (notes.txt)");
        let mut other = Unread::default();
        for name in ["a.bmp", "b.BMP"] {
            other.add(&name[2..], || name.into());
        }
        other.add("", || "README".into());
        unread.merge(other);
        assert_eq!(unread.count("bmp"), 2);
        assert_eq!(
            unread.describe(FILES).unwrap(),
            "4 files: 2 .bmp (a.bmp, ...), 1 without an extension (README), 1 .txt (notes.txt)"
        );
        (0..10).for_each(|number| unread.add(&format!("x{number}"), String::new));
        assert!(unread.describe(FILES).unwrap().ends_with(" and 5 more kinds"));
    }
}
