//! Lists of files as users of shards write them: `train-{000000..000009}.tar`, `train-*.parquet`.

use std::path::{Path, PathBuf};

use crate::error::DataError;

/// Most files that a list may come to.
const MAX_FILES: usize = 1_000_000;

/// The files that paths and patterns name, in the order of the list; those of one pattern in order.
///
/// As in a shell, `{000..011}` counts (with as many digits as are written), `{a,b}` lists, and
/// `*`, `?` and `[...]` match what is there. A path that exists is taken as it is.
///
/// # Errors
/// If the list is empty, a pattern is malformed, or one matches no file.
pub(super) fn expand(setting: &str, patterns: &[PathBuf]) -> Result<Vec<PathBuf>, DataError> {
    if patterns.is_empty() {
        return Err(DataError::setting(setting, "lists no files"));
    }
    let mut files = Vec::new();
    for pattern in patterns {
        if pattern.exists() {
            files.push(pattern.clone());
            continue;
        }
        let Some(text) = pattern.to_str() else {
            return Err(DataError::malformed(pattern, "does not exist"));
        };
        let mut expanded = Vec::new();
        braces(text, &mut expanded).map_err(|problem| DataError::malformed(pattern, problem))?;
        for text in expanded {
            matches(&text, &mut files)?;
        }
        if files.len() > MAX_FILES {
            let problem = format!("lists more than {MAX_FILES} files");
            return Err(DataError::setting(setting, problem));
        }
    }
    Ok(files)
}

/// The files that match `*`, `?` and `[...]`, sorted; a text without these is a file's path.
fn matches(text: &str, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    if !text.contains(['*', '?', '[']) {
        files.push(text.into());
        return Ok(());
    }
    let path = Path::new(text);
    let found = glob::glob(text).map_err(|error| {
        DataError::malformed(path, format!("is not a pattern of file names: {}", error.msg))
    })?;
    let before = files.len();
    for file in found {
        files.push(file.map_err(|error| {
            let path = error.path().to_owned();
            DataError::io(&path, error.into())
        })?);
    }
    if files.len() == before {
        return Err(DataError::malformed(path, "matches no file"));
    }
    Ok(())
}

/// Writes out every `{...}`, from the left.
fn braces(text: &str, expanded: &mut Vec<String>) -> Result<(), String> {
    let Some(open) = text.find('{') else {
        if expanded.len() >= MAX_FILES {
            return Err(format!("stands for more than {MAX_FILES} files"));
        }
        expanded.push(text.to_owned());
        return Ok(());
    };
    let close = text[open..].find('}').ok_or("has a `{` without a `}`")? + open;
    let (start, inside, rest) = (&text[..open], &text[open + 1..close], &text[close + 1..]);
    for choice in choices(inside)? {
        braces(&format!("{start}{choice}{rest}"), expanded)?;
    }
    Ok(())
}

fn choices(inside: &str) -> Result<Vec<String>, String> {
    let Some((first, last)) = inside.split_once("..") else {
        if !inside.contains(',') {
            return Err(format!(
                "`{{{inside}}}` is neither a range, as in {{000..011}}, nor a list, as in {{a,b}}"
            ));
        }
        return Ok(inside.split(',').map(str::to_owned).collect());
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (Some(from), Some(to)) = (number(first), number(last)) else {
        return Err(format!("`{{{inside}}}` does not count from a number to a number"));
    };
    if from > to {
        return Err(format!("`{{{inside}}}` counts down; write the smaller number first"));
    }
    if to - from >= MAX_FILES as u64 {
        return Err(format!("`{{{inside}}}` stands for more than {MAX_FILES} files"));
    }
    let width = first.len();
    Ok((from..=to).map(|number| format!("{number:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn written_out(text: &str) -> Vec<String> {
        let mut expanded = Vec::new();
        braces(text, &mut expanded).unwrap();
        expanded
    }

    #[test]
    fn braces_count_and_list() {
        assert_eq!(
            written_out("a-{008..011}.tar"),
            ["a-008.tar", "a-009.tar", "a-010.tar", "a-011.tar"]
        );
        assert_eq!(written_out("{x,y}{1..2}"), ["x1", "x2", "y1", "y2"]);
        assert_eq!(written_out("plain.tar"), ["plain.tar"]);
    }

    #[test]
    fn wrong_braces_are_explained() {
        for (text, reason) in [
            ("a{1..", "without a `}`"),
            ("a{}", "neither a range"),
            ("a{5..2}", "counts down"),
            ("a{x..z}", "from a number"),
            ("a{0..99999999}", "more than"),
            ("{0..99999}{0..99999}", "more than"),
        ] {
            let error = braces(text, &mut Vec::new()).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn patterns_match_sorted_and_must_match_something() {
        let folder = TempDir::new().unwrap();
        for name in ["b.tar", "a.tar", "{odd}.tar", "c.txt"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        let names = |patterns: &[&str]| {
            let patterns: Vec<_> = patterns.iter().map(|name| folder.path().join(name)).collect();
            let files = expand("shards", &patterns)?;
            let name = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
            Ok::<_, DataError>(files.iter().map(name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["[ab].tar"]).unwrap(), ["a.tar", "b.tar"]);
        assert_eq!(names(&["{odd}.tar", "b.tar"]).unwrap(), ["{odd}.tar", "b.tar"]);
        let error = names(&["d*.tar"]).unwrap_err().to_string();
        assert!(error.contains("d*.tar: matches no file"), "{error}");
        assert!(names(&[]).unwrap_err().to_string().contains("shards: lists no files"));
    }
}
