//! The one form that a bundle's tar archive has: plain ustar headers of regular files, mode 0644,
//! owner 0, time 0, zero padding, and two zero blocks at the end.
//!
//! The reader makes the header that each entry should have and compares it with the one that is
//! there, so that no field can carry anything else.

use std::io::{self, Read};

use tar::{EntryType, Header};

use crate::text::shown;

const BLOCK: usize = 512;

/// Appends one file.
pub(crate) fn append(archive: &mut Vec<u8>, path: &str, content: &[u8]) -> io::Result<()> {
    archive.extend_from_slice(header(path, content.len() as u64)?.as_bytes());
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    Ok(())
}

/// Appends the end of the archive.
pub(crate) fn finish(archive: &mut Vec<u8>) {
    archive.resize(archive.len() + 2 * BLOCK, 0);
}

/// What is wrong with an archive.
#[derive(Debug)]
pub(crate) struct Flaw {
    /// The entry, if it has a name already.
    pub entry: Option<String>,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// Reads an archive, entry after entry.
pub(crate) struct Reader<R> {
    inner: R,
    /// How many bytes entries may still have together.
    left: u64,
}

/// An entry whose header is right, before its content is read.
#[derive(Debug)]
pub(crate) struct Entry {
    pub path: String,
    size: u64,
}

impl<R: Read> Reader<R> {
    /// `most` is how many bytes all entries may have together.
    pub(crate) fn new(inner: R, most: u64) -> Self {
        Self { inner, left: most }
    }

    /// The next entry; none at the end of the archive.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, Flaw> {
        let block = self.block().map_err(|problem| Flaw { entry: None, problem })?;
        if block == [0; BLOCK] {
            return self.end().map(|()| None).map_err(|problem| Flaw { entry: None, problem });
        }
        let found = Header::from_byte_slice(&block);
        let path = found.path_bytes();
        let named = |problem: String| Flaw { entry: Some(shown(&path)), problem };
        check_kind(found).map_err(named)?;
        let path = std::str::from_utf8(&path).map_err(|_| {
            named("has a name that is not UTF-8; names have plain letters".to_owned())
        })?;
        let size = found.entry_size().map_err(|_| named("has no readable size".to_owned()))?;
        if size > self.left {
            return Err(named(format!(
                "has {size} bytes, but only {} are left of what a bundle may have unpacked",
                self.left
            )));
        }
        let expected = header(path, size).map_err(|error| named(error.to_string()))?;
        if expected.as_bytes() != &block {
            return Err(named(difference(found, &expected)));
        }
        self.left -= size;
        Ok(Some(Entry { path: path.to_owned(), size }))
    }

