//! What a WebAssembly plugin may have.

use std::time::Duration;

use crate::Permissions;

/// What a WebAssembly plugin may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasmOptions {
    /// Memory of one instance, in bytes.
    pub memory: usize,
    /// Time of one call.
    pub time: Duration,
    /// Time of making an instance, describing, configuring and tracing, each.
    pub setup_time: Duration,
    /// Bytes that one call may give back.
    pub output: usize,
    /// What the user grants beside.
    pub permissions: Permissions,
}

impl Default for WasmOptions {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            time: Duration::from_secs(1),
            setup_time: Duration::from_secs(10),
            output: 64 << 20,
            permissions: Permissions::default(),
        }
    }
}
