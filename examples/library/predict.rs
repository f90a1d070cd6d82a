//! Classifies images with a trained model, from Rust.
//!
//! `cargo run --release -p vitral-train --example library_predict -- runs/quickstart/best IMAGES`

use std::{error::Error, path::Path, sync::Arc};

use vitral_data::{ImageFiles, Source};
use vitral_model::device::DeviceChoice;
use vitral_train::{PredictOptions, TrainedModel, checkpoint};

fn predict(model: &Path, images: &[String]) -> Result<(), Box<dyn Error>> {
    let checkpoint = checkpoint::Checkpoint::load(&checkpoint::find(model)?)?;
    let model = TrainedModel::new(checkpoint, &DeviceChoice::Auto.open()?)?;
    let names = model.class_names();

    let mut files = ImageFiles::default();
    images.iter().try_for_each(|image| files.add(Path::new(image)))?;
    let files: Arc<dyn Source> = Arc::new(files);
    for batch in model.predict(&files, PredictOptions::default())? {
        let batch = batch?;
        let rows = batch.probabilities.chunks_exact(names.len());
        for (&sample, row) in batch.samples.iter().zip(rows) {
            let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            println!("{}: {} ({:.2})", files.name(sample as usize), names[best], row[best]);
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, images @ ..] = arguments.as_slice() else {
        return Err("which model, and which images?".into());
    };
    predict(Path::new(model), images)
}
