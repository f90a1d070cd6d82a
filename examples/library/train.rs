//! Trains the quickstart's experiment from Rust, and tells of each evaluation.
//!
//! `cargo run --release -p vitral-train --example library_train` in the project's folder.

use std::{error::Error, fs, path::Path, sync::atomic::AtomicBool};

use vitral_bundle::Trust;
use vitral_config::Document;
use vitral_model::device::DeviceChoice;
use vitral_train::{Event, Experiment, Outcome, Trainer, plugins::Registry};

fn train(file: &Path, epochs: f64, output: &Path) -> Result<Outcome, Box<dyn Error>> {
    let document = Document::new(file.display().to_string(), fs::read_to_string(file)?);
    let mut experiment: Experiment = document.parse()?;
    experiment.resolve_paths(file.parent().unwrap_or(Path::new(".")));
    experiment.train.epochs = epochs;
    experiment.output = output.to_owned();

    // No plugins: a program of your own can compile some in, or trust a store of bundles.
    let registry = Registry::new(Vec::new(), Trust::new(None, []), None);
    let mut trainer = Trainer::new(experiment, &registry, &DeviceChoice::Cpu.open()?)?;
    let mut tell = |event: &Event| {
        if let Event::Evaluated { evaluation, .. } = event {
            println!("top-1 {:.2}%", 100.0 * evaluation.top1);
        }
    };
    Ok(trainer.run(&mut tell, &AtomicBool::new(false))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let outcome = train(Path::new("examples/quickstart.ron"), 2.0, Path::new("runs/library"))?;
    println!("{} steps, in {}", outcome.step, outcome.run.display());
    Ok(())
}
