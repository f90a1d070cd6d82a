//! The top level of the command line. Each command's arguments are in its own file.

use clap::Parser;

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
    Arguments::try_parse_from(shown).err().unwrap_or(error).exit()
}
