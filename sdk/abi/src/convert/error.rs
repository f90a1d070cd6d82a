//! What is wrong with what the other side handed over.

use std::fmt;

/// Something that the other side of the boundary handed over makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertError {
    place: String,
    problem: String,
}

impl ConvertError {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self { place: String::new(), problem: problem.into() }
    }

    /// Says where the problem is; the innermost place is named first.
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Self {
        self.place = match self.place.is_empty() {
            true => place.to_string(),
            false => format!("{place}, {}", self.place),
        };
        self
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ConvertError {}
