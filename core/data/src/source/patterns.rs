//! Lists of files as users of shards write them: `train-{000000..000009}.tar`, `train-*.parquet`.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use glob::Pattern;

use crate::error::DataError;

/// Most files that a list may come to.
const MAX_FILES: usize = 1_000_000;

/// Folders in folders that `**` follows.
const MAX_DEPTH: usize = 32;

/// The files that paths and patterns name, in the order of the list; those of one pattern in order.
///
/// As in a shell, `{000..011}` counts (with as many digits as are written), `{a,b}` lists, and
/// `*`, `?` and `[...]` match what is there. A path that exists is taken as it is, and so are the
/// folders that a pattern lies in, whatever their names.
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
        let (folder, rest) = existing(pattern);
        let Some(text) = rest.to_str() else {
            return Err(DataError::malformed(pattern, "does not exist"));
        };
        let mut expanded = Vec::new();
        braces(text, &mut expanded).map_err(|problem| DataError::malformed(pattern, problem))?;
        for text in expanded {
            matches(&folder, &text, &mut files)?;
        }
        if files.len() > MAX_FILES {
            let problem = format!("lists more than {MAX_FILES} files");
            return Err(DataError::setting(setting, problem));
        }
    }
    Ok(files)
}

/// The folders at the start of a path that are there, and the rest, which is the pattern.
fn existing(path: &Path) -> (PathBuf, PathBuf) {
    let mut folder = PathBuf::new();
    let mut parts = path.components();
    let mut rest = parts.as_path();
    while let Some(part) = parts.next() {
        let inside = folder.join(part);
        if !inside.is_dir() {
            break;
        }
        folder = inside;
        rest = parts.as_path();
    }
    (folder, rest.into())
}

/// The files in a folder that match `*`, `?` and `[...]`, sorted; a text without these is a file's path.
fn matches(folder: &Path, text: &str, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let path = folder.join(text);
    if !text.contains(['*', '?', '[']) {
        files.push(path);
        return Ok(());
    }
    let parts = Path::new(text).components().map(|part| match part.as_os_str().to_str() {
        Some("**") => Ok(Part::AnyDepth),
        part => Pattern::new(part.unwrap_or_default()).map(Part::Name),
    });
    let parts: Vec<Part> = parts.collect::<Result<_, _>>().map_err(|error| {
        let problem = format!("is not a pattern of file names: {}", error.msg);
        DataError::malformed(&path, problem)
    })?;
    let before = files.len();
    match_in(folder, &parts, 0, files)?;
    if files.len() == before {
        return Err(DataError::malformed(&path, "matches no file"));
    }
    Ok(())
}

/// A part of a pattern.
enum Part {
    /// One name.
    Name(Pattern),
    /// `**`: any number of folders.
    AnyDepth,
}

/// What is in a folder, by the parts of a pattern.
fn match_in(
    folder: &Path,
    parts: &[Part],
    depth: usize,
    files: &mut Vec<PathBuf>,
) -> Result<(), DataError> {
    let (pattern, rest, any_depth) = match parts {
        [] => return Ok(()),
        [Part::Name(pattern), rest @ ..] => (Some(pattern), rest, false),
        [Part::AnyDepth, Part::Name(pattern), rest @ ..] => (Some(pattern), rest, true),
        // At the end it stands for every file.
        [Part::AnyDepth] => (None, &[][..], true),
        [Part::AnyDepth, rest @ ..] => return match_in(folder, rest, depth, files),
    };
    let base = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for entry in sorted(base)? {
        let path = folder.join(entry.file_name());
        // A name that is not Unicode is matched by `*`, but no letter of it by another.
        if pattern.is_none_or(|pattern| pattern.matches(&entry.file_name().to_string_lossy())) {
            if !rest.is_empty() {
                if path.is_dir() {
                    match_in(&path, rest, depth, files)?;
                }
            } else if !(any_depth && path.is_dir()) {
                files.push(path.clone());
            }
        }
        // Links are not followed: one may lead back up.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if any_depth && is_folder && depth < MAX_DEPTH {
            match_in(&path, parts, depth + 1, files)?;
        }
    }
    Ok(())
}

/// What is in a folder, by name.
fn sorted(folder: &Path) -> Result<Vec<DirEntry>, DataError> {
    let failed = |error| DataError::io(folder, error);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
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
        assert_eq!(names(&["?.t[xy]t", "[!b]*.tar"]).unwrap(), ["c.txt", "a.tar", "{odd}.tar"]);
        let error = names(&["d*.tar"]).unwrap_err().to_string();
        assert!(error.contains("d*.tar: matches no file"), "{error}");
        assert!(names(&[]).unwrap_err().to_string().contains("shards: lists no files"));
    }

    /// The folders have names that would be patterns, malformed ones or such that match something else.
    #[test]
    fn folders_that_are_there_are_no_patterns() {
        let folder = TempDir::new().unwrap();
        for name in ["data [v2]", "data v", "{a", "[x-", "b*"] {
            let inside = folder.path().join(name).join("{0..1}");
            fs::create_dir_all(&inside).unwrap();
            fs::write(inside.join(format!("s-{}.tar", name.len())), b"").unwrap();
            let patterns = ["s-*.tar", "s-{1..9}.tar"].map(|pattern| inside.join(pattern));
            let found = expand("shards", &patterns[..1]).unwrap();
            assert_eq!(found, [inside.join(format!("s-{}.tar", name.len()))]);
            assert_eq!(expand("shards", &patterns[1..]).unwrap().len(), 9);
        }
    }

    #[cfg(unix)]
    #[test]
    fn patterns_in_folders_that_are_not_unicode_match() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;

        let folder = TempDir::new().unwrap();
        let inside = folder.path().join(OsStr::from_bytes(b"latin1_\xe4"));
        fs::create_dir(&inside).unwrap();
        let file = inside.join(OsStr::from_bytes(b"s-\xe4.tar"));
        fs::write(&file, b"").unwrap();
        for pattern in [inside.join("s-*.tar"), file.clone()] {
            assert_eq!(expand("shards", &[pattern]).unwrap(), [&*file]);
        }
        let missing = inside.join(OsStr::from_bytes(b"t-\xe4.tar"));
        assert!(expand("shards", &[missing]).unwrap_err().to_string().contains("does not exist"));
    }

    /// Other orders of shards would be other runs.
    #[test]
    fn files_come_in_the_order_of_the_glob_crate() {
        let folder = TempDir::new().unwrap();
        for name in
            ["b/x.tar", "a/x.tar", "a/b/x.tar", "x.tar", "c.tar", "b/c/d/x.tar", "b/y", ".h/x.tar"]
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        for pattern in ["**/x.tar", "*.tar", "*/*.tar", "?/**/*.tar", "[ab]/x*", "b/**/d/*"] {
            let pattern = folder.path().join(pattern);
            let theirs = glob::glob(pattern.to_str().unwrap()).unwrap();
            let theirs: Vec<PathBuf> = theirs.map(Result::unwrap).collect();
            assert!(!theirs.is_empty(), "{}", pattern.display());
            assert_eq!(
                expand("shards", std::slice::from_ref(&pattern)).unwrap(),
                theirs,
                "{}",
                pattern.display()
            );
        }
    }
}
