//! The `vitral` program: commands, progress, and errors for people. How anything is done is the
//! business of the other crates.

// First: its macros are for all that follow.
#[macro_use]
mod print;

mod args;
mod commands;
mod experiment;
mod failure;
mod files;
mod overrides;
mod plot;
mod plugins;
mod progress;
mod signals;
mod start_from;

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
    compute_on_this_thread();
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

/// Makes this thread one of those that compute. Else it would hand over each kernel and sleep until
/// it is done, which costs a small model a quarter of its step.
fn compute_on_this_thread() {
    let threads = match std::env::var("RAYON_NUM_THREADS").map(|threads| threads.parse()) {
        Ok(Ok(threads @ 1..)) => threads,
        _ => std::thread::available_parallelism().map_or(1, usize::from),
    };
    // This thread also waits for others, e.g. for data; a pool must never wait with it.
    if threads > 1 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
        // It has not been built before. Should it fail, rayon makes its own at first use.
        drop(pool.build_global());
    }
}
