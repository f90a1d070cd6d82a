//! The top level of the command line. Each command's arguments are in its own file.

use clap::{
    Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};
use vitral_train::Experiment;

use crate::{commands::Command, version};

/// Trains Vision Transformers.
#[derive(Debug, Parser)]
#[command(name = "vitral", version, long_version = version::LONG.as_str(), propagate_version = true)]
pub struct Arguments {
    // What every command has is listed behind what it has of its own.
    /// Print only results, warnings and errors, no progress.
    #[arg(long, short, global = true, display_order = 900, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log what is done; give it twice (`-vv`) for detail. Overrides `VITRAL_LOG`.
    #[arg(long, short, global = true, display_order = 901, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Run in this process alone, whatever a launcher (mpirun, srun) says: for independent runs, each with its
    /// own `output`.
    #[arg(long, global = true, display_order = 902)]
    pub single_process: bool,
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// What the command line says; ends the program where that is nothing.
    pub fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| misunderstood(error))
    }
}

/// Ends the program with what it takes, or does not take, of which nothing acts on the terminal: arguments
/// may be names of files that others have made.
fn misunderstood(error: clap::Error) -> ! {
    let words = std::env::args_os();
    let shown = words.map(|word| vitral_config::visible(&word.to_string_lossy()).into_owned());
    let mut error = Arguments::try_parse_from(shown).err().unwrap_or(error);
    if let Some(tip) = field_of_option(&error) {
        // In the place of "to pass '--epochs' as a value, use '-- --epochs'".
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error.exit()
}

/// How a field of the experiment is set, where an option that there is not has the name that the field has here or
/// elsewhere.
fn field_of_option(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument || error.get(ContextKind::SuggestedArg).is_some()
    {
        return None;
    }
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let name = option.trim_start_matches('-').replace('-', "_");
    let fields = vitral_config::fields_called::<Experiment>(&name);
    let field = fields.first()?;
    Some(format!("fields of the experiment are set by '--set': '--set {field}=...'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_is_a_field_says_how_that_is_set() {
        for (option, tip) in [
            ("--epochs", Some("--set train.epochs=...")),
            ("--batch-size", Some("--set train.batch=...")),
            ("--whatever", None),
            // It is a misspelling first.
            ("--resum", None),
        ] {
            let error = Arguments::try_parse_from(["vitral", "train", "a.ron", option, "3"]);
            let found = field_of_option(&error.unwrap_err());
            match tip {
                Some(tip) => assert!(found.unwrap().contains(tip), "{option}"),
                None => assert_eq!(found, None, "{option}"),
            }
        }
    }
}
