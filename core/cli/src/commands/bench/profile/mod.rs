//! `vitral bench profile`: where the time of a step goes, as a trace.
//!
//! The trainer, its kernels and its data workers have spans of `tracing`, which cost nothing while nobody takes
//! them down. Here a run of its own is trained, in a folder that is gone afterwards.

mod recorder;
mod trace;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::Args;
use vitral_config::path_text;
use vitral_model::device::is_cpu;
use vitral_train::{Event, Trainer};

pub use self::recorder::Recorder;
use self::trace::Trace;
use super::step::name_of;
use crate::{
    consent::Allowed,
    experiment::{Loaded, open_device},
    failure::Failure,
    files::write,
    overrides::Overrides,
    plugins::registry,
    words::counted,
};

#[derive(Debug, Args)]
pub struct ProfileArguments {
    /// The experiment, a RON file. It is trained as `train` would, with its images.
    pub experiment: PathBuf,
    /// The file of the trace.
    #[arg(long, value_name = "FILE.json")]
    pub output: PathBuf,
    /// Steps to write.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub steps: u32,
    /// Steps before those.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub warmup: u32,
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

pub fn run(arguments: &ProfileArguments) -> Result<(), Failure> {
    let out = &arguments.output;
    let at = |error: std::io::Error| Failure::Other(format!("{}: {error}", out.display()));
    vitral_files::check_place(out).map_err(at)?;
    let folder = tempfile::tempdir()
        .map_err(|error| Failure::Other(format!("cannot make a folder for the run: {error}")))?;
    let output = format!("output={}", path_text::quoted(&folder.path().join("run")));
    // Of what a GPU repeats on its own there are no stages.
    let single = "train.record_steps=false".into();
    let set = [&arguments.overrides.set[..], &[output, single]].concat();
    let loaded = Loaded::read_to_train(&arguments.experiment, &set)?;
    let device = open_device(arguments.device.as_deref(), &loaded.experiment)?;
    let registry = registry(&arguments.allowed.allow)?;
    let trainer = Trainer::new(loaded.experiment.clone(), &registry, &device);
    let mut trainer = trainer.map_err(|error| loaded.locate(error))?;
    let first = u64::from(arguments.warmup);
    let last = first + u64::from(arguments.steps);
    let stop = AtomicBool::new(false);
    let mut observer = |event: &Event| {
        if let Event::Stepped(report) = event {
            if report.step == first {
                recorder::start();
            }
            // The run ends once this step is over.
            stop.store(report.step >= last, Ordering::Relaxed);
        }
    };
    let outcome = trainer.run(&mut observer, &stop).map_err(|error| loaded.locate(error))?;
    let name = arguments.experiment.display();
    let trace = Trace::of(recorder::finish());
    if outcome.step < last || trace.steps() == 0 {
        return Err(Failure::Usage(format!(
            "{name} makes {}, but step {last} was to be traced\n  help: let it make more, as in \
             `--set train.steps={last}`, or trace fewer (`--warmup`, `--steps`)",
            counted(outcome.step, "step", "steps"),
        )));
    }
    write(out, trace.json()?)?;
    println!("{} of {name} on {}", counted(trace.steps(), "step", "steps"), name_of(&device));
    print!("{trace}");
    if !is_cpu(&device) {
        println!(
            "a GPU computes asynchronously: these stages show when it was given its work, and when \
             training waited for it"
        );
    }
    println!("wrote {}; open it at https://ui.perfetto.dev or chrome://tracing", out.display());
    Ok(())
}
