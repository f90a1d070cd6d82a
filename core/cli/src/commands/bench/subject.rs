//! What is measured: the experiment that a command line comes to, and a batch of noise for it.

use std::path::Path;

use burn::tensor::{Distribution, Tensor};
use vitral_config::Document;
use vitral_model::device::Device;
use vitral_train::{Error, Experiment, loss::targets};

use crate::{experiment::Loaded, failure::Failure};

/// A published model as timm builds it, trained by PyTorch's defaults, so that the same can be
/// measured elsewhere. Its data is never read.
const PRESET: &str = r#"(
    model: (
        variant: "Ti/16",
        image_size: 224,
        classes: 1000,
        mlp: Gelu,
        init: Timm,
    ),
    data: (
        train: ImageFolder(path: "noise"),
        val: ImageFolder(path: "noise"),
    ),
    train: (
        batch: 16,
        optimizer: AdamW(),
        clip_norm: None,
    ),
)"#;

/// Seed of the noise.
const NOISE: u64 = 0;

/// What is measured.
pub struct Subject {
    /// For people: the experiment's file, or the variant.
    pub name: String,
    /// With every size written out.
    pub experiment: Experiment,
    loaded: Loaded,
}

impl Subject {
    /// An experiment with changes; without one, the published model.
    pub fn read(experiment: Option<&Path>, set: &[String]) -> Result<Self, Failure> {
        let (name, loaded) = match experiment {
            Some(path) => (path.display().to_string(), Loaded::read_to_look(path, set)?),
            None => {
                let document = Document::new("preset", PRESET);
                let loaded = Loaded::parse(document, set, Path::new("."))?;
                (loaded.experiment.model.variant.to_string(), loaded)
            }
        };
        let classes = match loaded.experiment.model.classes {
            0 => {
                let data = loaded.experiment.data.open().map_err(|error| {
                    Failure::Other(format!(
                        "cannot take the number of classes from the data: {error}; `--classes` \
                         sets it as well"
                    ))
                })?;
                data.train.class_names().len()
            }
            classes => classes,
        };
        let experiment = loaded.experiment.resolved(classes);
        Ok(Self { name, experiment, loaded })
    }

    /// Points into the experiment's text where an error is about its fields.
    pub fn locate(&self, error: Error) -> Failure {
        self.loaded.locate(error)
    }

    /// A batch as training has it on the device: normalised images, and targets.
    pub fn batch(&self, device: &Device) -> (Tensor<4>, Tensor<2>) {
        let (model, train) = (&self.experiment.model, &self.experiment.train);
        let shape = [train.batch.effective(), model.image_size, model.image_size, model.channels];
        device.seed(NOISE);
        let images = Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), device);
        // A number of classes is far below 2^32: its range sees to that.
        let labels: Vec<u32> = (0..train.batch.effective())
            .map(|index| (index * 7919 % model.classes) as u32)
            .collect();
        (images, targets(&labels, model.classes, train.label_smoothing, device))
    }
}
