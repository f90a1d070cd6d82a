//! A trained model, taken from a checkpoint for evaluation and prediction.

use std::sync::Arc;

use burn::tensor::activation;
use vitral_data::{ClassList, CodedImages, Image, ImageBatch, Source, abridged, match_classes};
use vitral_model::{
    AttentionPrograms, Compute, ConfigProblem, Mode, ViT,
    device::Device,
    parameters,
    vit_program::{Interface, Output},
};
use vitral_seed::Seed;

use crate::{
    Error, Evaluation, Event, Observer,
    batch::images_to_device,
    checkpoint::{Checkpoint, CheckpointError, State, to_device},
    evaluate::evaluate,
    experiment::Experiment,
    footprint::{self, Purpose},
    trainer::{eval_loader, evaluated_at_once},
};

/// A model with the weights of a checkpoint: their moving average where the run kept one.
pub struct TrainedModel {
    /// The experiment that it was trained by.
    pub experiment: Experiment,
    /// Where its training was.
    pub state: State,
    model: ViT,
    device: Device,
    programs: AttentionPrograms,
    /// Whether a number in place of a class's name is a position among the model's classes.
    numbered: bool,
}

impl TrainedModel {
    /// Puts a checkpoint's model on a device. It computes in the run's `train.precision`, and in `f32`
    /// where the device does not have that.
    ///
    /// # Errors
    /// The checkpoint holds something else than its experiment describes.
    pub fn new(checkpoint: Checkpoint, device: &Device) -> Result<Self, Error> {
        let Checkpoint { path, experiment, state, tensors, programs, .. } = checkpoint;
        let seed = Seed::new(experiment.seed);
        let weights = tensors.ema.as_ref().unwrap_or(&tensors.model);
        let mismatch = |problem| CheckpointError::Mismatch { path: path.clone(), problem };
        experiment.model.check()?;
        footprint::check(&experiment, &programs.attention, Purpose::Load, device)?;
        let model = ViT::with_programs(&experiment.model, &programs.attention, seed, device)?;
        let infos = parameters::infos(&model);
        let values = to_device(weights, &infos, device).map_err(mismatch)?;
        // In f32, which is never less exact, where the device lacks what the run trained in.
        let precision = experiment.train.precision;
        let compute = precision.check(device).map_or(Compute::F32, |()| precision.compute());
        Ok(Self {
            model: parameters::with_values(model, values).computing_in(compute),
            numbered: experiment.data.train.is_numbered(),
            experiment,
            state,
            device: device.clone(),
            programs: programs.attention,
        })
    }

    /// The model itself.
    pub fn vit(&self) -> &ViT {
        &self.model
    }

    /// The interface of a graph that takes pixels and gives probabilities: with the normalisation of the
    /// experiment's data, and by its loss.
    ///
    /// # Errors
    /// The normalisation does not fit the images' channels.
    pub fn pixel_interface(&self) -> Result<Interface, Error> {
        let (channels, _) = self.experiment.input()?;
        let normalize = self.experiment.data.normalize.mean_std(channels)?;
        let output = match self.experiment.train.loss {
            crate::loss::Loss::Softmax => Output::Softmax,
            crate::loss::Loss::Sigmoid | crate::loss::Loss::SigmoidMean => Output::Sigmoid,
        };
        Ok(Interface { normalize: Some(normalize), output })
    }

    /// The names of the classes, in the order of the logits; none where they have no names.
    pub fn class_names(&self) -> Vec<String> {
        self.state.class_names_of(self.model.config().classes)
    }

