//! The `vitral` program: commands, progress, and errors for people. How anything is done is the
//! business of the other crates.

mod args;
mod commands;
mod experiment;
mod failure;
mod files;
mod plot;
mod plugins;
mod progress;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, Command};

/// A training step frees and takes the same large buffers again and again; the system's allocator
/// would give each back to the kernel and fault it in anew, which costs a third of the step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("VITRAL_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = match arguments.command {
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Eval(arguments) => commands::eval::run(&arguments),
        Command::Predict(arguments) => commands::predict::run(&arguments),
        Command::Import(arguments) => commands::import::run(&arguments),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Report(arguments) => commands::report::run(&arguments),
        Command::Config(arguments) => commands::config::run(&arguments),
        Command::Plugin { command } => commands::plugin::run(&command),
        Command::Data { command } => commands::data::run(&command),
        Command::Bench { command } => commands::bench::run(&command),
        Command::Doctor => commands::doctor::run(),
    };
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
