//! Printing to whoever may have stopped listening: `vitral data info x | head -1`.
//!
//! Rust ignores `SIGPIPE`, so that a closed pipe is an error of the next write, at which the standard
//! macros panic. These stand in their place in all of the program: the rest is not printed, and what
//! else there is to do, such as a run or a file that is asked for, is done. So the signal is left alone,
//! whose default would end the program wherever it is.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

macro_rules! print {
    ($($argument:tt)*) => { $crate::print::out(format_args!($($argument)*), "") };
}

macro_rules! println {
    () => { $crate::print::out(format_args!(""), "\n") };
    ($($argument:tt)*) => { $crate::print::out(format_args!($($argument)*), "\n") };
}

macro_rules! eprintln {
    ($($argument:tt)*) => { $crate::print::err(format_args!($($argument)*)) };
}

static UNREAD: AtomicBool = AtomicBool::new(false);

/// Whether nobody reads the results any more, so that those which are only printed need not be made.
pub fn is_unread() -> bool {
    UNREAD.load(Ordering::Relaxed)
}

/// Writes a part of the results. Those that are lost, but for a closed pipe, are a failure.
pub fn out(text: Arguments<'_>, end: &str) {
    if is_unread() {
        return;
    }
    match write!(io::stdout().lock(), "{text}{end}") {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            UNREAD.store(true, Ordering::Relaxed);
        }
        Err(error) => {
            err(format_args!("error: the results cannot be written: {error}"));
            process::exit(1);
        }
    }
}

/// Writes progress or a message. Where it cannot be written, the work goes on all the same.
pub fn err(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
