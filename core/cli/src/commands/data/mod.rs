//! `vitral data`.

mod cache;
mod info;
mod sheet;
mod subject;

pub use self::subject::{is_experiment, source};

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use self::{cache::DataCacheArguments, info::DataInfoArguments};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Show counts, image sizes and class balance, and draw a contact sheet.
    Info(DataInfoArguments),
    /// Pack a data set into one file, which is memory-mapped and read without copying.
    Cache(DataCacheArguments),
    /// Verify every image of a cache against its checksum.
    Verify {
        /// The cache's file.
        cache: PathBuf,
    },
}

pub fn run(command: &DataCommand) -> Result<ExitCode, Failure> {
    match command {
        DataCommand::Info(arguments) => info::run(arguments),
        DataCommand::Cache(arguments) => cache::run(arguments),
        DataCommand::Verify { cache } => cache::verify(cache),
    }
}
