//! Whether another thread runs.

use std::time::{Duration, Instant};

/// Time on a processor that says that a thread has run.
const RUN: Duration = Duration::from_millis(1);

/// The time that one thread has been on a processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadTime {
    #[cfg(target_os = "linux")]
    clock: Option<libc::clockid_t>,
}

impl ThreadTime {
    /// That of the calling thread.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_this_thread() -> Self {
        let mut clock = 0;
        // SAFETY: this thread is there, and `clock` is written to alone.
        let found = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) } == 0;
        Self { clock: found.then_some(clock) }
    }

    /// How long it was on a processor, where the system tells.
    #[cfg(target_os = "linux")]
    pub(crate) fn now(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is written to alone. Of a thread that has ended the clock is none, which is an error.
        let found = unsafe { libc::clock_gettime(self.clock?, &mut time) } == 0;
        found.then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// Other systems do not tell.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of_this_thread() -> Self {
        Self {}
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now(self) -> Option<Duration> {
        None
    }
}

/// For how long a thread has not run, as far as it was looked at, since its rank has come where all meet, or has
/// left again: that it slept before says nothing of where it is now.
#[derive(Debug)]
pub(crate) struct Stall {
    meetings: u64,
    since: Instant,
    /// When it ran, and how long it had been on a processor.
    ran: (Instant, Option<Duration>),
}

impl Stall {
    /// Looks at it for the first time.
    pub(crate) fn new(meetings: u64, time: Option<Duration>, now: Instant) -> Self {
        Self { meetings, since: now, ran: (now, time) }
    }

    /// Looks at it: its rank has come and gone so often, and it was so long on a processor. For how long that is
    /// the number of meetings, and for how much of that, until now, it has not run.
    pub(crate) fn look(
        &mut self,
        meetings: u64,
        time: Option<Duration>,
        now: Instant,
    ) -> (Duration, Duration) {
        if meetings != self.meetings {
            *self = Self::new(meetings, time, now);
        }
        let stands =
            matches!((self.ran.1, time), (Some(before), Some(time)) if time < before + RUN);
        if !stands {
            self.ran = (now, time);
        }
        (now.saturating_duration_since(self.since), now.saturating_duration_since(self.ran.0))
    }

    /// Counts from now on, as the whole process did not run before.
    pub(crate) fn restart(&mut self, now: Instant) {
        (self.since, self.ran.0) = (now, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that is looked at after some seconds, where it was on a processor for some milliseconds.
    struct Looked {
        stall: Stall,
        start: Instant,
    }

    impl Looked {
        fn new() -> Self {
            let start = Instant::now();
            Self { stall: Stall::new(0, Some(Duration::ZERO), start), start }
        }

        fn after(&mut self, seconds: u64, meetings: u64, time: Option<u64>) -> (u64, u64) {
            let now = self.start + Duration::from_secs(seconds);
            let (stays, stalled) = self.stall.look(meetings, time.map(Duration::from_millis), now);
            (stays.as_secs(), stalled.as_secs())
        }
    }

    #[test]
    fn what_a_thread_did_before_a_meeting_does_not_count_in_it() {
        let mut looked = Looked::new();
        // It waits for images, or for a GPU, and comes with next to no time on a processor.
        assert_eq!(looked.after(26, 0, Some(0)), (26, 26));
        assert_eq!(looked.after(27, 1, Some(0)), (0, 0));
        assert_eq!(looked.after(40, 1, Some(0)), (13, 13));
        // It runs, and sleeps again.
        assert_eq!(looked.after(41, 1, Some(1)), (14, 0));
        assert_eq!(looked.after(50, 1, Some(1)), (23, 9));
        // It has left, and come to the next one, between two looks.
        assert_eq!(looked.after(51, 3, Some(1)), (0, 0));
        assert_eq!(looked.after(60, 3, Some(1)), (9, 9));
    }

    #[test]
    fn a_pause_does_not_count() {
        let mut looked = Looked::new();
        looked.after(0, 1, Some(0));
        assert_eq!(looked.after(10, 1, Some(0)), (10, 10));
        looked.stall.restart(looked.start + Duration::from_secs(3600));
        assert_eq!(looked.after(3610, 1, Some(0)), (10, 10));
    }

    #[test]
    fn where_the_system_does_not_tell_none_hangs() {
        let mut looked = Looked::new();
        assert_eq!(looked.after(30, 0, None), (30, 0));
        assert_eq!(looked.after(60, 0, None), (60, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_waits_is_on_no_processor() {
        use std::{sync::mpsc, thread};

        let (tell, told) = mpsc::channel();
        let (wake, woken) = mpsc::channel();
        let other = thread::spawn(move || {
            tell.send(ThreadTime::of_this_thread()).unwrap();
            woken.recv().unwrap();
            // It runs until it was seen to.
            while woken.try_recv().is_err() {}
        });
        let time = told.recv().unwrap();
        let now = || time.now().unwrap();
        let before = now();
        // What it does until it waits takes less.
        assert!(now() < before + RUN);
        wake.send(()).unwrap();
        while now() < before + RUN {
            thread::yield_now();
        }
        wake.send(()).unwrap();
        other.join().unwrap();
    }
}
