//! One pass of a teacher over the training images of an experiment, whose logits a file keeps.

use std::path::Path;

use vitral_data::Skipped;
use vitral_model::device::Device;

use super::{
    file::{MadeOf, Writer, check_unaugmented, stages},
    open::open_model,
};
use crate::{
    Error,
    batch::images_to_device,
    experiment::Experiment,
    trainer::{open_data, unaugmented_loader},
};

/// What came of a pass.
#[derive(Debug)]
pub struct Taught {
    /// Training images that have logits.
    pub images: usize,
    /// How many logits each has.
    pub classes: usize,
    /// Images that could not be read, where the experiment leaves those out.
    pub skipped: Vec<Skipped>,
}

/// Has a model answer once on each training image of an experiment, as it will be given them, and writes its
/// logits to a new file for `train.teacher.logits`. `progress` is told how many images are done, and of how many,
/// and `note` what is to be known of the teacher.
///
/// # Errors
/// Images change at random in the experiment, the model cannot teach its classes, something cannot be read, or the
/// file is there already or cannot be written.
pub fn teach(
    teacher: &Path,
    experiment: Experiment,
    out: &Path,
    device: &Device,
    note: &mut dyn FnMut(&str),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Taught, Error> {
    check_unaugmented(&experiment)?;
    let mut experiment = experiment;
    // It may say what is to be learned from the file that this makes.
    experiment.train.teacher = None;
    let (experiment, datasets) = open_data(experiment)?;
    experiment.train.precision.check(device)?;
    let images = &datasets.train;
    let opened = open_model(teacher, &experiment, images.class_names(), device)?;
    opened.notes.iter().for_each(|told| note(told));
    let made_of = MadeOf::new(&experiment, &**images, (opened.origin, opened.fingerprint))?;
    let classes = made_of.classes.len();
    let mut file = Writer::create(out, &made_of)?;
    let loader = unaugmented_loader(&experiment, images, stages(&experiment)?)?;
    let total = images.len() as u64;
    let (mut done, mut skipped) = (0, Vec::new());
    for batch in loader {
        let mut batch = batch?;
        let pixels = images_to_device(&batch, &experiment.data.normalize, device)?;
        let logits = opened.model.logits(pixels);
        let logits =
            logits.try_into_vec_as::<f32>().map_err(|error| Error::Device(error.to_string()))?;
        file.add(&batch.samples, &logits)?;
        done += batch.len();
        skipped.append(&mut batch.skipped);
        progress((done + skipped.len()) as u64, total);
    }
    file.finish()?;
    Ok(Taught { images: done, classes, skipped })
}
