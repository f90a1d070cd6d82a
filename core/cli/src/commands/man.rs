//! `vitral man`: a manual page for each command.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::{Args, Command};

use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct ManArguments {
    /// The folder to write the pages to: `vitral.1`, `vitral-train.1` and so on.
    pub folder: PathBuf,
}

pub fn run(arguments: &ManArguments, command: Command) -> Result<ExitCode, Failure> {
    let folder = &arguments.folder;
    let written =
        fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    written.map_err(|error| Failure::Other(format!("{}: {error}", folder.display())))?;
    println!("wrote manual pages to {}", folder.display());
    Ok(ExitCode::SUCCESS)
}
