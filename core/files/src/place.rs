//! Where something may be written.

use std::io;
use std::path::{Component, Path};

use crate::descriptor::name_of;
use crate::existing::Existing;

/// Refuses a path that the user cannot have meant as the name of a new file or folder.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn check_place(path: &Path) -> io::Result<()> {
    let problem = if path.as_os_str().is_empty() {
        "a name is missing: it is empty"
    } else if path.components().any(|part| part.as_os_str() == "~") {
        "`~` stands for your home folder only where a shell reads it: write the folder's whole name"
    } else if ends_in_dots(path) || path.file_name().is_none() {
        "this is a folder that is there, and has no name of its own: add one to it"
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

/// Whether a path ends in `.` or `..`, the first of which `components` leaves out.
fn ends_in_dots(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    let is_separator = |byte: &u8| std::path::is_separator(char::from(*byte));
    let end = text.iter().rposition(|byte| !is_separator(byte)).map_or(0, |last| last + 1);
    let start = text[..end].iter().rposition(is_separator).map_or(0, |last| last + 1);
    matches!(&text[start..end], b"." | b"..")
        || matches!(path.components().next_back(), Some(Component::ParentDir | Component::CurDir))
}

/// Refuses a place where a new file cannot go, before work is done for it.
///
/// # Errors
/// There is something of that name, or it cannot be meant.
pub fn check_new(path: &Path) -> io::Result<()> {
    check_free(path, Existing::Refuse, false)
}

/// Refuses a place where a file or folder cannot or should not go, before anything is written for it.
pub(crate) fn check_free(path: &Path, existing: Existing, is_folder: bool) -> io::Result<()> {
    check_place(path)?;
    let kind = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    let may_be_link = existing == Existing::Replace;
    let can_be_replaced = !is_folder && (kind.is_file() || kind.is_symlink() && may_be_link);
    match existing {
        Existing::Refuse => Err(taken()),
        _ if can_be_replaced => Ok(()),
        _ => Err(io::Error::other(format!(
            "there is already {} of that name, which a file does not replace; choose another name",
            name_of(kind)
        ))),
    }
}

/// There is something where nothing may be.
pub(crate) fn taken() -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        "something of that name already exists; remove it, or choose another name",
    )
}

/// The folder that something is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_without_a_name_of_their_own_are_refused() {
        for wrong in ["", ".", "..", "/", "a/..", "a/.", "a/./", "~", "~/a", "/b/~/a"] {
            assert!(check_place(Path::new(wrong)).is_err(), "{wrong}");
        }
        for right in ["a", "a/", "./a", "../a", "/a", "a~", "~a", "a.b", "..a", ".a"] {
            assert!(check_place(Path::new(right)).is_ok(), "{right}");
        }
    }
}
