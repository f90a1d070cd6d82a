//! What a WebAssembly plugin may be granted beside memory and time.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a user grants to a WebAssembly plugin. Without an entry it has no files, no network, and a
/// clock that stands still.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Permissions {
    /// Folders that it sees.
    pub files: Vec<FileGrant>,
    /// Whether it may talk to other machines.
    pub network: bool,
    /// Whether it may read the time.
    pub clock: bool,
}

/// A folder that a plugin sees under the same path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileGrant {
    /// The folder.
    pub path: PathBuf,
    /// Whether it may write there, too.
    #[serde(default)]
    pub write: bool,
}
