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
    fn now(self) -> Option<Duration> {
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
    fn now(self) -> Option<Duration> {
        None
    }
}

/// For how long a thread has not run, as far as it was looked at.
#[derive(Debug)]
pub(crate) struct Stall {
    of: ThreadTime,
    ran: (Instant, Option<Duration>),
}

impl Stall {
    pub(crate) fn new(of: ThreadTime) -> Self {
        Self { of, ran: (Instant::now(), of.now()) }
    }

    /// Looks at it.
    pub(crate) fn look(&mut self) -> Duration {
        let (since, before) = self.ran;
        match (before, self.of.now()) {
            (Some(before), Some(now)) if now < before + RUN => since.elapsed(),
            (_, now) => {
                self.ran = (Instant::now(), now);
                Duration::ZERO
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn a_thread_that_sleeps_does_not_run() {
        let (tell, told) = mpsc::channel();
        let (wake, woken) = mpsc::channel();
        let other = thread::spawn(move || {
            tell.send(ThreadTime::of_this_thread()).unwrap();
            woken.recv().unwrap();
            // It runs until it was seen to.
            while woken.try_recv().is_err() {}
        });
        let mut stall = Stall::new(told.recv().unwrap());
        stall.look();
        thread::sleep(Duration::from_millis(30));
        assert!(stall.look() >= Duration::from_millis(30));
        wake.send(()).unwrap();
        while stall.look() > Duration::ZERO {
            thread::sleep(Duration::from_millis(1));
        }
        wake.send(()).unwrap();
        other.join().unwrap();
    }
}
