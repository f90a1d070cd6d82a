//! What can go wrong in the author's loop, in words for the author.

use std::{io, path::PathBuf};

use vitral_bundle::BundleError;
use vitral_config::ConfigError;
use vitral_host::{CallError, OpenError, SettingError};

use crate::Language;

/// Why a step of the author's loop could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorError {
    /// A plugin cannot have this name.
    #[error("a plugin cannot be called `{name}`: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A new plugin would be written over something.
    #[error("{} is there already and not empty; a new plugin needs a folder of its own", .0.display())]
    NotEmpty(PathBuf),
    /// The system refused to read or write.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A program that is needed could not be started.
    #[error("cannot run `{program}`: {error}; {help}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        error: io::Error,
        /// What would help.
        help: &'static str,
    },
    /// A program that builds failed.
    #[error("{what} failed:\n{output}")]
    Tool {
        /// What was built.
        what: &'static str,
        /// What the program wrote.
        output: String,
    },
    /// There is no way to build this language for WebAssembly.
    #[error("this machine cannot build {language} for WebAssembly yet:\n{problem}")]
    Toolchain {
        /// The plugin's language.
        language: Language,
        /// What is missing, and how to get it.
        problem: String,
    },
    /// What is in the folder does not become a plugin.
    #[error("{}: {problem}", folder.display())]
    Source {
        /// The plugin's folder.
        folder: PathBuf,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A WebAssembly module does not become a component.
    #[error("{} does not become a component: {problem}", module.display())]
    Component {
        /// The module.
        module: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There is no built plugin where one should be.
    #[error("{}: {problem}", path.display())]
    NothingBuilt {
        /// Where it was looked for.
        path: PathBuf,
        /// What is missing, and how it is made.
        problem: String,
    },
    /// The plugin has no form that the caller allows to open.
    #[error("plugin `{plugin}` has {has}, and that may not be opened here: {help}")]
    NoForm {
        /// The plugin.
        plugin: String,
        /// The forms that it has.
        has: &'static str,
        /// What would help.
        help: &'static str,
    },
    /// A bundle, or what becomes one, is not right.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// `plugin.ron` is not right.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The plugin cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The plugin does not take these settings.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The plugin failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl AuthorError {
    /// Wraps what the system said about a path.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { action, path, error }
    }
}
