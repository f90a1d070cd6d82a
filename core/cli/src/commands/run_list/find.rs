//! Where runs are.

use std::{
    cmp::Ordering,
    fs,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// Folders in folders that are looked into.
const DEPTH: usize = 4;

/// The runs in a folder, or that it is, in the order of their names. Links are not followed, and there are no
/// runs in runs.
pub fn find_runs(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    if is_run(folder) {
        return Ok(vec![folder.to_owned()]);
    }
    let entries = fs::read_dir(folder)
        .map_err(|error| Failure::Other(format!("{}: {error}", folder.display())))?;
    let mut runs = Vec::new();
    look_into(entries, DEPTH, &mut runs);
    runs.sort_by(|one, other| natural(&one.to_string_lossy(), &other.to_string_lossy()));
    Ok(runs)
}

fn look_into(entries: fs::ReadDir, depth: usize, runs: &mut Vec<PathBuf>) {
    for entry in entries.flatten() {
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if is_hidden || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        if is_run(&path) {
            runs.push(path);
        } else if depth > 1 {
            // What cannot be looked into has nothing to show.
            fs::read_dir(&path).into_iter().for_each(|inner| look_into(inner, depth - 1, runs));
        }
    }
}

/// A model alone has an experiment, but no metrics.
fn is_run(folder: &Path) -> bool {
    folder.join("config.ron").is_file() && folder.join("metrics.jsonl").is_file()
}

/// Compares texts with the numbers in them as numbers: `run-9` comes before `run-10`.
fn natural(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    while let (Some(first), Some(second)) = (one.chars().next(), other.chars().next()) {
        let [a, b] = [one, other].map(digits);
        let order = match a > 0 && b > 0 {
            true => {
                let [a, b] = [&one[..a], &other[..b]].map(|text| text.trim_start_matches('0'));
                a.len().cmp(&b.len()).then(a.cmp(b))
            }
            false => first.cmp(&second),
        };
        if order != Ordering::Equal {
            return order;
        }
        one = &one[a.max(first.len_utf8())..];
        other = &other[b.max(second.len_utf8())..];
    }
    one.len().cmp(&other.len())
}

fn digits(text: &str) -> usize {
    text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_compared_as_numbers() {
        let mut names = ["run-10", "run", "run-9", "run-010b", "a", "run-9/x", "ü"];
        names.sort_by(|one, other| natural(one, other));
        assert_eq!(names, ["a", "run", "run-9", "run-9/x", "run-10", "run-010b", "ü"]);
    }

    #[test]
    fn runs_are_found_in_folders_but_not_in_runs() {
        let folder = tempfile::tempdir().unwrap();
        let make = |path: &str, files: &[&str]| {
            let path = folder.path().join(path);
            fs::create_dir_all(&path).unwrap();
            files.iter().for_each(|name| fs::write(path.join(name), "").unwrap());
        };
        let run = ["config.ron", "metrics.jsonl"];
        make("b-2", &run);
        make("b-10/inner", &run);
        make("b-2/not/looked/into", &run);
        make("model", &run[..1]);
        make(".hidden", &run);
        make("1/2/3/4/5", &run);
        let found = |path: &Path| -> Vec<String> {
            let found = find_runs(path).unwrap().into_iter();
            let name = |run: PathBuf| run.strip_prefix(path).unwrap().display().to_string();
            found.map(name).collect()
        };
        assert_eq!(found(folder.path()), ["b-2", "b-10/inner"]);
        assert_eq!(found(&folder.path().join("b-2")), [""]);
        assert!(find_runs(&folder.path().join("nothing")).is_err());
    }
}
