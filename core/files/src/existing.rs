//! What becomes of a file that is there already.

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The new one takes its place. A link is replaced itself, not what it leads to: somebody may have put it
    /// where this program's own file is to be.
    Replace,
    /// The new one takes its place, where the user has named it: a link stays, and nothing is written, as it
    /// may be the system's way to a stream (`/dev/stdout`).
    ReplaceFile,
    /// It stays, and nothing is written.
    Refuse,
}
