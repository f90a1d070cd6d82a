//! How long a call may go on: as long as its limit says, and not much longer once the user wants to
//! stop.

use std::time::Duration;

use super::config::TICK;
use crate::{Call, Interrupt};

/// What a call that counts has left when the user wants to stop.
const GRACE: Duration = Duration::from_secs(1);

/// The time of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    /// As long as nothing interrupts it.
    pub(super) limit: Duration,
    /// From an interruption on.
    pub(super) grace: Duration,
}

impl Time {
    /// The time of a function of the plugin. Nobody waits for an image once the user wants to stop.
    pub(super) fn of(call: Call, limit: Duration) -> Self {
        let grace = if call == Call::Augment { Duration::ZERO } else { GRACE };
        Self { limit, grace }
    }

    /// The time of what comes before a plugin's functions can be called.
    pub(super) const fn of_setup(limit: Duration) -> Self {
        Self { limit, grace: GRACE }
    }
}

/// Counts the ticks of a call.
pub(super) struct Deadline {
    interrupt: Interrupt,
    left: u64,
    grace: u64,
    interrupted: bool,
}

impl Deadline {
    pub(super) const fn new(interrupt: Interrupt) -> Self {
        Self { interrupt, left: 0, grace: 0, interrupted: false }
    }

    /// A call begins.
    pub(super) fn begin(&mut self, time: Time) {
        // One more, as the first is partly over.
        self.left = ticks(time.limit).saturating_add(1);
        self.grace = ticks(time.grace);
        self.interrupted = false;
    }

    /// A tick is over; tells whether the call is.
    pub(super) fn tick(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.interrupt.is_set() && self.grace < self.left {
            self.left = self.grace;
            self.interrupted = true;
        }
        self.left == 0
    }

    /// Whether the call has less time than its limit because of an interruption.
    pub(super) const fn is_interrupted(&self) -> bool {
        self.interrupted
    }
}

fn ticks(time: Duration) -> u64 {
    time.as_nanos().div_ceil(TICK.as_nanos()).min(u64::MAX.into()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ticks that a call has, interrupted when so many are over.
    fn length(limit: u32, grace: u32, interrupted_at: Option<u64>) -> (u64, bool) {
        let interrupt = Interrupt::default();
        let mut deadline = Deadline::new(interrupt.clone());
        deadline.begin(Time { limit: TICK * limit, grace: TICK * grace });
        let mut over = 0;
        loop {
            if interrupted_at == Some(over) {
                interrupt.set();
            }
            over += 1;
            if deadline.tick() {
                return (over, deadline.is_interrupted());
            }
        }
    }

    #[test]
    fn an_interruption_shortens_a_call_once_and_never_lengthens_it() {
        assert_eq!(length(5, 2, None), (6, false));
        assert_eq!(length(5, 0, Some(0)), (1, true));
        assert_eq!(length(5, 0, Some(3)), (4, true));
        assert_eq!(length(100, 2, Some(3)), (6, true));
        assert_eq!(length(5, 2, Some(4)), (6, false), "less was left anyway");
        assert_eq!(length(5, 9, Some(0)), (6, false));
    }
}
