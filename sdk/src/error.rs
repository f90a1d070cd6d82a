//! Why a plugin gives up.

use std::fmt;

/// Why a plugin gives up: a message for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

/// A result whose error is a message for the user.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with a message.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

macro_rules! from {
    ($($source:ty),* $(,)?) => {$(
        impl From<$source> for Error {
            fn from(source: $source) -> Self {
                Self::new(source)
            }
        }
    )*};
}

from! {
    String, &str, std::num::ParseFloatError, std::num::ParseIntError, std::num::TryFromIntError,
    std::str::Utf8Error, std::string::FromUtf8Error, vitral_abi::convert::ConvertError,
}

/// Returns an [`Error`](crate::Error) with a message, which is written as for `format!`.
#[macro_export]
macro_rules! bail {
    ($($message:tt)*) => {
        return ::core::result::Result::Err($crate::Error::new(::std::format!($($message)*)))
    };
}
