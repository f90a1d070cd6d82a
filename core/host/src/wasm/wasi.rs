//! WASI for components of other languages: there, but with nothing behind it that the user has not
//! granted.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::AsyncWrite;
use vitral_seed::Seed;
use wasmtime::{Result, bail, component::HasData};
use wasmtime_wasi::{
    FsPerms, HostMonotonicClock, HostWallClock, WasiCtx,
    cli::{IsTerminal, StdoutStream},
    p2::bindings::random::{insecure, insecure_seed, random},
};

use super::network::Network;
use crate::Permissions;

/// The most bytes that a plugin may print in one call; more is left out.
const MAX_PRINTED: usize = 64 << 10;
/// The most random bytes at once.
const MAX_RANDOM: u64 = 1 << 20;

/// The most that is kept of the end of what a plugin wrote to its standard error.
const MAX_LAST: usize = 2 << 10;
/// The most lines of that.
const MAX_LAST_LINES: usize = 12;

/// What an instance sees of the system.
pub(super) struct System {
    pub(super) wasi: WasiCtx,
    pub(super) network: Network,
    pub(super) random: Random,
    printed: Printed,
    /// What of it went to the standard error.
    errors: Arc<Mutex<Vec<u8>>>,
}

impl System {
    /// # Errors
    /// A granted folder cannot be opened.
    pub(super) fn new(permissions: &Permissions) -> Result<Self, String> {
        let (printed, errors) = (Printed::default(), Arc::default());
        let mut builder = WasiCtx::builder();
        let to_errors = Printed { errors: Some(Arc::clone(&errors)), ..printed.clone() };
        builder.stdout(printed.clone()).stderr(to_errors);
        if !permissions.clock {
            builder.wall_clock(Stopped).monotonic_clock(Stopped);
        }
        let network = Network::new(&permissions.network);
        network.allow(&mut builder);
        for grant in &permissions.files {
            let path = &grant.path;
            let permissions = if grant.write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            builder
                .preopened_dir(path, path.to_string_lossy(), permissions)
                .map_err(|error| format!("the granted folder {}: {error:#}", path.display()))?;
        }
        let random = Random::new(Seed::new(0));
        Ok(Self { wasi: builder.build(), network, random, printed, errors })
    }

    /// A call begins, with its own random numbers.
    pub(super) fn begin(&mut self, seed: Seed) {
        self.random = Random::new(seed);
        whole(&self.errors).clear();
    }

    /// The end of what this call wrote to its standard error, where languages say why they give up.
    pub(super) fn last_words(&self) -> String {
        let errors = whole(&self.errors);
        let text = String::from_utf8_lossy(&errors[errors.len().saturating_sub(MAX_LAST)..]);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(MAX_LAST_LINES)..].join("\n")
    }

    /// Takes what was printed, line by line.
    pub(super) fn printed(&self, line: impl FnMut(&str)) {
        let printed = std::mem::take(&mut *whole(&self.printed.all));
        String::from_utf8_lossy(&printed).lines().for_each(line);
    }
}

/// Random numbers that follow from the call, so that no other call and no order of calls changes
/// them.
pub(super) struct Random {
    seed: Seed,
    drawn: u64,
}

impl HasData for Random {
    type Data<'a> = &'a mut Self;
}

impl Random {
    fn new(seed: Seed) -> Self {
        Self { seed: seed.named("wasi"), drawn: 0 }
    }

    const fn next(&mut self) -> u64 {
        self.drawn += 1;
        self.seed.indexed(self.drawn).value()
    }

    fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        if count > MAX_RANDOM {
            bail!("it asked for {count} random bytes, but may have {MAX_RANDOM} at once");
        }
        let mut bytes = vec![0; count as usize];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(bytes)
    }
}

impl random::Host for Random {
    fn get_random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        self.bytes(count)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        Ok(self.next())
    }
}

impl insecure::Host for Random {
    fn get_insecure_random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        self.bytes(count)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        Ok(self.next())
    }
}

impl insecure_seed::Host for Random {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((self.next(), self.next()))
    }
}

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

/// What a plugin prints, until the call ends.
#[derive(Clone, Default)]
struct Printed {
    all: Arc<Mutex<Vec<u8>>>,
    /// Where what is written here goes, too, if it is the standard error.
    errors: Option<Arc<Mutex<Vec<u8>>>>,
}

/// Bytes, which are whole at any time.
fn whole(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Printed {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut printed = whole(&self.all);
        let room = MAX_PRINTED - printed.len();
        printed.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if let Some(errors) = &self.errors {
            let mut errors = whole(errors);
            errors.extend_from_slice(&bytes[bytes.len().saturating_sub(MAX_LAST)..]);
            let old = errors.len().saturating_sub(2 * MAX_LAST);
            errors.drain(..old);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
