//! WASI for components of other languages: there, but with nothing behind it that the user has not
//! granted.

use std::time::Duration;

use vitral_seed::Seed;
use wasmtime_wasi::{
    Deterministic, FsPerms, HostMonotonicClock, HostWallClock, WasiCtx, p2::pipe::MemoryOutputPipe,
};

use crate::Permissions;

/// The most bytes that a plugin may print.
const MAX_OUTPUT: usize = 64 << 10;
/// The most random bytes at once.
const MAX_RANDOM: u64 = 1 << 20;

/// A clock that stands still.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// What an instance sees of the system. Its random numbers are always the same.
///
/// # Errors
/// A granted folder cannot be opened.
pub(super) fn context(permissions: &Permissions) -> Result<WasiCtx, String> {
    let mut builder = WasiCtx::builder();
    builder.allow_blocking_current_thread(false);
    builder.stdout(MemoryOutputPipe::new(MAX_OUTPUT)).stderr(MemoryOutputPipe::new(MAX_OUTPUT));
    let random = |name: &str| {
        let values = (0..512_u64)
            .flat_map(|index| Seed::new(0).named(name).indexed(index).value().to_le_bytes());
        Deterministic::new(values.collect())
    };
    builder.secure_random(random("secure")).insecure_random(random("insecure"));
    builder.insecure_random_seed(0).max_random_size(MAX_RANDOM);
    if !permissions.clock {
        builder.wall_clock(Stopped).monotonic_clock(Stopped);
    }
    if permissions.network {
        builder.inherit_network().allow_ip_name_lookup(true).allow_tcp(true).allow_udp(true);
    }
    for grant in &permissions.files {
        let path = &grant.path;
        let permissions = if grant.write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        builder
            .preopened_dir(path, path.to_string_lossy(), permissions)
            .map_err(|error| format!("the granted folder {}: {error:#}", path.display()))?;
    }
    Ok(builder.build())
}
