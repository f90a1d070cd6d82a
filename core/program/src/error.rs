//! What can go wrong with programs. Every message says what would be right.

use std::fmt;

use crate::types::TensorType;

/// Why a program cannot be loaded or put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The bytes are more than the limit, before anything is read.
    #[error("a program of {found} bytes is too large: at most {limit} are read")]
    Size {
        /// Bytes given.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The bytes are no program's text.
    #[error("not a tensor program: {0}")]
    Text(String),
    /// The program is of a format that this version does not know.
    #[error(
        "the program has format {found}, but this version of Vitral reads formats 1 to {newest}"
    )]
    Format {
        /// The program's format.
        found: u32,
        /// The newest format that can be read.
        newest: u32,
    },
    /// The text is well-formed, but what it says is no valid program.
    #[error("{place}: {problem}")]
    Invalid {
        /// The input, parameter, node or output.
        place: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}

impl ProgramError {
    pub(crate) fn invalid(place: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self::Invalid { place: place.into(), problem: problem.to_string() }
    }
}

/// One thing that a plugin did wrong while it was traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// The plugin.
    pub plugin: String,
    /// The op, or what else was asked for: `input`, `parameter`, `output`.
    pub op: String,
    /// The label that the plugin gave the op, or the name it gave what it asked for.
    pub label: String,
    /// The operands' types; `None` for a handle that is not of this trace.
    pub operands: Vec<Option<TensorType>>,
    /// What does not fit, and what would.
    pub problem: String,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin `{}`: {}", self.plugin, self.op)?;
        if !self.operands.is_empty() {
            let operand = |operand: &Option<TensorType>| match operand {
                Some(operand) => operand.to_string(),
                None => "?".to_owned(),
            };
            let operands: Vec<_> = self.operands.iter().map(operand).collect();
            write!(f, "({})", operands.join(", "))?;
        }
        if !self.label.is_empty() {
            write!(f, " `{}`", self.label)?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for TraceError {}

/// Everything that a plugin did wrong while it was traced. What follows from another error is not
/// among it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceErrors {
    /// The first errors, in the order of the trace.
    pub errors: Vec<TraceError>,
    /// How many more there were.
    pub more: usize,
}

impl fmt::Display for TraceErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            write!(f, "{}{error}", if index > 0 { "\n" } else { "" })?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more errors", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for TraceErrors {}
