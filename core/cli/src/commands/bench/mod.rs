//! `vitral bench`: what training and inference cost on this machine, and how fast images come.

mod cpu_time;
mod data;
mod kernels;
mod limit;
mod report;
mod step;
mod subject;
mod tricks;

use std::process::ExitCode;

pub use self::tricks::Technique;
use crate::{args::BenchCommand, failure::Failure};

pub fn run(command: &BenchCommand) -> Result<ExitCode, Failure> {
    match command {
        BenchCommand::Step(arguments) => step::run(arguments)?,
        BenchCommand::Kernels(arguments) => kernels::run(arguments)?,
        BenchCommand::Data(arguments) => data::run(arguments)?,
        BenchCommand::Tricks(arguments) => return tricks::run(arguments),
        BenchCommand::Measure(arguments) => tricks::measure::run(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}
