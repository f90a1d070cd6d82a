//! The log of what a command does, on standard error.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::{
    EnvFilter, Layer as _, filter::LevelFilter, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    commands::bench::Recorder,
    failure::Failure,
    print::{err_as_it_is, visible_styled},
    tuning::Tuning,
};

/// The variable that says what is logged.
const VARIABLE: &str = "VITRAL_LOG";

/// Starts the log: as `-v` and `-vv` say, else as `VITRAL_LOG` does, else errors alone; beside it goes what
/// `recorder` takes.
pub fn start(verbose: u8, recorder: Option<Recorder>) -> Result<(), Failure> {
    let filter = match (verbose, std::env::var(VARIABLE)) {
        (0, Ok(text)) if !text.is_empty() => filter(&text)
            .map_err(|problem| Failure::Usage(format!("{VARIABLE}={text}: {problem}")))?,
        // Where a database of kernels cannot be used, they are compiled anew, which is no error of the user's.
        (0, _) => EnvFilter::new("error,turso=off"),
        (1, _) => EnvFilter::new("info"),
        _ => EnvFilter::new("debug"),
    };
    // A log that goes into a file is to be read there.
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(|| Log);
    tracing_subscriber::registry()
        .with(recorder)
        .with(log.with_filter(filter))
        .with(Tuning::layer())
        .init();
    Ok(())
}

/// Standard error for lines of the log, which may have names and messages in them that others wrote.
struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        err_as_it_is(visible_styled(&text).trim_end_matches('\n'));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// What is logged: a level, or levels of parts as in `vitral_data=debug,info`.
fn filter(text: &str) -> Result<EnvFilter, String> {
    // A word alone would be taken for the name of a part, all of which is then logged.
    let words = text.split(',').map(str::trim);
    let mut bare = words.filter(|word| !word.contains(['=', '[']));
    match bare.find(|word| word.parse::<LevelFilter>().is_err()) {
        Some(word) => Err(format!(
            "unknown level `{word}`: levels are error, warn, info, debug, trace and off, for all or for a part, \
             as in `vitral_data=debug`"
        )),
        None => EnvFilter::try_new(text).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_taken_and_other_words_are_refused() {
        for text in ["info", "off", "DEBUG", "vitral_data=debug", "vitral_data=debug,info"] {
            assert!(filter(text).is_ok(), "{text}");
        }
        for text in ["nonsense", "inof", "vitral_data=nonsense", "info,nonsense"] {
            assert!(filter(text).is_err(), "{text}");
        }
        assert!(filter("inof").unwrap_err().contains("unknown level `inof`"));
    }
}
