//! `vitral plugin`.

mod author;
mod bundle;
mod contract;
mod index;
mod inspect;
mod install;
mod registry;

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use self::{
    author::{BenchArguments, BuildArguments, CheckArguments, NewArguments, PackArguments},
    contract::ContractArguments,
    index::{IndexCommand, OutdatedArguments, SearchArguments, UpdateArguments},
    inspect::InspectArguments,
    install::InstallArguments,
    registry::{PullArguments, PushArguments},
};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Write a new plugin, in any of the languages, which builds and passes its checks.
    New(NewArguments),
    /// Build a plugin as WebAssembly and, in Rust and C, as a native library, into its `dist` folder.
    Build(BuildArguments),
    /// Check a plugin: contract, parameters, permissions, shapes, gradients, determinism, and that
    /// its native and WebAssembly forms agree.
    Check(CheckArguments),
    /// Print the contract between Vitral and plugins: interfaces, header, or the ops of programs.
    Contract(ContractArguments),
    /// Run the tests of a plugin's crate, in Rust.
    Test {
        /// The plugin's folder.
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Measure a plugin, native against WebAssembly.
    Bench(BenchArguments),
    /// Put a built plugin into a bundle, `name-version.vitral`.
    Pack(PackArguments),
    /// Describe a bundle, or a plugin in a registry, installed or compiled in, with its parameters.
    Inspect(InspectArguments),
    /// Verify every file of a bundle or an installed plugin, and who signed it.
    Verify {
        /// A bundle's file, or an installed plugin's name.
        plugin: PathBuf,
        /// A public key that must have signed it.
        #[arg(long, value_name = "KEY.pub")]
        key: Option<PathBuf>,
    },
    /// Install a bundle that is signed with a key you trust, from a file or a registry.
    Install(InstallArguments),
    /// Publish a bundle in a registry for container images.
    Push(PushArguments),
    /// Fetch a bundle from a registry into a file.
    Pull(PullArguments),
    /// Search for plugins in your plugin indexes.
    Search(SearchArguments),
    /// List installed plugins that the indexes have in a newer version, or that were yanked there.
    Outdated(OutdatedArguments),
    /// Install the newest versions of installed plugins, beside the versions already there.
    Update(UpdateArguments),
    /// Plugin indexes: add one to search, or make one.
    Index {
        #[command(subcommand)]
        command: IndexCommand,
    },
    /// List the compiled-in and the installed plugins.
    List,
    /// Remove an installed plugin.
    Remove {
        /// `name`, or `name@version`.
        plugin: String,
    },
    /// Make a key pair: `NAME.pub` to share, `NAME.key` to sign with.
    Keygen {
        /// Path of the key files, without an extension.
        name: PathBuf,
    },
    /// Sign a bundle.
    Sign {
        /// The bundle's file.
        bundle: PathBuf,
        /// The secret key.
        #[arg(long, value_name = "NAME.key")]
        key: PathBuf,
    },
    /// Trust a public key: bundles signed with it can be installed and run in the sandbox.
    Trust {
        /// The public key's file.
        key: PathBuf,
    },
    /// Withdraw trust: from a key, whose bundles then no longer run, or from a bundle that you gave
    /// permissions.
    Distrust {
        /// The public key's file, or the first digits of its fingerprint or of the bundle's digest.
        what: PathBuf,
    },
    /// Show the keys you trust, the plugin names they own, and what else you have allowed.
    Keys,
}

pub fn run(command: &PluginCommand) -> Result<ExitCode, Failure> {
    match command {
        PluginCommand::New(arguments) => author::create(arguments)?,
        PluginCommand::Build(arguments) => author::make(arguments)?,
        PluginCommand::Check(arguments) => return author::examine(arguments),
        PluginCommand::Contract(arguments) => contract::contract(arguments)?,
        PluginCommand::Test { folder } => return author::test(folder),
        PluginCommand::Bench(arguments) => author::measure(arguments)?,
        PluginCommand::Pack(arguments) => author::bundle(arguments)?,
        PluginCommand::Inspect(arguments) => inspect::inspect(arguments)?,
        PluginCommand::Verify { plugin, key } => bundle::verify(plugin, key.as_deref())?,
        PluginCommand::Install(arguments) => install::install(arguments)?,
        PluginCommand::Push(arguments) => registry::push(arguments)?,
        PluginCommand::Pull(arguments) => registry::pull(arguments)?,
        PluginCommand::Search(arguments) => index::search(arguments)?,
        PluginCommand::Outdated(arguments) => index::outdated(arguments)?,
        PluginCommand::Update(arguments) => index::update(arguments)?,
        PluginCommand::Index { command } => index::run(command)?,
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
