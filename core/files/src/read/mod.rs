//! Reading files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use crate::descriptor::{open_regular, without_links, without_waiting};
use crate::kind::Kind;

/// Opens a regular file; gives its size, too.
///
/// # Errors
/// It is not there, not regular, larger than its kind may be, or the system does not open it.
pub fn open(path: &Path, kind: Kind) -> io::Result<(File, u64)> {
    within(kind, open_regular(path, without_waiting(OpenOptions::new().read(true)))?)
}

/// Reads a whole file.
///
/// # Errors
/// As [`open`], and if the system does not read it.
pub fn read(path: &Path, kind: Kind) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    read_into(path, kind, &mut content)?;
    Ok(content)
}

/// Reads a whole file into a buffer in place of what that has.
///
/// # Errors
/// As [`read`].
pub fn read_into(path: &Path, kind: Kind, content: &mut Vec<u8>) -> io::Result<()> {
    content.clear();
    rest(open(path, kind)?, kind, content)
}

/// Reads a whole file that must not be a link, such as one that decides about trust.
///
/// # Errors
/// As [`read`].
pub fn read_own(path: &Path, kind: Kind) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let opened = open_regular(path, without_links(OpenOptions::new().read(true)))?;
    rest(within(kind, opened)?, kind, &mut content)?;
    Ok(content)
}

/// Reads a whole file of text.
///
/// # Errors
/// As [`read`], and if it is not text in UTF-8.
pub fn read_text(path: &Path, kind: Kind) -> io::Result<String> {
    let not_text = |error: std::string::FromUtf8Error| {
        let at = error.utf8_error().valid_up_to();
        let problem = format!("it is not text: its byte {at} is not UTF-8");
        io::Error::new(io::ErrorKind::InvalidData, problem)
    };
    String::from_utf8(read(path, kind)?).map_err(not_text)
}

pub(crate) fn within(kind: Kind, (file, size): (File, u64)) -> io::Result<(File, u64)> {
    match size <= kind.most() {
        true => Ok((file, size)),
        false => Err(too_large(kind, size)),
    }
}

/// Reads what is in an open file. It may have grown, or be one of those of the system that have no size.
fn rest((file, size): (File, u64), kind: Kind, content: &mut Vec<u8>) -> io::Result<()> {
    let room = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1);
    // The end is found without growing.
    content.try_reserve(room).map_err(|_| no_room(size))?;
    file.take(kind.most().saturating_add(1)).read_to_end(content)?;
    match content.len() as u64 <= kind.most() {
        true => Ok(()),
        false => Err(too_large(kind, content.len() as u64)),
    }
}

pub(crate) fn too_large(kind: Kind, size: u64) -> io::Error {
    let problem =
        format!("it has {size} bytes or more, but {kind} can have at most {}", kind.most());
    io::Error::new(io::ErrorKind::FileTooLarge, problem)
}

fn no_room(size: u64) -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, format!("its {size} bytes do not fit into memory"))
}

#[cfg(test)]
mod tests;
