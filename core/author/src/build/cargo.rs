//! Cargo: what a plugin's crate is, and how it is compiled.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;
use vitral_files::Kind;

use super::tool;
use crate::{AuthorError, Progress, files};

/// A crate that becomes a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crate {
    pub(super) folder: PathBuf,
    pub(super) name: String,
    pub(super) target_dir: PathBuf,
    manifest: PathBuf,
}

/// One way to compile it.
pub(super) struct Profile {
    /// For messages.
    pub(super) what: &'static str,
    pub(super) environment: Vec<(String, String)>,
    pub(super) target_dir: PathBuf,
}

/// What `cargo metadata` says.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// A line of `cargo build --message-format=json`. Other lines have no file names.
#[derive(Deserialize)]
struct Message {
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// A list of the files that something was built of.
const LIST: Kind = Kind::new("a list of source files", 16 << 20);
const CDYLIB: &str = "cdylib";
const HELP: &str = "Rust comes from https://rustup.rs";
/// How the libraries end that are plugins.
const EXTENSIONS: [&str; 4] = ["wasm", "so", "dylib", "dll"];

impl Crate {
    /// Asks cargo what is in a folder.
    pub(super) fn read(folder: &Path, offline: bool) -> Result<Self, AuthorError> {
        let wrong = |problem: String| AuthorError::Source { folder: folder.to_owned(), problem };
        let manifest = folder.join("Cargo.toml");
        if !manifest.is_file() {
            let help = "there is no Cargo.toml; `vitral plugin new` makes a crate to start from";
            return Err(wrong(help.into()));
        }
        let manifest = manifest.canonicalize().map_err(AuthorError::io("find", &manifest))?;
        let mut command = cargo(folder, offline);
        command.args(["metadata", "--no-deps", "--format-version=1"]);
        let output = command.output().map_err(cannot_start)?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
            return Err(AuthorError::Tool { what: "reading the crate", output });
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)
            .map_err(|error| wrong(format!("cargo describes it strangely: {error}")))?;
        let package = metadata.packages.into_iter().find(|package| {
            package.manifest_path.canonicalize().is_ok_and(|path| path == manifest)
        });
        let package = package.ok_or_else(|| wrong("Cargo.toml has no package".into()))?;
        let is_cdylib = |target: &Target| target.crate_types.iter().any(|it| it == CDYLIB);
        if !package.targets.iter().any(is_cdylib) {
            let problem = "its library is not a plugin: Cargo.toml needs `crate-type = [\"cdylib\", \
                           \"rlib\"]` under `[lib]`";
            return Err(wrong(problem.into()));
        }
        Ok(Self {
            folder: folder.to_owned(),
            name: package.name,
            target_dir: metadata.target_directory,
            manifest,
        })
    }

    /// Compiles the library and says where it is.
    pub(super) fn build(
        &self,
        profile: &Profile,
        offline: bool,
        progress: Progress,
    ) -> Result<PathBuf, AuthorError> {
        let mut command = cargo(&self.folder, offline);
        command
            .args(["build", "--release", "--lib", "--message-format=json-render-diagnostics"])
            .arg("--target-dir")
            .arg(&profile.target_dir);
        if profile.environment.iter().any(|(key, _)| key == "RUSTFLAGS") {
            // This would win over it.
            command.env_remove("CARGO_ENCODED_RUSTFLAGS");
        }
        // What is built is for this machine, unless the profile says otherwise.
        command.env_remove("CARGO_BUILD_TARGET");
        command.envs(profile.environment.iter().map(|(key, value)| (key, value)));
        let messages = tool::run(&mut command, profile.what, HELP, progress)?;
        self.library(&messages).ok_or_else(|| AuthorError::Source {
            folder: self.folder.clone(),
            problem: "cargo built no library".into(),
        })
    }

    /// The crate's own library among what cargo says that it has built.
    fn library(&self, messages: &str) -> Option<PathBuf> {
        let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
        let own = messages.filter(|message: &Message| {
            let is_cdylib =
                |target: &Target| target.crate_types.iter().any(|crate_type| crate_type == CDYLIB);
            message.manifest_path.as_ref() == Some(&self.manifest)
                && message.target.as_ref().is_some_and(is_cdylib)
        });
        let is_library = |path: &PathBuf| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
        };
        own.flat_map(|message| message.filenames).find(is_library)
    }
}

/// The files of which Cargo has built a library, as its list beside it names them, `library.d`: those of crates on this
/// machine, and none of published ones.
pub(super) fn sources_of(library: &Path) -> Vec<PathBuf> {
    let list = files::read(&library.with_extension("d"), LIST).unwrap_or_default();
    listed(&String::from_utf8_lossy(&list))
}

/// The paths after the colon of a rule of `make`, in which blanks have a backslash before them.
fn listed(rule: &str) -> Vec<PathBuf> {
    let Some((_, list)) = rule.split_once(": ") else { return Vec::new() };
    let (mut paths, mut path, mut letters) = (Vec::new(), String::new(), list.chars().peekable());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&' ') => path.extend(letters.next()),
            letter if letter.is_whitespace() => paths.push(std::mem::take(&mut path)),
            letter => path.push(letter),
        }
    }
    paths.push(path);
    paths.into_iter().filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

fn cargo(folder: &Path, offline: bool) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(folder).stdin(Stdio::null());
    if offline {
        command.arg("--offline");
    }
    command
}

fn cannot_start(error: std::io::Error) -> AuthorError {
    AuthorError::Start { program: "cargo".into(), error, help: HELP }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_(manifest: &str) -> Crate {
        Crate {
            folder: "/p".into(),
            name: "window".into(),
            target_dir: "/p/target".into(),
            manifest: manifest.into(),
        }
    }

    #[test]
    fn paths_of_a_rule_may_have_blanks() {
        let paths = listed("/t/libx.so: /p/src/lib.rs /my\\ crate/src/lib.rs C:\\x\\lib.rs\n");
        assert_eq!(
            paths,
            ["/p/src/lib.rs", "/my crate/src/lib.rs", "C:\\x\\lib.rs"].map(PathBuf::from)
        );
        assert!(listed("").is_empty() && listed("/t/libx.so:\n").is_empty());
    }

    #[test]
    fn the_library_is_found_among_cargos_messages() {
        let messages = r#"
            {"reason":"compiler-artifact","manifest_path":"/sdk/Cargo.toml","target":{"crate_types":["cdylib"]},"filenames":["/t/other.so"]}
            {"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","target":{"crate_types":["bin"]},"filenames":["/t/build.so"]}
            {"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","target":{"crate_types":["cdylib","rlib"]},"filenames":["/t/libwindow.rlib","/t/libwindow.so"]}
            {"reason":"build-finished","success":true}
            no message
        "#;
        assert_eq!(crate_("/p/Cargo.toml").library(messages), Some("/t/libwindow.so".into()));
        assert_eq!(crate_("/q/Cargo.toml").library(messages), None);
    }

    #[test]
    fn a_folder_must_have_a_crate_that_becomes_a_library() {
        let folder = tempfile::tempdir().unwrap();
        let read = || Crate::read(folder.path(), true).unwrap_err().to_string();
        assert!(read().contains("vitral plugin new"), "{}", read());
        let manifest = "[package]\nname = \"x\"\nedition = \"2024\"\n[workspace]\n";
        std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/lib.rs"), "").unwrap();
        assert!(read().contains("crate-type"), "{}", read());
        std::fs::write(folder.path().join("Cargo.toml"), "[package\n").unwrap();
        assert!(read().contains("reading the crate failed"), "{}", read());
    }
}
