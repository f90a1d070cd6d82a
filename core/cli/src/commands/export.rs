//! `vitral export`.

use std::process::ExitCode;

use vitral_interchange::{write_published, write_timm};
use vitral_train::{
    Error,
    checkpoint::{self, Checkpoint},
};

use crate::{
    args::{ExportArguments, ExportFormat},
    failure::Failure,
};

pub fn run(arguments: &ExportArguments) -> Result<ExitCode, Failure> {
    let path = checkpoint::find(&arguments.checkpoint).map_err(Error::from)?;
    let checkpoint = Checkpoint::load(&path).map_err(Error::from)?;
    let out = &arguments.out;
    let notes = match arguments.format {
        ExportFormat::Native => {
            checkpoint.write_model(out).map_err(Error::from)?;
            Vec::new()
        }
        ExportFormat::Npz => {
            write_published(&checkpoint.into_pretrained(), out).map_err(Error::from)?
        }
        ExportFormat::Timm => {
            write_timm(&checkpoint.into_pretrained(), out).map_err(Error::from)?
        }
    };
    println!("wrote {}", out.display());
    for note in notes {
        println!("  {note}");
    }
    Ok(ExitCode::SUCCESS)
}
