//! Where plugins' messages go.

use std::sync::Arc;

use vitral_abi::LogLevel;

/// The most lines of one call, and the most bytes of one line.
const MAX_LINES: usize = 100;
const MAX_LINE: usize = 4 << 10;

/// The messages of one plugin, so many a call.
pub(crate) struct Log {
    plugin: Arc<str>,
    lines: usize,
}

impl Log {
    pub(crate) fn new(plugin: Arc<str>) -> Self {
        Self { plugin, lines: 0 }
    }

    /// A call begins; where there is a log for each call, there is no need to say so.
    #[cfg(feature = "wasm")]
    pub(crate) fn begin(&mut self) {
        self.lines = 0;
    }

    /// One message; an unknown level counts as a warning.
    pub(crate) fn line(&mut self, level: Option<LogLevel>, message: &str) {
        self.lines += 1;
        match self.lines.cmp(&(MAX_LINES + 1)) {
            std::cmp::Ordering::Less => self.write(level, &clean(message, MAX_LINE)),
            std::cmp::Ordering::Equal => self.write(
                Some(LogLevel::Warn),
                &format!("more than {MAX_LINES} messages in one call; the others are left out"),
            ),
            std::cmp::Ordering::Greater => {}
        }
    }

    fn write(&self, level: Option<LogLevel>, message: &str) {
        let plugin = &self.plugin;
        match level {
            Some(LogLevel::Debug) => tracing::debug!("plugin `{plugin}`: {message}"),
            Some(LogLevel::Info) => tracing::info!("plugin `{plugin}`: {message}"),
            Some(LogLevel::Warn) | None => tracing::warn!("plugin `{plugin}`: {message}"),
            Some(LogLevel::Error) => tracing::error!("plugin `{plugin}`: {message}"),
        }
    }
}

/// A plugin's text, cut to so many bytes, without what could change a terminal.
pub(crate) fn clean(text: &str, most: usize) -> String {
    let cut = &text[..text.floor_char_boundary(most)];
    cut.chars().filter(|&c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters_and_change_no_terminal() {
        assert_eq!(clean("\x1b[31mred\nline\r", 100), "[31mred\nline");
        assert_eq!(clean("größe", 3), "gr");
        assert_eq!(clean("größe", 4), "grö");
    }
}
