//! The place of a value in a text, for messages about it.

use std::ops::Range;

use crate::path::Path;
use crate::tree::Source;

/// Where to underline a value at a path, and what to write there.
pub(crate) fn place(source: &Source<'_>, path: &Path) -> (Range<usize>, String) {
    match source.find(path) {
        Some(found) if found.depth == path.0.len() => {
            (source.head(&found), "this value".to_owned())
        }
        Some(found) => {
            (source.opening(&found), format!("`{path}` is not given here, so its default is used"))
        }
        None => (0..0, String::new()),
    }
}