    /// Evaluates on the experiment's validation images, whose classes are matched with the model's by
    /// name. The training images are not needed.
    ///
    /// # Errors
    /// The data cannot be read, or has other classes, or what comes out are no numbers.
    pub fn evaluate(&self, observer: &mut dyn Observer) -> Result<Evaluation, Error> {
        let at_once = evaluated_at_once(&self.experiment, self.state.micro_batch.as_ref());
        let purpose = Purpose::Evaluate(at_once);
        footprint::check(&self.experiment, &self.programs, purpose, &self.device)?;
        let images = self.validation_images(observer)?;
        let total = images.len() as u64;
        let damaged = images.damaged().iter().map(|part| format!("left out {part}"));
        let notes = damaged.chain(images.notes().iter().cloned()).collect();
        let evaluation = evaluate(
            &self.model,
            eval_loader(&self.experiment, &images, self.state.micro_batch.as_ref())?,
            &self.experiment.data,
            images.class_names(),
            self.experiment.train.loss,
            &self.device,
            |done| {
                observer.on_event(&Event::Evaluating { done, total });
                Ok(())
            },
        )?;
        match evaluation.loss.is_finite() {
            true => Ok(Evaluation { notes, ..evaluation }),
            false => Err(Error::NoNumber { what: "the loss is" }),
        }
    }

    /// The experiment's validation images, labelled by the model's classes.
    fn validation_images(&self, observer: &mut dyn Observer) -> Result<Arc<dyn Source>, Error> {
        let data = &self.experiment.data;
        let open = |classes: Option<&ClassList>| data.val.open_validation(classes, data.on_error);
        let names = &self.state.class_names;
        let list = |names| ClassList { owner: "the model", names, numbered: self.numbered };
        if !names.is_empty() {
            return Ok(open(Some(&list(names.clone())))?);
        }
        let images = open(None)?;
        let (found, known) = (images.class_names(), self.model.config().classes);
        let numbers: Vec<String> = (0..known).map(|number| number.to_string()).collect();
        if !match_classes(found, &numbers).contains(&None) {
            return Ok(open(Some(&list(numbers)))?);
        }
        if found.len() != known {
            return Err(Error::Experiment(ConfigProblem {
                field: "data.val".into(),
                message: format!(
                    "the data has {} classes ({}), but the model has {known}, which have no names",
                    found.len(),
                    abridged(found)
                ),
                help: "evaluate on images of the classes that the model was trained for".into(),
            }));
        }
        observer.on_event(&Event::Notice {
            from: "eval".into(),
            message: format!(
                "warning: the model does not name its {known} classes, so they are matched by position: its class 0 \
                 is taken for `{}`, and so on",
                found[0]
            ),
            is_kept: false,
        });
        Ok(images)
    }

    /// The classes of an image with their probabilities, most probable first.
    ///
    /// # Errors
    /// The image cannot be brought to the model's size, the device fails, or what comes out are no numbers.
    pub fn predict(&self, image: Image) -> Result<Vec<(String, f32)>, Error> {
        let (channels, size) = self.experiment.input()?;
        let pipeline = self.experiment.data.eval_pipeline(channels, size)?;
        let image = pipeline
            .run(image, Seed::new(self.experiment.seed), 0)
            .map_err(|error| Error::Image(error.to_string()))?;
        let batch = ImageBatch {
            images: image.into_pixels(),
            coded: CodedImages::default(),
            labels: vec![0],
            size,
            channels,
            samples: vec![0],
            skipped: Vec::new(),
            disabled: Vec::new(),
            epoch: 0,
        };
        let images = images_to_device(&batch, &self.experiment.data.normalize, &self.device)?;
        let logits = self.model.forward(images, Mode::Eval);
        let probabilities = match self.experiment.train.loss {
            crate::loss::Loss::Softmax => activation::softmax(logits, 1),
            crate::loss::Loss::Sigmoid | crate::loss::Loss::SigmoidMean => {
                activation::sigmoid(logits)
            }
        };
        let values: Vec<f32> =
            probabilities.try_into_vec_as().map_err(|error| Error::Device(error.to_string()))?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Error::NoNumber { what: "the probabilities are" });
        }
        let names = self.class_names();
        let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
        let mut ranked: Vec<(String, f32)> =
            values.into_iter().enumerate().map(|(class, p)| (name(class), p)).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(ranked)
    }
}
