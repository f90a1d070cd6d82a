//! `vitral data`.

mod cache;
mod info;
mod sheet;
mod subject;

pub use self::subject::{is_experiment, source};

use std::process::ExitCode;

use crate::{args::DataCommand, failure::Failure};

pub fn run(command: &DataCommand) -> Result<ExitCode, Failure> {
    match command {
        DataCommand::Info(arguments) => info::run(arguments),
        DataCommand::Cache(arguments) => cache::run(arguments),
        DataCommand::Verify { cache } => cache::verify(cache),
    }
}

/// A failure that concerns data.
fn failure(error: vitral_data::DataError) -> Failure {
    Failure::Run(error.into())
}
