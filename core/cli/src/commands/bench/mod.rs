//! `vitral bench`: what training and inference cost on this machine, and how fast images come.

#[cfg(feature = "mpi")]
mod all_reduce;
mod cpu_time;
mod data;
mod kernels;
mod limit;
mod profile;
mod report;
mod step;
mod subject;
mod tricks;

pub use self::profile::Recorder;

use std::process::ExitCode;

use clap::Subcommand;

use self::{
    data::BenchDataArguments,
    kernels::KernelArguments,
    profile::ProfileArguments,
    step::StepArguments,
    tricks::{TricksArguments, measure::MeasureArguments},
};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Measure training steps on noise held in memory: img/s, time of each stage, peak memory, and
    /// the share reached of the machine's limit for matrix products.
    Step(StepArguments),
    /// Measure the CPU kernels of a model's blocks, forward and backward, next to plain matrix
    /// products of the same sizes.
    Kernels(KernelArguments),
    /// Train a few steps of an experiment, and write the last ones as a trace for Perfetto and chrome://tracing:
    /// stages, kernels on the CPU, and data workers.
    Profile(ProfileArguments),
    /// Measure how fast an experiment's training images are loaded, without its model: img/s, the
    /// time of each stage and the bottleneck with different numbers of workers, next to reading,
    /// decoding and copying alone.
    Data(BenchDataArguments),
    /// Measure how fast the ranks of a job (started by `mpirun` or `srun`) sum a model's gradients,
    /// and predict the speed of more ranks.
    #[cfg(feature = "mpi")]
    AllReduce(all_reduce::AllReduceArguments),
    /// Train with each efficiency technique alone and with all together, and compare the time of an
    /// epoch, peak memory and accuracy with the plain loop; a table, and a plot as SVG.
    Tricks(TricksArguments),
    /// Train, and report what it took as JSON: one of the runs of `tricks`.
    #[command(hide = true)]
    Measure(MeasureArguments),
}

pub fn run(command: &BenchCommand) -> Result<ExitCode, Failure> {
    match command {
        BenchCommand::Step(arguments) => step::run(arguments)?,
        BenchCommand::Kernels(arguments) => kernels::run(arguments)?,
        BenchCommand::Profile(arguments) => profile::run(arguments)?,
        BenchCommand::Data(arguments) => data::run(arguments)?,
        #[cfg(feature = "mpi")]
        BenchCommand::AllReduce(arguments) => all_reduce::run(arguments)?,
        BenchCommand::Tricks(arguments) => return tricks::run(arguments),
        BenchCommand::Measure(arguments) => tricks::measure::run(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}
