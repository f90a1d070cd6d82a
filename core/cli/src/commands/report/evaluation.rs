//! What a run's best model makes of the validation images.

use std::path::Path;

use vitral_model::{device::Device, parameters};
use vitral_train::{
    Error, EvaluateOptions, Evaluated, TrainedModel,
    checkpoint::{self, Checkpoint},
};

use crate::{
    commands::eval::{Found, PICTURES, evaluated, pictures},
    experiment::open_device,
    failure::Failure,
    page::Pictures,
};

/// A model that was evaluated for a report.
pub struct Judged {
    pub found: Found,
    pub pictures: Pictures,
    /// Trainable values of the model.
    pub parameters: usize,
}

/// Evaluates the best checkpoint of a run, or the last where none was evaluated yet; tells why where it has none, or
/// its validation images cannot be read.
///
/// # Errors
/// The device that was asked for cannot be had.
pub fn judge(run: &Path, device: Option<&str>) -> Result<Result<Judged, Error>, Failure> {
    let best = checkpoint::find(&run.join("best"));
    let path = best.or_else(|_| checkpoint::find(run));
    let checkpoint = match path.and_then(|path| Checkpoint::load(&path)) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return Ok(Err(error.into())),
    };
    for note in &checkpoint.notes {
        eprintln!("{note}");
    }
    let device = match (open_device(device, &checkpoint.experiment), device) {
        // The run may have been made on another machine.
        (Err(_), None) => open_device(Some("auto"), &checkpoint.experiment)?,
        (device, _) => device?,
    };
    Ok(judged(checkpoint, &device))
}

fn judged(checkpoint: Checkpoint, device: &Device) -> Result<Judged, Error> {
    let path = checkpoint.path.display().to_string();
    let model = TrainedModel::new(checkpoint, device)?;
    let options = EvaluateOptions { noted: PICTURES, ..EvaluateOptions::default() };
    let all = evaluated(&model, &options)?;
    let pictures = pictures(&model, &all)?;
    let Evaluated { evaluation, figures, .. } = all;
    let found =
        Found { checkpoint: path, step: model.state.step, flips: false, evaluation, figures };
    Ok(Judged { found, pictures, parameters: parameters::count(model.vit()) })
}
