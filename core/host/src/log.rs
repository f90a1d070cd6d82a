//! Where plugins' messages go.

use vitral_abi::LogLevel;

/// One line of a plugin's; an unknown level counts as a warning.
pub(crate) fn line(plugin: &str, level: Option<LogLevel>, message: &str) {
    match level {
        Some(LogLevel::Debug) => tracing::debug!("plugin `{plugin}`: {message}"),
        Some(LogLevel::Info) => tracing::info!("plugin `{plugin}`: {message}"),
        Some(LogLevel::Warn) | None => tracing::warn!("plugin `{plugin}`: {message}"),
        Some(LogLevel::Error) => tracing::error!("plugin `{plugin}`: {message}"),
    }
}
