//! A file for a writer that cannot leave it alone.

use std::io::{self, Seek, SeekFrom, Write};

/// A file of which nothing is written any more once that has failed, while its writer goes on as if it were:
/// the one of ZIP archives tries to bring an archive to an end even then, and would tell the terminal.
pub(super) struct Quiet<F> {
    file: F,
    /// Where the writer thinks that it is, and where the file ends.
    position: u64,
    end: u64,
    /// The first thing that went wrong.
    pub failed: Option<io::Error>,
}

impl<F> Quiet<F> {
    /// A file that is empty.
    pub(super) fn new(file: F) -> Self {
        Self { file, position: 0, end: 0, failed: None }
    }

    fn attempt<T>(&mut self, pretended: T, act: impl FnOnce(&mut F) -> io::Result<T>) -> T {
        if self.failed.is_some() {
            return pretended;
        }
        act(&mut self.file).unwrap_or_else(|error| {
            self.failed = Some(error);
            pretended
        })
    }
}

impl<F: Write> Write for Quiet<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt((), |file| file.write_all(bytes));
        self.position += bytes.len() as u64;
        self.end = self.end.max(self.position);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt((), Write::flush);
        Ok(())
    }
}

impl<F: Seek> Seek for Quiet<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let pretended = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::Current(offset) => self.position.saturating_add_signed(offset),
            SeekFrom::End(offset) => self.end.saturating_add_signed(offset),
        };
        self.position = self.attempt(pretended, |file| file.seek(to));
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Has room for some bytes.
    struct Full(Cursor<Vec<u8>>, usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.position() as usize + bytes.len() > self.1 {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Full {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn a_writer_goes_on_after_the_first_error_which_is_kept() {
        let mut file = Quiet::new(Full(Cursor::default(), 8));
        file.write_all(b"12345678").unwrap();
        file.seek(SeekFrom::Start(2)).unwrap();
        file.write_all(b"ab").unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        assert!(file.failed.is_none());
        file.write_all(b"90").unwrap();
        assert_eq!(file.stream_position().unwrap(), 10);
        assert_eq!(file.seek(SeekFrom::Start(0)).unwrap(), 0);
        file.write_all(b"xx").unwrap();
        assert_eq!(file.seek(SeekFrom::End(-1)).unwrap(), 9);
        assert_eq!(file.failed.unwrap().kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.file.0.into_inner(), b"12ab5678");
    }
}
