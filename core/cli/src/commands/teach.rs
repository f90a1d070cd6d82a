//! `vitral teach`: a teacher's logits of all training images, in a file.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use indicatif::HumanCount;
use vitral_train::teacher::{Taught, teach};

use crate::{
    experiment::{Loaded, open_device},
    failure::Failure,
    overrides::Overrides,
    progress::counting,
};

#[derive(Debug, Args)]
pub struct TeachArguments {
    /// The teacher: a run's folder, its `best` or `last`, a checkpoint, or whatever `init: Pretrained` takes.
    pub teacher: PathBuf,
    /// The experiment, a RON file, whose training images it answers on. They must not be augmented
    /// at random.
    pub experiment: PathBuf,
    /// The file to write, which `train.teacher: (logits: "FILE.safetensors")` names.
    #[arg(long, value_name = "FILE.safetensors")]
    pub out: PathBuf,
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    #[command(flatten)]
    pub overrides: Overrides,
}

pub fn run(arguments: &TeachArguments) -> Result<ExitCode, Failure> {
    let out = &arguments.out;
    vitral_files::check_new(out)
        .map_err(|error| Failure::Other(format!("{}: {error}", out.display())))?;
    let loaded = Loaded::read(&arguments.experiment, &arguments.overrides.set)?;
    let device = open_device(arguments.device.as_deref(), &loaded.experiment)?;
    let bar = counting("teaching");
    let taught = teach(
        &arguments.teacher,
        loaded.experiment.clone(),
        out,
        &device,
        &mut |note| bar.suspend(|| eprintln!("teacher: {note}")),
        &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        },
    );
    bar.finish_and_clear();
    print(&taught.map_err(|error| loaded.locate(error))?, out);
    Ok(ExitCode::SUCCESS)
}

fn print(taught: &Taught, out: &Path) {
    for image in &taught.skipped {
        eprintln!("left out {}: {}", image.name, image.reason);
    }
    println!(
        "wrote {} logits of each of {} images to {}",
        HumanCount(taught.classes as u64),
        HumanCount(taught.images as u64),
        out.display()
    );
}
