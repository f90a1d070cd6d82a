//! Whether progress is shown at all.

use std::sync::atomic::{AtomicBool, Ordering};

static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on, no progress is shown; warnings are.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether progress is not shown.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Says what is being done, as a line that stays.
pub fn note(text: &str) {
    if !is_quiet() {
        eprintln!("{text}");
    }
}
