//! What an op, a type or a limit says of something that does not fit.

/// Why something does not fit: an op its operands, an attribute its type, dimensions a shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(String);

impl Misfit {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}
