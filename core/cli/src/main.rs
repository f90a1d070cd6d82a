//! The `vitral` program: commands, progress, and errors for people. How anything is done is the
//! business of the other crates.

// First: its macros are for all that follow.
#[macro_use]
mod print;

mod allocator;
mod args;
mod commands;
mod consent;
mod excerpt;
mod experiment;
mod failure;
mod fewer_tokens;
mod files;
mod job;
mod json;
mod launcher;
#[cfg(unix)]
mod live;
mod logging;
mod overrides;
mod page;
mod picture;
mod plot;
mod plugins;
mod precision;
mod progress;
mod registries;
mod same_experiment;
mod several_runs;
mod start_from;
mod stop;
mod tuning;
mod version;
mod words;

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::{
    args::Arguments,
    commands::{AmongOthers, Command},
    job::Job,
    launcher::Start,
};

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> ExitCode {
    allocator::keep_free_memory();
    let arguments = Arguments::read();
    if arguments.quiet {
        progress::be_quiet();
    }
    if let Err(failure) = logging::start(arguments.verbose, arguments.command.recorder()) {
        return failure.report();
    }
    stop::outlive_full_files();
    if let Some(folder) = plugins::cache_folder() {
        vitral_model::device::keep_kernels_in(folder.join("gpu"));
    }
    let job = match arguments.command.among_others() {
        _ if arguments.single_process => Ok(Job::alone()),
        AmongOthers::Shared => Job::join(),
        AmongOthers::Refused => Start::of_this_process().check_first().map(|()| Job::alone()),
        AmongOthers::Repeated => Ok(Job::alone()),
    };
    let job = match job {
        Ok(job) => job,
        Err(failure) => return failure.report(),
    };
    // A process that only compiles gives up what threads are made with before it makes any.
    if !matches!(arguments.command, Command::CompilePlugin) {
        compute_on_this_thread();
    }
    let result = match arguments.command {
        Command::Quickstart(arguments) => commands::quickstart::run(&arguments),
        Command::Train(arguments) => commands::train::run(&arguments, &job),
        Command::Eval(arguments) => commands::eval::run(&arguments),
        Command::Predict(arguments) => commands::predict::run(&arguments),
        Command::Average(arguments) => commands::average::run(&arguments),
        Command::Prune(arguments) => commands::prune::run(&arguments),
        Command::Teach(arguments) => commands::teach::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Import(arguments) => commands::import::run(&arguments),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Report(arguments) => commands::report::run(&arguments),
        Command::Tune(arguments) => commands::tune::run(&arguments),
        Command::Runs(arguments) => commands::run_list::run(&arguments),
        Command::Config(arguments) => commands::config::run(&arguments),
        Command::Plugin { command } => commands::plugin::run(&command),
        Command::Data { command } => commands::data::run(&command),
        Command::Bench { command } => commands::bench::run(&command),
        Command::Doctor(arguments) => commands::doctor::run(&arguments),
        Command::Completions(arguments) => {
            commands::completions::run(&arguments, &Arguments::command())
        }
        Command::Man(arguments) => commands::man::run(&arguments, Arguments::command()),
        Command::CompilePlugin => Ok(vitral_host::compile_for_parent()),
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
