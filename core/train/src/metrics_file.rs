//! `metrics.jsonl`: which of its lines stay when a run goes on, and what becomes of lines that are none.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use serde_json::Value;

use crate::{Error, error::AtPath, files::write_atomically};

/// What a run reports, a line of JSON each.
pub(crate) const METRICS: &str = "metrics.jsonl";
/// Lines that were found damaged.
const DAMAGED: &str = "metrics.damaged.jsonl";

/// Opens the metrics of a run to add to them.
pub(crate) fn open(run: &Path) -> Result<File, Error> {
    let path = run.join(METRICS);
    File::options().create(true).append(true).open(&path).at(&path)
}

/// Takes out the lines that are of later steps.
///
/// # Errors
/// As [`keep`].
pub(crate) fn keep_until(run: &Path, step: u64) -> Result<Option<String>, Error> {
    keep(run, |line| line["step"].as_u64().is_some_and(|of_line| of_line <= step))
}

/// Keeps the lines of which `is_kept` says so. What is no line, as the half of one that a killed run
/// wrote, is set aside in a file of its own; what was is returned in a sentence.
///
/// # Errors
/// The metrics cannot be read or written; they are then as they were.
pub(crate) fn keep(run: &Path, is_kept: impl Fn(&Value) -> bool) -> Result<Option<String>, Error> {
    let path = run.join(METRICS);
    let found = read(&path).at(&path)?;
    let (mut kept, mut damaged, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for (number, line) in (1..).zip(found.split(|byte| *byte == b'\n')) {
        let to = match serde_json::from_slice::<Value>(line) {
            Ok(value) if value["step"].is_u64() => is_kept(&value).then_some(&mut kept),
            _ if line.is_empty() => None,
            _ => {
                numbers.push(number);
                Some(&mut damaged)
            }
        };
        if let Some(to) = to {
            to.extend_from_slice(line);
            to.push(b'\n');
        }
    }
    if !damaged.is_empty() {
        // Before they are taken out, so that they are in one place at least.
        let aside = run.join(DAMAGED);
        let before = read(&aside).at(&aside)?;
        write_atomically(&aside, &[before, damaged].concat()).at(&aside)?;
    }
    if kept != found {
        write_atomically(&path, &kept).at(&path)?;
    }
    Ok(numbers.first().map(|first| told(numbers.len(), *first, &path)))
}

fn told(count: usize, first: usize, path: &Path) -> String {
    let (file, aside) = (path.display(), path.with_file_name(DAMAGED));
    let what = match count {
        1 => format!("line {first} of {file} is damaged or half written, and was"),
        _ => format!("{count} lines of {file}, from line {first} on, are damaged, and were"),
    };
    format!("{what} set aside in {}", aside.display())
}

/// What a file has; nothing if it is not there.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 3] = [
        r#"{"kind":"step","step":1}"#,
        r#"{"kind":"eval","step":2}"#,
        r#"{"kind":"step","step":3}"#,
    ];

    /// The metrics of a run after it went on from step 2, what was set aside, and what was said.
    fn went_on(metrics: &[u8]) -> (Vec<u8>, Vec<u8>, Option<String>) {
        let run = tempfile::tempdir().unwrap();
        fs::write(run.path().join(METRICS), metrics).unwrap();
        let told = keep_until(run.path(), 2).unwrap();
        let read = |name: &str| read(&run.path().join(name)).unwrap();
        (read(METRICS), read(DAMAGED), told)
    }

    fn lines(lines: &[&str]) -> Vec<u8> {
        lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
    }

    #[test]
    fn later_lines_are_forgotten() {
        let (kept, aside, told) = went_on(&lines(&LINES));
        assert_eq!((kept, aside, told), (lines(&LINES[..2]), Vec::new(), None));
    }

    #[test]
    fn what_is_no_line_is_set_aside_and_told() {
        let [first, second, third] = LINES;
        let damaged = b"{\"kind\":\"step\",\xff\"step\":1}\n";
        let half = &third.as_bytes()[..10];
        let written = [&lines(&[first])[..], damaged, &lines(&[second]), half].concat();
        let (kept, aside, told) = went_on(&written);
        assert_eq!(kept, lines(&[first, second]));
        assert_eq!(aside, [damaged, half, b"\n"].concat());
        let told = told.unwrap();
        assert!(told.starts_with("2 lines of ") && told.contains("from line 2 on"), "{told}");
        assert!(told.ends_with(DAMAGED), "{told}");
        // What is JSON, but of no run, and a whole line without its end.
        let written = [&lines(&["7", first])[..], second.as_bytes()].concat();
        let (kept, aside, told) = went_on(&written);
        assert_eq!((kept, aside), (lines(&[first, second]), lines(&["7"])));
        assert!(told.unwrap().starts_with("line 1 of "));
    }

    #[test]
    fn what_was_set_aside_before_stays() {
        let run = tempfile::tempdir().unwrap();
        for damaged in ["one", "two"] {
            fs::write(run.path().join(METRICS), format!("{}\n{damaged}\n", LINES[0])).unwrap();
            keep_until(run.path(), 2).unwrap();
        }
        assert_eq!(fs::read(run.path().join(DAMAGED)).unwrap(), lines(&["one", "two"]));
    }

    #[test]
    fn metrics_that_cannot_be_read_are_an_error_and_stay() {
        let run = tempfile::tempdir().unwrap();
        fs::create_dir(run.path().join(METRICS)).unwrap();
        assert!(matches!(keep_until(run.path(), 2), Err(Error::Io { .. })));
        assert!(run.path().join(METRICS).is_dir());
    }
}
