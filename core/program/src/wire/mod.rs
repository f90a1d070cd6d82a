//! The serialised form: RON text that says its format first. A new format is a new file beside
//! `v1.rs`; old files stay, so that what they have written keeps loading.

mod bounded;
mod v1;

use serde::Deserialize;

use crate::error::ProgramError;
use crate::limits::Limits;
use crate::program::Program;
use crate::verify::{Draft, verify};

/// The format that programs are written in.
pub const FORMAT: u32 = 1;

/// Brackets inside of each other; no format has more than a handful.
const DEPTH: usize = 16;

/// What every format has.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

impl Program {
    /// The serialised form, of the newest [`FORMAT`](crate::FORMAT): RON text.
    pub fn to_bytes(&self) -> Vec<u8> {
        v1::to_text(self).into_bytes()
    }

    /// A program from its serialised form, of any format that there has been. Nothing in the bytes
    /// is trusted.
    ///
    /// # Errors
    /// If the bytes are more than the limit or no program's text, the format is unknown, or what
    /// they say is no valid program within the limits.
    pub fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self, ProgramError> {
        if bytes.len() > limits.serialised_bytes {
            return Err(ProgramError::Size { found: bytes.len(), limit: limits.serialised_bytes });
        }
        let text =
            std::str::from_utf8(bytes).map_err(|error| ProgramError::Text(error.to_string()))?;
        verify(draft(text)?, limits)
    }
}

/// What a text says, of whatever format it is.
fn draft(text: &str) -> Result<Draft, ProgramError> {
    let header: Header = parse(text)?;
    match header.format {
        1 => v1::into_draft(parse(text)?),
        found => Err(ProgramError::Format { found, newest: FORMAT }),
    }
}

fn parse<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, ProgramError> {
    let options = ron::Options::default().with_recursion_limit(DEPTH);
    options.from_str(text).map_err(|error| match error.code {
        ron::Error::ExceededRecursionLimit => ProgramError::Text(format!(
            "{}: brackets are nested deeper than {DEPTH} levels, and those of a program are not",
            error.span.start
        )),
        _ => ProgramError::Text(error.to_string()),
    })
}
