//! Programs that build plugins: where they are, and what they say.

use std::{
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    thread,
};

use crate::{AuthorError, Language, Progress};

/// A program that builds plugins in a language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    pub(super) language: Language,
    /// The environment variable that names it, words apart.
    pub(super) variable: &'static str,
    /// What it may be called, in the order in which they are tried.
    pub(super) candidates: &'static [&'static str],
    /// What shows that it is there and does what it should.
    pub(super) trial: &'static [&'static str],
    /// How to get it.
    pub(super) help: &'static str,
}

impl Tool {
    /// The words that start it: those of its variable, or the first candidate that passes the trial.
    ///
    /// # Errors
    /// There is none, or the one that is named does not do it.
    pub(super) fn find(&self) -> Result<Vec<OsString>, AuthorError> {
        let missing = |problem: String| AuthorError::Toolchain { language: self.language, problem };
        if let Some(named) = std::env::var_os(self.variable).filter(|named| !named.is_empty()) {
            let words = words(&named);
            return self.passes(&words).map(|()| words).map_err(|problem| {
                missing(format!(
                    "`{}`, which {} names, {problem}",
                    named.to_string_lossy(),
                    self.variable
                ))
            });
        }
        let candidates = self.candidates.iter().map(|candidate| words(OsStr::new(candidate)));
        candidates.into_iter().find(|words| self.passes(words).is_ok()).ok_or_else(|| {
            missing(format!(
                "{}, or name it in {} (looked for {})",
                self.help,
                self.variable,
                self.candidates.join(", ")
            ))
        })
    }

    fn passes(&self, words: &[OsString]) -> Result<(), String> {
        let mut command = command(words);
        let output = command.args(self.trial).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("cannot be run: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(format!("does not do what is needed: {}", said.trim()))
            }
        }
    }
}

/// Words apart from each other. A path with blanks needs a script of its own.
fn words(text: &OsStr) -> Vec<OsString> {
    match text.to_str() {
        Some(text) => text.split_whitespace().map(OsString::from).collect(),
        None => vec![text.to_owned()],
    }
}

/// A command that starts with words, of which there is one at least.
pub(super) fn command(words: &[OsString]) -> Command {
    let mut command = Command::new(words.first().map_or(OsStr::new(""), OsString::as_os_str));
    command.args(words.iter().skip(1));
    command
}

/// Runs a program to its end, and gives what it wrote to its standard output. Its lines for people are told at
/// once.
///
/// # Errors
/// It cannot be started, or fails; the error has its lines.
pub(super) fn run(
    command: &mut Command,
    what: &'static str,
    help: &'static str,
    progress: Progress,
) -> Result<String, AuthorError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let cannot_run = |error| AuthorError::Start { program: program.clone(), error, help };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(cannot_run)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Both are read at the same time, as a full pipe would stop the program.
    let output = thread::spawn(move || {
        let mut text = Vec::new();
        // What could not be read is not there, which is noticed when the result is missing.
        let _ = stdout.map(|mut stdout| stdout.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut said = String::new();
    for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
        let line = String::from_utf8_lossy(&line.unwrap_or_default()).into_owned();
        progress(&line);
        said.push_str(&line);
        said.push('\n');
    }
    let status = child.wait().map_err(cannot_run)?;
    let output = output.join().unwrap_or_default();
    match status.success() {
        true => Ok(output),
        // Some tell their errors there.
        false if said.trim().is_empty() => Err(AuthorError::Tool { what, output }),
        false => Err(AuthorError::Tool { what, output: said.trim_end().to_owned() }),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const TOOL: Tool = Tool {
        language: Language::C,
        variable: "VITRAL_TEST_TOOL",
        candidates: &["no-such-program --any", "sh -c"],
        trial: &["true"],
        help: "install a shell",
    };

    #[test]
    fn the_first_candidate_that_passes_the_trial_is_taken() {
        assert_eq!(TOOL.find().unwrap(), ["sh", "-c"]);
        let error = Tool { trial: &["false"], ..TOOL }.find().unwrap_err().to_string();
        for part in ["build C for WebAssembly", "install a shell", "VITRAL_TEST_TOOL", "sh -c"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_a_program_says_is_told_and_kept() {
        let mut lines = Vec::new();
        let mut of = |script: &str| {
            let mut command = Command::new("sh");
            run(command.args(["-c", script]), "it", "", &mut |line| lines.push(line.to_owned()))
        };
        assert_eq!(of("echo one; echo two >&2").unwrap(), "one\n");
        let error = of("echo why >&2; exit 1").unwrap_err().to_string();
        assert_eq!(error, "it failed:\nwhy");
        let error = of("echo because; exit 1").unwrap_err().to_string();
        assert_eq!(error, "it failed:\nbecause\n");
        assert_eq!(lines, ["two", "why"]);
    }
}
