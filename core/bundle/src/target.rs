//! What an artifact runs on.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an artifact runs on.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub enum Target {
    /// Any machine, as a WebAssembly component.
    Wasm,
    /// Machines of a target triple, as in `Native("x86_64-unknown-linux-gnu")`.
    Native(String),
}

impl Target {
    /// The machine that this program was built for.
    pub fn host() -> Self {
        Self::Native(env!("VITRAL_TARGET").to_owned())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wasm => f.write_str("WebAssembly"),
            Self::Native(triple) => f.write_str(triple),
        }
    }
}
