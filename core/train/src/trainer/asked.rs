//! What monitors ask for that is done between steps.

use vitral_host::RateChange;

/// What monitors have asked for, and what has not been done of it yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asked {
    /// A checkpoint.
    pub(super) save: bool,
    /// A return to the last checkpoint; the first one that was asked for counts.
    pub(super) roll_back: Option<RollBack>,
}

/// A return to the last checkpoint that a monitor asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RollBack {
    pub(super) monitor: String,
    pub(super) change: RateChange,
}
