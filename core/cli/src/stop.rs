//! What ends a run early: Ctrl-C, and the signals of schedulers and of closed terminals.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use vitral_host::Interrupt;

use crate::failure::Failure;

/// What a shell reports of a process that a signal has ended is this and the signal's number.
const SIGNALLED: u8 = 128;
/// So of Ctrl-C, whose signal has one number everywhere.
const INTERRUPTED: u8 = SIGNALLED + 2;

/// The exit code of the first signal; 0 before it.
static FIRST: AtomicU8 = AtomicU8::new(0);

/// The exit code of a command that a signal has ended: that of the first one.
pub fn exit_code() -> u8 {
    exit_code_of([signalled()])
}

/// The same of a job, of whose processes these are the first signals. Where there is none, a process that it
/// started has heard of Ctrl-C before it.
pub fn exit_code_of(signals: impl IntoIterator<Item = Option<u8>>) -> u8 {
    signals.into_iter().flatten().next().unwrap_or(INTERRUPTED)
}

/// The exit code of the first signal that came to this process.
pub fn signalled() -> Option<u8> {
    Some(FIRST.load(Ordering::SeqCst)).filter(|code| *code != 0)
}

/// Has a file that grows beyond its limit be an error of its writing, and not the end of the process.
#[cfg(unix)]
pub fn outlive_full_files() {
    let passed = Arc::new(AtomicBool::new(false));
    // It fails for signals that the system reserves, of which this is none.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, passed);
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub fn outlive_full_files() {}

/// A flag that is set when the run is to stop with a checkpoint; then calls of plugins end early.
/// Only a second Ctrl-C is impatience, and ends the process at once: a terminal that is closed hangs
/// up twice, and a scheduler may repeat itself.
pub fn stop_on_signals(interrupt: Interrupt) -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let impatient = AtomicBool::new(false);
    on_signal(move |is_ctrl_c| {
        if is_ctrl_c && impatient.swap(true, Ordering::SeqCst) {
            #[cfg(unix)]
            crate::live::give_back();
            std::process::exit(i32::from(exit_code()));
        }
        if !flag.swap(true, Ordering::SeqCst) {
            // After the flag: what is made of calls that end early must not count.
            interrupt.set();
            eprintln!("stopping after this step, with a checkpoint (Ctrl-C again: at once)");
        }
    })?;
    Ok(stop)
}

/// Has something done whenever the process is to end, and says whether Ctrl-C is why.
pub fn on_signal(act: impl Fn(bool) + Send + Sync + 'static) -> Result<(), Failure> {
    let act = Arc::new(act);
    let on_ctrl_c = Arc::clone(&act);
    let handled = ctrlc::set_handler(move || {
        note(INTERRUPTED);
        on_ctrl_c(true);
    });
    handled.map_err(|error| Failure::Other(format!("Ctrl-C cannot be watched: {error}")))?;
    #[cfg(unix)]
    on_termination(move || act(false))
        .map_err(|error| Failure::Other(format!("signals cannot be watched: {error}")))?;
    Ok(())
}

/// Notes the exit code of a signal, unless another came before it.
fn note(code: u8) {
    // That it is not noted means that there is one.
    let _ = FIRST.compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst);
}

/// Has something done when a scheduler ends the process, or warns that it is going to (SLURM's
/// `--signal=USR1@120`), or its terminal is closed.
#[cfg(unix)]
fn on_termination(act: impl Fn() + Send + 'static) -> std::io::Result<()> {
    use signal_hook::{
        consts::{SIGHUP, SIGTERM, SIGUSR1},
        iterator::Signals,
    };

    // `nohup` has one ignored, which stays.
    let heeded = [SIGTERM, SIGHUP, SIGUSR1].into_iter();
    let heeded = heeded.filter(|&signal| signal == SIGTERM || !is_ignored(signal));
    let mut signals = Signals::new(heeded)?;
    let watch = move || {
        for signal in signals.forever() {
            // Signals have numbers up to 64.
            note(u8::try_from(signal).map_or(SIGNALLED, |signal| SIGNALLED.saturating_add(signal)));
            act();
        }
    };
    std::thread::Builder::new().name("vitral-signals".into()).spawn(watch)?;
    Ok(())
}

/// Whether the process was started with a signal ignored, as far as the system tells.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, signal)
}

#[cfg(unix)]
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(all(test, unix))]
mod tests {
    use signal_hook::consts::{SIGHUP, SIGINT};

    use super::*;

    #[test]
    fn ignored_signals_are_read_from_their_mask() {
        let status = "Name:\tx\nSigBlk:\t0000000000000003\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, SIGHUP) && !ignores(status, SIGINT));
        assert!(!ignores("", SIGHUP));
    }
}
