//! What can go wrong with a plugin, in words for its user and its author.

use std::{fmt, time::Duration};

use vitral_program::TraceErrors;

/// Why a plugin cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{plugin} cannot be opened: {problem}")]
pub struct OpenError {
    /// The plugin: its name, or the file where that is not known yet.
    pub plugin: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl OpenError {
    pub(crate) fn new(plugin: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self { plugin: plugin.to_string(), problem: problem.into() }
    }
}

/// A function of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Making an instance from settings.
    Configure,
    /// Changing an image.
    Augment,
    /// Tracing a program.
    Trace,
    /// Hearing of an event.
    Observe,
    /// Handing out state.
    Save,
    /// Taking up state.
    Restore,
}

impl Call {
    /// The function's name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Augment => "augment",
            Self::Trace => "trace",
            Self::Observe => "observe",
            Self::Save => "save",
            Self::Restore => "restore",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("plugin `{plugin}` failed in {call} ({input}): {cause}")]
pub struct CallError {
    /// The plugin.
    pub plugin: String,
    /// The function.
    pub call: Call,
    /// What it was called with, in words.
    pub input: String,
    /// Why it failed.
    pub cause: Cause,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// The plugin said so.
    Failed(String),
    /// The plugin panicked.
    Panicked(String),
    /// WebAssembly trapped.
    Trapped(String),
    /// The call took longer than it may.
    TimedOut(Duration),
    /// The user wants to stop, and the call was not over in time.
    Interrupted,
    /// The plugin wanted more memory than it may have.
    OutOfMemory(usize),
    /// The system has no room for the memory that the plugin may have.
    NoRoom,
    /// The plugin called itself too deeply.
    StackOverflow,
    /// The plugin gave more than it may.
    TooLarge {
        /// What it gave.
        what: String,
        /// How much it may give.
        limit: usize,
    },
    /// The traced program is wrong.
    Trace(TraceErrors),
    /// The plugin gave something that is not what the call gives.
    BadResult(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) => f.write_str(message),
            Self::Panicked(message) => write!(f, "it panicked: {message}"),
            Self::Trapped(message) => write!(f, "it trapped: {message}"),
            Self::TimedOut(limit) => write!(f, "it took longer than its limit of {limit:?}"),
            Self::Interrupted => f.write_str("it was interrupted, as the run is stopping"),
            Self::OutOfMemory(limit) => {
                write!(f, "it needed more memory than its limit of {} MiB", limit >> 20)
            }
            Self::NoRoom => f.write_str(
                "the system gives this process no addresses for its memory: each sandboxed plugin \
                 reserves 4 GiB of addresses, though hardly any memory; raise the limit (`ulimit \
                 -v`), or remove the plugin",
            ),
            Self::StackOverflow => f.write_str("it ran out of stack"),
            Self::TooLarge { what, limit } => {
                write!(f, "it returned {what}, but may return {limit} bytes")
            }
            Self::Trace(errors) => write!(f, "its program is invalid:\n{errors}"),
            Self::BadResult(problem) => f.write_str(problem),
        }
    }
}
