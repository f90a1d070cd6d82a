//! How far a transfer is, once it takes a while: a bar at a terminal, and lines elsewhere.

use std::{
    io::IsTerminal,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use vitral_registry::{Direction, OnProgress, Transfer};

use crate::progress::{note, transferring};

/// What is over before is not shown.
const BEFORE: Duration = Duration::from_secs(2);
/// Between two lines.
const BETWEEN: Duration = Duration::from_secs(10);

struct Shown {
    bar: Option<ProgressBar>,
    next: Instant,
}

/// Hears how far a transfer is, and shows it.
pub fn shown() -> OnProgress {
    let state = Mutex::new(Shown { bar: None, next: Instant::now() + BEFORE });
    let is_terminal = std::io::stderr().is_terminal();
    Arc::new(move |transfer: Transfer| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.bar.is_none() && Instant::now() < state.next {
            return;
        }
        if is_terminal {
            let bar = state.bar.get_or_insert_with(|| transferring(verb(transfer), transfer.total));
            bar.set_position(transfer.done);
            if transfer.done == transfer.total {
                bar.finish_and_clear();
            }
        } else {
            state.next = Instant::now() + BETWEEN;
            let (done, total) = (mib(transfer.done), mib(transfer.total));
            note(&format!("{} {done:.1} of {total:.1} MiB", verb(transfer)));
        }
    })
}

fn verb(transfer: Transfer) -> &'static str {
    match transfer.direction {
        Direction::Up => "pushing",
        Direction::Down => "fetching",
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
