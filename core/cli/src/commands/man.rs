//! `vitral man`: a manual page for each command.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Command};
use clap_mangen::Man;
use vitral_files::{Access, Existing};

use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct ManArguments {
    /// The folder to write the pages to: `vitral.1`, `vitral-train.1` and so on.
    pub folder: PathBuf,
}

pub fn run(arguments: &ManArguments, command: Command) -> Result<ExitCode, Failure> {
    let folder = &arguments.folder;
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    // Whose subcommands then have the names that their pages are called by.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    write_pages(&command, folder)?;
    println!("wrote manual pages to {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command, and those of the commands in it that `--help` shows.
fn write_pages(command: &Command, folder: &Path) -> Result<(), Failure> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write_pages(inner, folder)?;
    }
    let page = Man::new(command.clone());
    let path = folder.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text)
        .and_then(|()| vitral_files::write(&path, &text, Existing::Replace, Access::Usual))
        .map_err(|error| failed(&path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Other(format!("{}: {error}", path.display()))
}
