//! The nearest right name for a wrong one.

/// Bytes of the longest name that is compared; all names here are shorter.
const LONGEST: usize = 100;

/// The name that differs at most in capitals, `-` and `_`.
pub(crate) fn same<'a>(found: &str, names: &[&'a str]) -> Option<&'a str> {
    let found = Some(found).filter(|found| found.len() <= LONGEST).map(plain)?;
    names.iter().copied().find(|name| plain(name) == found)
}

/// The name that was most likely meant, if one is near enough.
pub fn nearest<'a>(found: &str, names: &[&'a str]) -> Option<&'a str> {
    let wanted = Some(found).filter(|found| found.len() <= LONGEST).map(plain)?;
    let (name, distance) = names
        .iter()
        .map(|name| (*name, distance(&wanted, &plain(name))))
        .min_by_key(|(_, distance)| *distance)?;
    let allowed = (wanted.chars().count() / 3).max(1);
    (distance <= allowed).then_some(name)
}

/// "did you mean `depth`? (fields here: depth, width)", or only the list.
pub(crate) fn help(found: &str, names: &[&str], what: &str) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let list = format!("{what} here: {}", names.join(", "));
    Some(match nearest(found, names) {
        Some(name) => format!("did you mean `{name}`? ({list})"),
        None => list,
    })
}

/// Edits between two names; a name inside the other (`heads`, `num_heads`) counts as one.
fn distance(wanted: &str, name: &str) -> usize {
    let edits = strsim::damerau_levenshtein(wanted, name);
    let inside =
        wanted.len().min(name.len()) >= 4 && (wanted.contains(name) || name.contains(wanted));
    if inside { edits.min(1) } else { edits }
}

fn plain(name: &str) -> String {
    name.to_lowercase().replace(['_', '-', '.', ' '], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let names = ["depth", "width", "num_heads", "AdamW", "learning_rate"];
        for (found, meant) in [
            ("dept", Some("depth")),
            ("with", Some("width")),
            ("heads", Some("num_heads")),
            ("adamw", Some("AdamW")),
            ("learning-rate", Some("learning_rate")),
            ("learnign_rate", Some("learning_rate")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(found, &names), meant, "{found}");
        }
        assert_eq!(nearest("x", &[]), None);
    }
}
