//! Printing to whoever may have stopped listening: `vitral data info x | head -1`.
//!
//! Rust ignores `SIGPIPE`, so that a closed pipe is an error of the next write, at which the standard
//! macros panic. These stand in their place in all of the program: the rest is not printed, and what
//! else there is to do, such as a run or a file that is asked for, is done. So the signal is left alone,
//! whose default would end the program wherever it is.
//!
//! Whatever is printed may have names and messages in it that others wrote, so that no character of it acts
//! on the terminal: those that would are shown as `\u{1b}`. Colours are what [`styled`] and [`warning`] let
//! through.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use vitral_config::visible;

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
static SILENT: AtomicBool = AtomicBool::new(false);

/// From now on this process prints nothing: another one of its job speaks for it.
#[cfg(feature = "mpi")]
pub fn be_silent() {
    SILENT.store(true, Ordering::Relaxed);
}

fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

/// Whether nobody reads the results any more, so that those which are only printed need not be made.
pub fn is_unread() -> bool {
    UNREAD.load(Ordering::Relaxed)
}

/// Writes a part of the results. Those that are lost, but for a closed pipe, are a failure.
pub fn out(text: Arguments<'_>, end: &str) {
    write_out(&visible(&text.to_string()), end);
}

/// Writes text of which nothing acts on the terminal.
pub fn write_out(text: &str, end: &str) {
    if is_unread() || is_silent() {
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

/// Takes progress and messages in place of standard error, while that shows something else.
pub type Taker = Box<dyn Fn(&str) + Send>;

static TAKER: Mutex<Option<Taker>> = Mutex::new(None);

/// Has progress and messages taken by something else from now on, or by standard error again.
pub fn divert(taker: Option<Taker>) {
    *TAKER.lock().unwrap_or_else(PoisonError::into_inner) = taker;
}

/// Writes progress or a message. Where it cannot be written, the work goes on all the same.
pub fn err(text: Arguments<'_>) {
    if !is_silent() {
        write_err(text);
    }
}

/// Writes why the job ends, whoever else speaks for it: that one may be what is lost.
#[cfg(feature = "mpi")]
pub fn err_of_job(text: Arguments<'_>) {
    write_err(text);
}

fn write_err(text: Arguments<'_>) {
    err_as_it_is(&visible(&text.to_string()));
}

/// The same with a line of which nothing acts on the terminal but colours.
pub fn err_as_it_is(line: &str) {
    match &*TAKER.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(take) => take(line),
        None => {
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }
}

/// Writes a message that must not be overlooked.
pub fn warning(text: &str, is_coloured: bool) {
    if is_silent() {
        return;
    }
    let warning = if is_coloured { "\x1b[1;33mwarning:\x1b[0m" } else { "warning:" };
    err_as_it_is(&format!("{warning} {}", visible(text)));
}

/// Writes a message that a library has drawn, with colours: nothing else that it has is let through.
/// Names and texts of others must be [`visible`] before they are drawn.
pub fn styled(text: &str) {
    if is_silent() {
        return;
    }
    err_as_it_is(&visible_styled(text));
}

/// Makes everything visible but colours and weights, `ESC [ 1 ; 33 m`.
pub fn visible_styled(text: &str) -> Cow<'_, str> {
    if !text.contains('\x1b') {
        return visible(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        shown += &visible(&rest[..at]);
        let style = style_at(&rest[at..]);
        shown += match style {
            0 => "\\u{1b}",
            length => &rest[at..at + length],
        };
        rest = &rest[at + style.max(1)..];
    }
    (shown + &visible(rest)).into()
}

/// The bytes of the change of colour or weight that a text starts with, if it does.
fn style_at(text: &str) -> usize {
    let Some(sequence) = text.strip_prefix("\x1b[") else { return 0 };
    let end = sequence.find(|character: char| !character.is_ascii_digit() && character != ';');
    match end {
        Some(end) if sequence[end..].starts_with('m') => "\x1b[".len() + end + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_library_has_drawn_only_colours_act() {
        for (drawn, shown) in [
            ("\x1b[1;33ma\x1b[0m", "\x1b[1;33ma\x1b[0m"),
            ("\x1b[m\x1b[31m", "\x1b[m\x1b[31m"),
            ("\x1b[2Ja\x1b]0;b\x07", "\\u{1b}[2Ja\\u{1b}]0;b\\u{7}"),
            ("\x1b", "\\u{1b}"),
            ("\x1b[", "\\u{1b}["),
            ("\x1b[3ä", "\\u{1b}[3ä"),
            ("a\u{9b}31mb\u{202e}", "a\\u{9b}31mb\\u{202e}"),
        ] {
            assert_eq!(visible_styled(drawn), shown, "{drawn:?}");
        }
    }
}
