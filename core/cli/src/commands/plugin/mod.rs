//! `vitral plugin`.

mod author;
mod bundle;

use std::process::ExitCode;

use crate::{args::PluginCommand, failure::Failure};

pub fn run(command: &PluginCommand) -> Result<ExitCode, Failure> {
    match command {
        PluginCommand::New(arguments) => author::create(arguments)?,
        PluginCommand::Build(arguments) => author::make(arguments)?,
        PluginCommand::Check(arguments) => return author::examine(arguments),
        PluginCommand::Test { folder } => return author::test(folder),
        PluginCommand::Bench(arguments) => author::measure(arguments)?,
        PluginCommand::Pack(arguments) => author::bundle(arguments)?,
        PluginCommand::Inspect { plugin } => bundle::inspect(plugin)?,
        PluginCommand::Verify { plugin, key } => bundle::verify(plugin, key.as_deref())?,
        PluginCommand::Install(arguments) => bundle::install(arguments)?,
        PluginCommand::List => bundle::list()?,
        PluginCommand::Remove { plugin } => bundle::remove(plugin)?,
        PluginCommand::Keygen { name } => bundle::keygen(name)?,
        PluginCommand::Sign { bundle, key } => bundle::sign(bundle, key)?,
        PluginCommand::Trust { key } => bundle::trust(key)?,
        PluginCommand::Distrust { what } => bundle::distrust(what)?,
        PluginCommand::Keys => bundle::keys()?,
    }
    Ok(ExitCode::SUCCESS)
}
