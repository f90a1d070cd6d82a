//! Which signal has ended a command, for its exit code.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;

/// What a shell reports of a process that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
/// And of one that was asked to end, as a cluster's scheduler does.
const TERMINATED: u8 = 143;

static WAS_TERMINATED: AtomicBool = AtomicBool::new(false);

/// Has a request to end (`SIGTERM`) noted, and then handled as Ctrl-C is, which must be watched already.
#[cfg(unix)]
pub fn watch_termination() -> Result<(), Failure> {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

    extern "C" fn terminate(_: i32) {
        WAS_TERMINATED.store(true, Ordering::Relaxed);
        // Ctrl-C's own handler takes it from here; there is nobody to tell of a failure.
        let _ = raise(Signal::SIGINT);
    }

    let action =
        SigAction::new(SigHandler::Handler(terminate), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler stores to an atomic and raises a signal, both of which may be done in a handler.
    let watched = unsafe { sigaction(Signal::SIGTERM, &action) };
    watched
        .map(drop)
        .map_err(|error| Failure::Other(format!("requests to end cannot be watched: {error}")))
}

/// Elsewhere there is no such signal.
#[cfg(not(unix))]
pub fn watch_termination() -> Result<(), Failure> {
    Ok(())
}

/// The exit code of a command that a signal has ended.
pub fn exit_code() -> u8 {
    if WAS_TERMINATED.load(Ordering::Relaxed) { TERMINATED } else { INTERRUPTED }
}
