//! A trained model, taken from a checkpoint for evaluation and prediction.

use std::sync::Arc;

use vitral_data::{ClassList, Source, abridged, match_classes};
use vitral_model::{
    AttentionPrograms, Compute, ConfigProblem, ViT,
    device::Device,
    parameters,
    vit_program::{Interface, Output},
};
use vitral_seed::Seed;

use crate::{
    Error, Evaluation, Event, Observer,
    checkpoint::{Checkpoint, CheckpointError, State, to_device},
    evaluate::Evaluator,
    experiment::Experiment,
    figures::{Figures, FiguresTally},
    footprint::{self, Purpose},
    noted::{Noted, NotedTally},
    trainer::{eval_loader, evaluated_at_once},
};

/// How a trained model is evaluated.
#[derive(Clone, Debug, Default)]
pub struct EvaluateOptions {
    /// Whether logits are the mean of those of an image and its mirror image.
    pub flips: bool,
    /// Numbers of classes within whose highest logits the right one is to be counted.
    pub top_k: Vec<usize>,
    /// Images of each kind that are to be noted, at most.
    pub noted: usize,
}

/// What an evaluation found.
pub struct Evaluated {
    /// How good the model is.
    pub evaluation: Evaluation,
    /// What else can be told.
    pub figures: Figures,
    /// The images that tell most.
    pub noted: Noted,
    /// The images, labelled by the model's classes.
    pub images: Arc<dyn Source>,
}

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

    /// Where it computes.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The programs of its layers whose attention is a plugin's.
    pub(crate) fn programs(&self) -> &AttentionPrograms {
        &self.programs
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
        Ok(self.evaluate_in_detail(&EvaluateOptions::default(), observer)?.evaluation)
    }

    /// The same with all that can be told of it.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_in_detail(
        &self,
        options: &EvaluateOptions,
        observer: &mut dyn Observer,
    ) -> Result<Evaluated, Error> {
        let at_once = evaluated_at_once(&self.experiment, self.state.micro_batch.as_ref());
        let purpose = Purpose::Evaluate(at_once);
        footprint::check(&self.experiment, &self.programs, purpose, &self.device)?;
        let images = self.validation_images(observer)?;
        let total = images.len() as u64;
        let damaged = images.damaged().iter().map(|part| format!("left out {part}"));
        let notes = damaged.chain(images.notes().iter().cloned()).collect();
        let loss = self.experiment.train.loss;
        let evaluator = Evaluator {
            model: &self.model,
            data: &self.experiment.data,
            loss,
            device: &self.device,
            flips: options.flips,
            pictured: 0,
        };
        let loader = eval_loader(&self.experiment, &images, self.state.micro_batch.as_ref())?;
        let names = images.class_names();
        let classes = self.model.config().classes;
        let mut tally = FiguresTally::new(loss, classes, &options.top_k);
        let mut noted = NotedTally::new(loss, classes, options.noted);
        let evaluation = evaluator.run(
            loader,
            names,
            |batch| {
                tally.add(batch.logits, batch.labels);
                noted.add(batch);
            },
            |done| {
                observer.on_event(&Event::Evaluating { done, total });
                Ok(())
            },
        )?;
        if !evaluation.loss.is_finite() {
            return Err(Error::NoNumber { what: "the loss is" });
        }
        Ok(Evaluated {
            evaluation: Evaluation { notes, ..evaluation },
            figures: tally.finish(names),
            noted: noted.finish(),
            images,
        })
    }

    /// The experiment's validation images, labelled by the model's classes.
    fn validation_images(&self, observer: &mut dyn Observer) -> Result<Arc<dyn Source>, Error> {
        let data = &self.experiment.data;
        let val = data.validation();
        let open = |classes: Option<&ClassList>| val.open_validation(classes, data.on_error);
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
}