    /// The content of the entry that came last, which may have `most` bytes.
    pub(crate) fn content(&mut self, entry: &Entry, most: u64) -> Result<Vec<u8>, Flaw> {
        let flaw = |problem| Flaw { entry: Some(entry.path.clone()), problem };
        if entry.size > most {
            return Err(flaw(format!("has {} bytes, but may have {most} at most", entry.size)));
        }
        // Grows with what is really there, whatever the header says.
        let mut content = Vec::new();
        let read = (&mut self.inner).take(entry.size).read_to_end(&mut content);
        read.map_err(|error| flaw(unreadable(&error)))?;
        if content.len() as u64 != entry.size {
            return Err(flaw(format!(
                "is cut off: it has {} of {} bytes",
                content.len(),
                entry.size
            )));
        }
        let padding = content.len().next_multiple_of(BLOCK) - content.len();
        let mut zeros = [0; BLOCK];
        let read = self.inner.read_exact(&mut zeros[..padding]);
        read.map_err(|error| flaw(unreadable(&error)))?;
        match zeros == [0; BLOCK] {
            true => Ok(content),
            false => Err(flaw("is followed by something other than zeros".to_owned())),
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK], String> {
        let mut block = [0; BLOCK];
        self.inner.read_exact(&mut block).map_err(|error| unreadable(&error))?;
        Ok(block)
    }

    fn end(&mut self) -> Result<(), String> {
        if self.block()? != [0; BLOCK] {
            return Err("the archive goes on after its end".to_owned());
        }
        let mut more = [0];
        match self.inner.read(&mut more) {
            Ok(0) => Ok(()),
            Ok(_) => Err("the archive goes on after its end".to_owned()),
            Err(error) => Err(unreadable(&error)),
        }
    }
}

/// The header of a file, which is the only one that it may have.
fn header(path: &str, size: u64) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    let name = &mut header.as_old_mut().name;
    if path.is_empty() || path.len() > name.len() {
        let problem = format!("has a name that is empty or longer than {} bytes", name.len());
        return Err(io::Error::other(problem));
    }
    name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

fn check_kind(header: &Header) -> Result<(), String> {
    let kind = match header.entry_type() {
        EntryType::Regular => return Ok(()),
        EntryType::Link => "a hard link",
        EntryType::Symlink => "a symbolic link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Directory => "a folder",
        EntryType::Fifo => "a pipe",
        EntryType::GNULongName | EntryType::GNULongLink => "a GNU header for long names",
        EntryType::GNUSparse => "a sparse file",
        EntryType::XGlobalHeader | EntryType::XHeader => "a pax header",
        _ => "of an unknown kind",
    };
    Err(format!("is {kind}; a bundle has regular files only"))
}

/// Reads a number of a header.
type Field = fn(&Header) -> Option<u64>;

/// Why a header is not the one that its entry should have.
fn difference(found: &Header, expected: &Header) -> String {
    let fields: [(&str, Field); 4] = [
        ("mode", |header| header.mode().ok().map(u64::from)),
        ("user", |header| header.uid().ok()),
        ("group", |header| header.gid().ok()),
        ("time", |header| header.mtime().ok()),
    ];
    for (name, field) in fields {
        if field(found) != field(expected) {
            let show = |value: Option<u64>| match value {
                Some(value) if name == "mode" => format!("{value:04o}"),
                Some(value) => value.to_string(),
                None => "unreadable".to_owned(),
            };
            let (found, expected) = (show(field(found)), show(field(expected)));
            return format!("has {name} {found}, but in a bundle it is {expected}");
        }
    }
    match found.as_ustar() {
        Some(ustar) if ustar.prefix.iter().any(|byte| *byte != 0) => {
            "has a name of more than 100 bytes".to_owned()
        }
        Some(_) => "has a damaged header: its bytes are not those of a plain file's".to_owned(),
        None => "has a header of another kind of tar; a bundle has ustar headers".to_owned(),
    }
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the archive is cut off".to_owned(),
        _ => format!("the archive cannot be decompressed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_tools_read_what_is_written() {
        let mut archive = Vec::new();
        append(&mut archive, "plugin.ron", b"()").unwrap();
        append(&mut archive, "wasm/x.wasm", &[7; BLOCK]).unwrap();
        finish(&mut archive);
        let mut reader = tar::Archive::new(archive.as_slice());
        let mut names = Vec::new();
        for entry in reader.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            names.push((entry.path().unwrap().display().to_string(), content.len()));
        }
        assert_eq!(names, [("plugin.ron".to_owned(), 2), ("wasm/x.wasm".to_owned(), BLOCK)]);
    }

    #[test]
    fn all_contents_together_have_a_limit_that_holds_before_they_are_read() {
        let mut archive = Vec::new();
        append(&mut archive, "LICENSE-A", &[1; 60]).unwrap();
        append(&mut archive, "LICENSE-B", &[1; 60]).unwrap();
        finish(&mut archive);
        let mut reader = Reader::new(archive.as_slice(), 100);
        let first = reader.next_entry().unwrap().unwrap();
        reader.content(&first, 100).unwrap();
        let flaw = reader.next_entry().unwrap_err();
        assert_eq!(flaw.entry.as_deref(), Some("LICENSE-B"));
        assert!(flaw.problem.contains("60 bytes, but only 40 are left"), "{}", flaw.problem);
    }

    #[test]
    fn every_changed_byte_outside_of_contents_is_found() {
        let mut archive = Vec::new();
        append(&mut archive, "plugin.ron", b"()").unwrap();
        finish(&mut archive);
        let read = |archive: &[u8]| {
            let mut reader = Reader::new(archive, 100);
            let entry =
                reader.next_entry()?.ok_or(Flaw { entry: None, problem: "ended".into() })?;
            let content = reader.content(&entry, 100)?;
            assert!(reader.next_entry()?.is_none());
            Ok::<_, Flaw>((entry.path, content))
        };
        let good = read(&archive).unwrap();
        for index in 0..archive.len() {
            for bit in 0..8 {
                archive[index] ^= 1 << bit;
                // A changed name with a checksum that happens to fit is another entry.
                assert!(read(&archive).ok().as_ref() != Some(&good), "byte {index} bit {bit}");
                archive[index] ^= 1 << bit;
            }
            assert!(read(&archive[..index]).is_err(), "cut at {index}");
        }
    }
}
