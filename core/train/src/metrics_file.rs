//! `metrics.jsonl`: which of its lines stay when a run goes on, and what becomes of lines that are none.

use std::{fs::File, io, path::Path};

use serde_json::Value;
use vitral_files::{Access, Existing, Kind};

use crate::{Error, error::AtPath, metrics_line::END};

/// What a run reports, a line of JSON each.
pub(crate) const METRICS: &str = "metrics.jsonl";
/// Lines that were found damaged.
const DAMAGED: &str = "metrics.damaged.jsonl";

/// Opens the metrics of a run to add to them.
pub(crate) fn open(run: &Path) -> Result<File, Error> {
    let path = run.join(METRICS);
    vitral_files::append(&path).at(&path)
}

/// All lines that are whole.
///
/// # Errors
/// The metrics cannot be read.
pub(crate) fn lines(run: &Path) -> Result<Vec<Value>, Error> {
    let path = run.join(METRICS);
    let found = read(&path).at(&path)?;
    let lines = found.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Whether there is a line of a kind and step.
///
/// # Errors
/// The metrics cannot be read.
pub(crate) fn has(run: &Path, kind: &str, step: u64) -> Result<bool, Error> {
    let path = run.join(METRICS);
    let found = read(&path).at(&path)?;
    let mut lines = found.split(|byte| *byte == b'\n').map(serde_json::from_slice::<Value>);
    Ok(lines.any(|line| line.is_ok_and(|line| line["kind"] == kind && line["step"] == step)))
}

/// Takes out the lines that are of later steps, and the end, as the run goes on.
///
/// # Errors
/// As [`rewrite`].
pub(crate) fn keep_until(run: &Path, step: u64) -> Result<Option<String>, Error> {
    rewrite(run, |line| match line["step"].as_u64() {
        Some(of_line) if of_line <= step && line["kind"] != END => Fate::Stays,
        _ => Fate::Goes,
    })
}

/// Puts another line in the place of that of a kind and step.
///
/// # Errors
/// As [`rewrite`].
pub(crate) fn replace(
    run: &Path,
    kind: &str,
    step: u64,
    by: &Value,
) -> Result<Option<String>, Error> {
    rewrite(run, |line| match line["kind"] == kind && line["step"] == step {
        true => Fate::Becomes(by.to_string()),
        false => Fate::Stays,
    })
}

/// What becomes of a line.
enum Fate {
    Stays,
    Goes,
    Becomes(String),
}

/// Writes the metrics anew. What is no line, as the half of one that a killed run wrote, is set aside in a
/// file of its own; what was is returned in a sentence.
///
/// # Errors
/// The metrics cannot be read or written; they are then as they were.
fn rewrite(run: &Path, fate: impl Fn(&Value) -> Fate) -> Result<Option<String>, Error> {
    let path = run.join(METRICS);
    let found = read(&path).at(&path)?;
    let (mut kept, mut damaged, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for (number, line) in (1..).zip(found.split(|byte| *byte == b'\n')) {
        match serde_json::from_slice::<Value>(line) {
            Ok(value) if value["step"].is_u64() => match fate(&value) {
                Fate::Stays => add(&mut kept, line),
                Fate::Goes => {}
                Fate::Becomes(other) => add(&mut kept, other.as_bytes()),
            },
            _ if line.is_empty() => {}
            _ => {
                numbers.push(number);
                add(&mut damaged, line);
            }
        }
    }
    if !damaged.is_empty() {
        // Before they are taken out, so that they are in one place at least.
        let aside = run.join(DAMAGED);
        let before = read(&aside).at(&aside)?;
        write(&aside, &[before, damaged].concat()).at(&aside)?;
    }
    if kept != found {
        write(&path, &kept).at(&path)?;
    }
    Ok(numbers.first().map(|first| told(numbers.len(), *first, &path)))
}

fn add(lines: &mut Vec<u8>, line: &[u8]) {
    lines.extend_from_slice(line);
    lines.push(b'\n');
}

fn told(count: usize, first: usize, path: &Path) -> String {
    let (file, aside) = (path.display(), path.with_file_name(DAMAGED));
    let what = match count {
        1 => format!("line {first} of {file} is damaged or half written, and was"),
        _ => format!("{count} lines of {file}, from line {first} on, are damaged, and were"),
    };
    format!("{what} set aside in {}", aside.display())
}

fn write(path: &Path, lines: &[u8]) -> io::Result<()> {
    vitral_files::write(path, lines, Existing::Replace, Access::Usual)
}

/// What a file has; nothing if it is not there.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    match vitral_files::read(path, Kind::METRICS) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
    fn a_run_that_goes_on_has_not_ended() {
        let [first, second, _] = LINES;
        let end = r#"{"kind":"end","step":2,"reason":"done"}"#;
        let (kept, aside, told) = went_on(&lines(&[first, second, end]));
        assert_eq!((kept, aside, told), (lines(&[first, second]), Vec::new(), None));
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
    fn a_line_is_replaced_where_it_is() {
        let run = tempfile::tempdir().unwrap();
        fs::write(run.path().join(METRICS), lines(&LINES)).unwrap();
        let found =
            [("eval", 2), ("eval", 3)].map(|(kind, step)| has(run.path(), kind, step).unwrap());
        assert_eq!(found, [true, false]);
        let by = serde_json::json!({ "kind": "eval", "step": 2, "loss": 1 });
        replace(run.path(), "eval", 2, &by).unwrap();
        let expected = lines(&[LINES[0], &by.to_string(), LINES[2]]);
        assert_eq!(fs::read(run.path().join(METRICS)).unwrap(), expected);
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
