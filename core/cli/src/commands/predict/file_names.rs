//! Names of files that are made of what others have chosen.

use std::path::Path;

use vitral_config::is_deceptive;

/// A name that leads nowhere else and that every system takes, whoever has chosen it.
pub fn safe(name: &str) -> String {
    let mut safe: String = name
        .chars()
        .map(|character| match character {
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
            character if character.is_control() || is_deceptive(character) => '_',
            character => character,
        })
        .collect();
    if safe.is_empty() || safe.starts_with('.') {
        safe.insert(0, '_');
    }
    while safe.ends_with(['.', ' ']) {
        safe.pop();
    }
    safe
}

/// The first of a name and the same with numbers that is still free.
pub fn free(name: &str, mut take: impl FnMut(&str) -> bool) -> String {
    if take(name) {
        return name.to_owned();
    }
    let path = Path::new(name);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|found| format!(".{}", found.to_string_lossy()));
    let extension = extension.unwrap_or_default();
    let mut numbered = (2_u64..).map(|number| format!("{stem}-{number}{extension}"));
    // Of endless numbers, one is free.
    numbered.find(|name| take(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_that_others_have_chosen_lead_nowhere_else() {
        for (name, expected) in [
            ("cat", "cat"),
            ("../../etc", "_.._.._etc"),
            ("..", "_"),
            ("", "_"),
            (".hidden", "_.hidden"),
            ("a/b\\c:d", "a_b_c_d"),
            ("T-shirt/top", "T-shirt_top"),
            ("x\u{202e}y\n", "x_y_"),
            ("end. ", "end"),
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
    }

    #[test]
    fn names_that_are_taken_get_numbers() {
        let mut taken = HashSet::new();
        let mut of = |name: &str| free(name, |name| taken.insert(name.to_lowercase()));
        assert_eq!(
            ["a.jpg", "A.jpg", "a.jpg", "a"].map(&mut of),
            ["a.jpg", "A-2.jpg", "a-3.jpg", "a"]
        );
    }
}
