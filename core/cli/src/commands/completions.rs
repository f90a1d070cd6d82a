//! `vitral completions`: a shell's completions of this command line.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::{failure::Failure, print::write_out};

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

pub fn run(arguments: &CompletionsArguments, command: &Command) -> Result<ExitCode, Failure> {
    let mut command = shown(command);
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    // As it is: a shell reads it.
    write_out(&String::from_utf8_lossy(&script), "");
    Ok(ExitCode::SUCCESS)
}

/// A command without those in it that `--help` does not show, which the scripts would offer.
fn shown(command: &Command) -> Command {
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set()).map(shown);
    let mut shown = Command::new(command.get_name().to_owned())
        .args(command.get_arguments().cloned())
        .subcommands(commands);
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned()).propagate_version(true);
    }
    shown
}
