//! `vitral export`.

use std::{path::Path, process::ExitCode};

use vitral_interchange::{write_published, write_timm};
use vitral_train::{
    Error,
    checkpoint::{self, Checkpoint},
};

use crate::{
    args::{ExportArguments, ExportFormat},
    failure::Failure,
    progress::working,
};

pub fn run(arguments: &ExportArguments) -> Result<ExitCode, Failure> {
    let path = checkpoint::find(&arguments.checkpoint).map_err(Error::from)?;
    let spinner = working("exporting the model");
    let notes = write(&path, arguments);
    spinner.finish_and_clear();
    let notes = notes?;
    println!("wrote {}", arguments.out.display());
    for note in notes {
        println!("  {note}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the model, and returns what is different where it goes, in sentences.
fn write(path: &Path, arguments: &ExportArguments) -> Result<Vec<String>, Error> {
    let checkpoint = Checkpoint::load(path)?;
    let out = &arguments.out;
    match arguments.format {
        ExportFormat::Native => {
            checkpoint.write_model(out)?;
            Ok(Vec::new())
        }
        ExportFormat::Npz => Ok(write_published(&checkpoint.into_pretrained(), out)?),
        ExportFormat::Timm => Ok(write_timm(&checkpoint.into_pretrained(), out)?),
    }
}
