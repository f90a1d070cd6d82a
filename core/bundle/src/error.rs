//! What can be wrong with a bundle. Every message says what, in which file and entry, and what
//! would be right.

use std::io;
use std::path::{Path, PathBuf};

use semver::Version;
use vitral_config::ConfigError;

use crate::contract::Contract;
use crate::digest::Digest;
use crate::signature::SignatureError;
use crate::target::Target;
use crate::text::list;

/// Why a bundle, or an installed plugin, cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The system refused to read or write a file or folder.
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
    /// Somebody else could decide what is in a file or folder that decides about trust.
    #[error("{} is not used: {problem}", path.display())]
    NotOwn {
        /// The file or folder.
        path: PathBuf,
        /// Who could, and what would be right.
        problem: String,
    },
    /// The file as a whole is no bundle, or is damaged.
    #[error("{bundle}: {problem}")]
    Damaged {
        /// The bundle, as the user knows it.
        bundle: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// One entry is not what a bundle may have.
    #[error("{bundle}: entry `{entry}` {problem}")]
    Entry {
        /// The bundle, as the user knows it.
        bundle: String,
        /// The entry's name, safe to show.
        entry: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A file does not have the bytes that it should have.
    #[error(
        "{bundle}: entry `{entry}` has changed: its SHA-256 is {}, but {by} says {}",
        digests.found, digests.expected
    )]
    Changed {
        /// The bundle, as the user knows it.
        bundle: String,
        /// The entry's name.
        entry: String,
        /// Who says what would be right.
        by: &'static str,
        /// The digests of the right bytes and of those that are there.
        digests: Box<Mismatch>,
    },
    /// A manifest or a lock is wrong; the error underlines where.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The plugin was built for a contract that this build does not have.
    #[error(
        "plugin `{plugin}` was built for version {needs} of the plugin contract, but this build \
         has {has}: {}", advice(*needs, *has)
    )]
    Contract {
        /// The plugin's name.
        plugin: String,
        /// The version that it was built for.
        needs: Contract,
        /// The version of this build.
        has: Contract,
    },
    /// The plugin was packed for an op set that this build does not have.
    #[error(
        "plugin `{plugin}` was packed for version {needs} of the ops of tensor programs, but this build has {has}: \
         use a newer vitral, or a version of the plugin that was packed by one as old as this"
    )]
    Ops {
        /// The plugin's name.
        plugin: String,
        /// The version that it was packed for.
        needs: u32,
        /// The version of this build.
        has: u32,
    },
    /// The plugin has no artifact for a target.
    #[error("plugin `{plugin}` {version} has no form for {target}, only for {}", list(has))]
    NoArtifact {
        /// The plugin's name.
        plugin: String,
        /// The plugin's version.
        version: Version,
        /// The target that was asked for.
        target: Target,
        /// The targets that there are artifacts for.
        has: Vec<Target>,
    },
    /// The signature is missing, of no trusted key, or wrong.
    #[error("{bundle}: {error}")]
    Signature {
        /// The bundle, as the user knows it.
        bundle: String,
        /// What is wrong with the signature.
        #[source]
        error: SignatureError,
    },
    /// A key cannot be read or used.
    #[error("{key}: {problem}")]
    Key {
        /// The key's file.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A secret key is protected by a password, and none was given.
    #[error("{key}: this secret key needs its password")]
    PasswordNeeded {
        /// The key's file.
        key: String,
    },
    /// The password is not that of the secret key.
    #[error("{key}: this is not the password of this secret key")]
    WrongPassword {
        /// The key's file.
        key: String,
    },
    /// What is to be packed does not make a bundle.
    #[error("plugin `{plugin}` cannot be packed: {problem}")]
    Pack {
        /// The plugin's name.
        plugin: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Another bundle of the same name and version is installed.
    #[error(
        "plugin `{name}` {version} is already installed, with other contents: its SHA256SUMS has \
         digest {}, the new one's {}; `--replace` replaces it",
        digests.expected, digests.found
    )]
    Conflict {
        /// The plugin's name.
        name: String,
        /// The plugin's version.
        version: Version,
        /// The digests of the checksums of what is installed and of what was to be.
        digests: Box<Mismatch>,
    },
    /// A plugin is not in the store.
    #[error("plugin `{name}` {version} is not installed in {}", store.display())]
    NotInstalled {
        /// The plugin's name.
        name: String,
        /// The plugin's version.
        version: Version,
        /// The store's folder.
        store: PathBuf,
    },
    /// Nothing is trusted of which trust could be taken back.
    #[error(
        "nothing that you trust has a fingerprint or digest that starts with `{0}`; `vitral plugin \
         keys` shows what you trust"
    )]
    NotTrusted(String),
    /// More than one thing could be meant.
    #[error("`{0}` is too short: give at least 8 digits, and as many as only one starts with")]
    TooShort(String),
    /// Nothing says where plugins are installed.
    #[error(
        "cannot tell where plugins are installed: set VITRAL_PLUGINS, XDG_DATA_HOME or HOME to an \
         absolute path"
    )]
    NoStore,
}

/// Two digests that should be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The digest that there should be.
    pub expected: Digest,
    /// The digest of what there is.
    pub found: Digest,
}

impl BundleError {
    pub(crate) fn io(action: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), error }
    }

    pub(crate) fn key(key: &str, problem: impl Into<String>) -> Self {
        Self::Key { key: key.to_owned(), problem: problem.into() }
    }

    pub(crate) fn changed(
        bundle: &str,
        entry: &str,
        by: &'static str,
        expected: Digest,
        found: Digest,
    ) -> Self {
        let digests = Box::new(Mismatch { expected, found });
        Self::Changed { bundle: bundle.to_owned(), entry: entry.to_owned(), by, digests }
    }

    pub(crate) fn damaged(bundle: &str, problem: impl Into<String>) -> Self {
        Self::Damaged { bundle: bundle.to_owned(), problem: problem.into() }
    }

    pub(crate) fn entry(
        bundle: &str,
        entry: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self::Entry { bundle: bundle.to_owned(), entry: entry.into(), problem: problem.into() }
    }
}

fn advice(needs: Contract, has: Contract) -> &'static str {
    match needs > has {
        true => "use a newer Vitral, or an older version of the plugin",
        false => "use a newer version of the plugin",
    }
}
