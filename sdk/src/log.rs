//! Messages for the user.

use vitral_abi::LogLevel;

use crate::boundary;

/// For the plugin's author.
pub fn debug(message: impl AsRef<str>) {
    boundary::log(LogLevel::Debug, message.as_ref());
}

/// Worth knowing.
pub fn info(message: impl AsRef<str>) {
    boundary::log(LogLevel::Info, message.as_ref());
}

/// Something may be wrong.
pub fn warn(message: impl AsRef<str>) {
    boundary::log(LogLevel::Warn, message.as_ref());
}

/// Something is wrong.
pub fn error(message: impl AsRef<str>) {
    boundary::log(LogLevel::Error, message.as_ref());
}
