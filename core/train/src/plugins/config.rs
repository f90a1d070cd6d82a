//! The `plugins` part of an experiment: where a plugin is taken from, and what it may do.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_bundle::Reference;
use vitral_host::Permissions;

/// How one plugin is opened. Without an entry here, it is the one that is compiled in, or else the
/// newest version that is installed, sandboxed, and it is granted nothing. What is written here is
/// what the experiment would have; the user decides about it (`--allow`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PluginConfig {
    /// A bundle (`name-version.vitral`) to take the plugin from, in place of the installed ones.
    #[serde(with = "vitral_config::path_text::option")]
    #[schemars(with = "Option<PathBuf>")]
    pub bundle: Option<PathBuf>,
    /// A plugin's folder, its component (`.wasm`) or its bundle, to take the plugin from. A folder is built when its
    /// source has changed, which needs your permission (`--allow NAME:run,build`).
    #[serde(with = "vitral_config::path_text::option")]
    #[schemars(with = "Option<PathBuf>")]
    pub path: Option<PathBuf>,
    /// A registry to take the plugin from, with the version: `ghcr.io/lab/blur@1.2`, `ghcr.io/lab/blur:1.2.0`
    /// or `ghcr.io/lab/blur@sha256:...`. What has been installed from there counts, and is fetched else.
    #[schemars(with = "Option<String>")]
    pub from: Option<Reference>,
    /// Which form of the plugin runs. `Native` trusts its code with everything that you may do, so
    /// that you are asked.
    pub run: Option<RunAs>,
    /// What a WebAssembly plugin may have beside memory and time, of what its manifest asks for; you
    /// are asked. Folders are named by their whole path.
    pub grant: Permissions,
    /// Memory of each instance of a WebAssembly plugin, in MiB; the plugin's own limit if none. You
    /// are asked about more than 64.
    #[schemars(range(min = 1, max = 4096))]
    pub memory_mib: Option<u32>,
    /// Time of each call of a WebAssembly plugin, in milliseconds; the plugin's own limit if none.
    /// You are asked about more than 1000.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub call_ms: Option<u32>,
}

/// The form in which a plugin runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RunAs {
    /// As a part of this program.
    CompiledIn,
    /// As a sandboxed WebAssembly component.
    Wasm,
    /// As a native library, which is trusted.
    Native,
}
