//! How this machine builds Rust, natively and for WebAssembly.

use std::process::{Command, Stdio};

use crate::{AuthorError, Language, Progress};

/// Finds a way to build for WebAssembly and says which environment it needs.
const SCRIPT: &str = include_str!("../../../../sdk/wasm-toolchain");

/// The environment in which `cargo build` builds for WebAssembly.
///
/// # Errors
/// There is no way here; the error says how to get one.
pub(super) fn environment(progress: Progress) -> Result<Vec<(String, String)>, AuthorError> {
    let output = Command::new("bash")
        .args(["-c", SCRIPT, "wasm-toolchain"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| AuthorError::Start {
            program: "bash".into(),
            error,
            help: "it is what the search for a WebAssembly toolchain is written in",
        })?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(none(said.trim_end().to_owned()));
    }
    said.lines().for_each(progress);
    Ok(variables(&String::from_utf8_lossy(&output.stdout)))
}

/// The script's output: one `KEY=VALUE` a line.
fn variables(output: &str) -> Vec<(String, String)> {
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    };
    output.lines().filter_map(pair).collect()
}

/// The target triple that rustc builds for by itself.
///
/// # Errors
/// There is no rustc.
pub(super) fn host() -> Result<String, AuthorError> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(&rustc).arg("-vV").stdin(Stdio::null()).output();
    let output = output.map_err(|error| AuthorError::Start {
        program: rustc,
        error,
        help: "Rust comes from https://rustup.rs",
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| none("rustc names no host".into()))
}

fn none(problem: String) -> AuthorError {
    AuthorError::Toolchain { language: Language::Rust, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_variables() {
        let output = "CARGO_BUILD_TARGET=wasm32-unknown-unknown\nFLAGS=a=b c\n\n";
        let pairs = variables(output);
        let wanted = [("CARGO_BUILD_TARGET", "wasm32-unknown-unknown"), ("FLAGS", "a=b c")];
        assert_eq!(pairs, wanted.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
