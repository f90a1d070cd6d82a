//! What is behind a path, and opening it so that this takes no time whatever it is.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::path::Path;

/// Has a file be opened without waiting for anybody, and without becoming the terminal of this process.
pub(crate) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    flags(options, Link::Follow)
}

/// The same, unless it is a link.
pub(crate) fn without_links(options: &mut OpenOptions) -> &mut OpenOptions {
    flags(options, Link::Refuse)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Follow,
    Refuse,
}

#[cfg(unix)]
fn flags(options: &mut OpenOptions, link: Link) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    let follow = if link == Link::Refuse { libc::O_NOFOLLOW } else { 0 };
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | follow)
}

#[cfg(not(unix))]
fn flags(options: &mut OpenOptions, _: Link) -> &mut OpenOptions {
    options
}

/// Opens a regular file as the options say; gives its size, too.
pub(crate) fn open_regular(path: &Path, options: &OpenOptions) -> io::Result<(File, u64)> {
    let file = match options.open(path) {
        Ok(file) => file,
        // A socket cannot be opened, a folder not written, and a link not where none is followed: each has a
        // number that says little.
        Err(error) => return Err(irregular(path, &error).unwrap_or(error)),
    };
    let found = file.metadata()?;
    match found.is_file() {
        true => Ok((file, found.len())),
        false => Err(wrong(name_of(found.file_type()))),
    }
}

/// What is wrong with what is at a path, if it is there and no regular file.
fn irregular(path: &Path, error: &io::Error) -> Option<io::Error> {
    if is_link(error) {
        return Some(wrong("a link"));
    }
    let kind = path.metadata().ok()?.file_type();
    (!kind.is_file()).then(|| wrong(name_of(kind)))
}

/// Whether a file was not opened because it is a link.
#[cfg(unix)]
fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

#[cfg(not(unix))]
fn is_link(_: &io::Error) -> bool {
    false
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, but must be a regular file"))
}

/// What a file that is no regular one is called, with its article.
pub(crate) fn name_of(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;

        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    match (kind.is_dir(), kind.is_symlink()) {
        (true, _) => "a folder",
        (_, true) => "a link",
        _ => "no file",
    }
}
