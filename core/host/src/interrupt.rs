//! Has calls of plugins end early, since the user wants to stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A switch that has calls of WebAssembly plugins end early. All clones are one switch.
///
/// An image augmentation ends at once, and so does every later call of one: nobody waits for its
/// image any more. Any other call has a second left, as what a monitor hears and saves counts.
/// Native code cannot be interrupted.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Has calls end early from now on.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether calls are to end early.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
