//! A monitor's state as text: a first line with its name and the text's version, a line of
//! `key=values` for everything that is kept, and a last line with a checksum.
//!
//! ```
//! use vitral_sdk::state::{Reader, Writer};
//!
//! let mut writer = Writer::new("plateau 1");
//! writer.put("best", [0.25]);
//! writer.put("history", [0.5, 0.25]);
//! let saved = writer.finish();
//!
//! let reader = Reader::new(&saved, "plateau 1")?.expect("it is not empty");
//! assert_eq!(reader.one::<f64>("best")?, 0.25);
//! assert_eq!(reader.list::<f64>("history")?, [0.5, 0.25]);
//! assert!(Reader::new(&saved[1..], "plateau 1").is_err());
//! # Ok::<(), vitral_sdk::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::str::FromStr;

use crate::{Error, Result, bail};

/// Writes a state.
pub struct Writer(String);

impl Writer {
    /// A state of nothing; the header says whose it is and in which version.
    pub fn new(header: &str) -> Self {
        Self(format!("{header}\n"))
    }

    /// Adds values, whose text has no spaces. Numbers keep every digit.
    pub fn put<T: Display>(&mut self, key: &str, values: impl IntoIterator<Item = T>) {
        let values: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{key}={}", values.join(" "));
    }

    /// The state with its checksum.
    pub fn finish(self) -> Vec<u8> {
        let sum = checksum(&self.0);
        format!("{}checksum={sum:016x}\n", self.0).into_bytes()
    }
}

/// Reads a state.
pub struct Reader<'s>(BTreeMap<&'s str, &'s str>);

impl<'s> Reader<'s> {
    /// Reads a state; none if it is empty.
    ///
    /// # Errors
    /// It is damaged, or of another header.
    pub fn new(state: &'s [u8], header: &str) -> Result<Option<Self>> {
        if state.is_empty() {
            return Ok(None);
        }
        let damaged = || Error::new("the saved state is damaged");
        let text = std::str::from_utf8(state).map_err(|_| damaged())?;
        let (content, sum) = text.rsplit_once("checksum=").ok_or_else(damaged)?;
        if sum != format!("{:016x}\n", checksum(content)) {
            return Err(damaged());
        }
        let mut lines = content.lines();
        let found = lines.next().unwrap_or_default();
        if found != header {
            bail!("the saved state is of `{found}`, but must be of `{header}`");
        }
        let entries = lines.map(|line| line.split_once('=').ok_or_else(damaged));
        Ok(Some(Self(entries.collect::<Result<_>>()?)))
    }

    /// The values of a key.
    ///
    /// # Errors
    /// There is no such key, or a value that is none.
    pub fn list<T: FromStr>(&self, key: &str) -> Result<Vec<T>> {
        let Some(values) = self.0.get(key) else {
            bail!("the saved state has no `{key}`");
        };
        let wrong = |value| Error::new(format!("the saved state has {value:?} for `{key}`"));
        let values = values.split_ascii_whitespace();
        values.map(|value| value.parse().map_err(|_| wrong(value))).collect()
    }

    /// The only value of a key.
    ///
    /// # Errors
    /// As [`list`](Self::list), and if there is not one value.
    pub fn one<T: FromStr>(&self, key: &str) -> Result<T> {
        let Some(value) = self.optional(key)? else {
            bail!("the saved state has no value for `{key}`");
        };
        Ok(value)
    }

    /// The only value of a key, if it has one.
    ///
    /// # Errors
    /// As [`list`](Self::list), and if there is more than one value.
    pub fn optional<T: FromStr>(&self, key: &str) -> Result<Option<T>> {
        let mut values = self.list(key)?;
        if values.len() > 1 {
            bail!("the saved state has {} values for `{key}`", values.len());
        }
        Ok(values.pop())
    }
}

/// FNV-1a.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> Vec<u8> {
        let mut state = Writer::new("test 1");
        state.put("numbers", [0.1, f64::NAN, f64::INFINITY, -5e-324]);
        state.put("none", None::<u32>);
        state.put("one", [7]);
        state.finish()
    }

    #[test]
    fn what_is_written_is_read() {
        let state = state();
        let reader = Reader::new(&state, "test 1").unwrap().unwrap();
        let numbers: Vec<f64> = reader.list("numbers").unwrap();
        assert_eq!(format!("{numbers:?}"), "[0.1, NaN, inf, -5e-324]");
        assert_eq!((reader.optional::<u32>("none"), reader.one("one")), (Ok(None), Ok(7)));
    }

    #[test]
    fn damage_is_an_error() {
        let state = state();
        for at in 0..state.len() {
            let mut changed = state.clone();
            changed[at] ^= 1;
            assert!(Reader::new(&changed, "test 1").is_err(), "byte {at} changed");
            assert!(at == 0 || Reader::new(&state[..at], "test 1").is_err(), "cut to {at} bytes");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let state = state();
        let error = Reader::new(&state, "test 2").err().unwrap().to_string();
        assert_eq!(error, "the saved state is of `test 1`, but must be of `test 2`");
        assert!(Reader::new(b"", "test 1").unwrap().is_none());
        let reader = Reader::new(&state, "test 1").unwrap().unwrap();
        for error in [reader.one::<u32>("two"), reader.one("none"), reader.one("numbers")] {
            assert!(error.is_err());
        }
    }
}
