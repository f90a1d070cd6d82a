//! What can go wrong with registries and indexes.

use std::io;
use std::path::{Path, PathBuf};

use vitral_bundle::BundleError;

/// Why a registry or an index does not give what was asked of it. Every message says what would be right.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// This build has no HTTP.
    #[error(
        "this vitral was built without registry support; `cargo build --release --features \
         registry` builds one that has it"
    )]
    NotBuilt,
    /// Nobody answers, or not to the end.
    #[error("{registry} cannot be reached: {problem}{help}")]
    Unreachable {
        /// The machine.
        registry: String,
        /// What the system says.
        problem: String,
        /// What to try, from a new line.
        help: String,
    },
    /// The registry does not let this user do this.
    #[error(
        "{registry} does not allow this {}; `docker login {registry}` stores a user and password \
         that do in Docker's configuration, which is read here", shown_user(user.as_deref())
    )]
    Unauthorised {
        /// The registry.
        registry: String,
        /// As whom it was asked.
        user: Option<String>,
    },
    /// Docker's configuration has credentials that cannot be used.
    #[error("the credentials for {registry} in Docker's configuration cannot be used: {problem}")]
    Credentials {
        /// The registry.
        registry: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// There is no such thing.
    #[error("{what} does not exist{help}")]
    NotFound {
        /// What was looked for.
        what: String,
        /// What there is instead, from a new line.
        help: String,
    },
    /// The registry says no.
    #[error("{registry} refuses: {problem}")]
    Refused {
        /// The registry.
        registry: String,
        /// What it says.
        problem: String,
    },
    /// What came is not what was announced.
    #[error(
        "{what} is damaged: its SHA-256 is {found}, but should be {expected}; nothing of it was kept"
    )]
    Damaged {
        /// What was transferred.
        what: String,
        /// The digest that it should have.
        expected: String,
        /// The digest that it has.
        found: String,
    },
    /// A version was published again with something else in it.
    #[error(
        "{reference} has moved: it was {known} before, and is {found} now; a version that is published does \
         not change, so ask its author what happened, or take the other one by name: {place}@{found}"
    )]
    Moved {
        /// The version.
        reference: String,
        /// Registry and repository.
        place: String,
        /// Its digest before.
        known: String,
        /// Its digest now.
        found: String,
    },
    /// A version is there already.
    #[error(
        "{reference} already exists, with other contents ({digest}); publish a new version, or \
         replace it with --replace, which those who have it will be told of"
    )]
    Exists {
        /// The version.
        reference: String,
        /// The digest of what is there.
        digest: String,
    },
    /// What is there is no plugin.
    #[error("{what} is not a plugin that can be used: {problem}")]
    NoPlugin {
        /// What was looked at.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A command does not fit what it is about.
    #[error("{0}")]
    Usage(String),
    /// An index is not what it should be.
    #[error("{index}: {problem}")]
    Index {
        /// Where it is.
        index: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The system refused to read or write a file.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A bundle is wrong.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl RegistryError {
    pub(crate) fn io(action: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), error }
    }
}

fn shown_user(user: Option<&str>) -> String {
    user.map_or_else(|| "without a login".to_owned(), |user| format!("as {user:?}"))
}
