//! What a key is known by: the number that a signature names, and the digest that says whose it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The key that a signature names, as the `minisign` tool writes it. Anybody can give these eight
/// bytes to a key of their own: they say which key to look for, never whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(u64);

impl KeyId {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut number = [0; 8];
        number.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Self(u64::from_le_bytes(number))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl FromStr for KeyId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = u64::from_str_radix(text, 16).ok().map(Self);
        // Which has one text.
        number
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| "a key's number has 16 hexadecimal digits, in upper case".to_owned())
    }
}

impl TryFrom<String> for KeyId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

/// Whose key it is: the SHA-256 of the key, `tail -n 1 KEY.pub | base64 -d | sha256sum`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(Digest);

impl Fingerprint {
    pub(crate) const fn new(key: Digest) -> Self {
        Self(key)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}
