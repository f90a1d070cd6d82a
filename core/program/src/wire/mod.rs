//! The serialised form: RON text that says its format first. A new format is a new file beside
//! `v1.rs`; old files stay, so that what they have written keeps loading.

mod bounded;
mod v1;

use serde::Deserialize;

use crate::error::ProgramError;
use crate::program::Program;
use crate::verify::Draft;

/// The format that programs are written in.
pub const FORMAT: u32 = 1;

/// Brackets inside of each other; no format has more than a handful.
const DEPTH: usize = 16;

/// What every format has.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

pub(crate) fn to_text(program: &Program) -> String {
    v1::to_text(program)
}

pub(crate) fn from_text(text: &str) -> Result<Draft, ProgramError> {
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
